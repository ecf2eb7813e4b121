//! Agents: enrolment tokens, enrolment, and what is on record of each.

use std::time::Duration;

use aws_lc_rs::digest;
use ebbgate_broker_ports::store::{AgentRecord, EnrolmentToken, GrantQuery};
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent},
    duration::AccessDuration,
    ids::{AgentId, TokenId},
    names::{AgentName, IntegrationName},
    order::Order,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{AppError, Broker, Caller, ClientKey, draft::Draft};

/// How long an enrolment token lives where nobody says otherwise, in seconds.
const DEFAULT_TOKEN_SECONDS: u64 = 15 * 60;
/// The longest that one may live, in seconds.
const LONGEST_TOKEN_SECONDS: u32 = 24 * 3_600;

/// A new enrolment token. Its secret is shown once and not kept.
#[derive(Debug)]
pub struct NewToken {
    /// Its public name.
    pub id: TokenId,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What is kept of a token's secret: SHA-256 in hex. The secret has 256 random bits, so a slow
/// hash would add nothing.
pub fn spent_token_hash(secret: &SecretString) -> String {
    hex::encode(digest::digest(&digest::SHA256, secret.expose_secret().as_bytes()))
}

impl Broker {
    /// Makes an enrolment token for an agent of that name; the caller of this function has made
    /// the secret.
    ///
    /// # Errors
    /// The caller may not, or the time is too long.
    pub async fn new_agent_token(
        &self,
        caller: &Caller,
        agent: &AgentName,
        valid_for: Option<AccessDuration>,
        secret: &SecretString,
        key: Option<&ClientKey>,
    ) -> Result<NewToken, AppError> {
        if !caller.administrator {
            return Err(AppError::Forbidden { role: "administrator" });
        }
        if self.replay(caller, key).await?.is_some() {
            return Err(AppError::KeySpent);
        }
        if valid_for.is_some_and(|duration| duration.seconds() > LONGEST_TOKEN_SECONDS) {
            return Err(AppError::invalid("valid_for", "at most 24h"));
        }
        let now = self.now();
        let expires_at = match valid_for {
            Some(duration) => duration.after(now),
            None => now.saturating_add(Duration::from_secs(DEFAULT_TOKEN_SECONDS)).unwrap_or(now),
        };
        let id = TokenId::new(now, self.ports.ids.entropy());
        let mut draft = Draft::default();
        draft.change.tokens.push(EnrolmentToken {
            id,
            secret_hash: spent_token_hash(secret),
            agent: agent.clone(),
            expires_at,
            spent_at: None,
        });
        let actor = Actor::Principal(caller.id.clone());
        draft.change.events.push(
            AuditEvent::new(Action::AgentTokenCreated, actor, now)
                .detail("agent", agent.to_string())
                .detail("token", id.to_string())
                .detail("expires_at", expires_at.to_string()),
        );
        draft.key(caller, key, id, now);
        self.commit(draft).await?;
        Ok(NewToken { id, expires_at })
    }

    /// The token with this secret, if it can be spent now.
    ///
    /// # Errors
    /// It cannot.
    pub async fn enrolment_token(&self, secret: &SecretString) -> Result<EnrolmentToken, AppError> {
        self.store()
            .enrolment_token(&spent_token_hash(secret))
            .await?
            .filter(|token| token.spent_at.is_none() && token.expires_at > self.now())
            .ok_or(AppError::TokenRefused)
    }

    /// An id for an agent that is about to be enrolled.
    pub fn new_agent_id(&self) -> AgentId {
        AgentId::new(self.now(), self.ports.ids.entropy())
    }

    /// Spends the token and puts the agent on record: both, or neither.
    ///
    /// # Errors
    /// The token was spent meanwhile.
    pub async fn enrol(
        &self,
        token: &EnrolmentToken,
        id: AgentId,
        certificate_expires_at: Timestamp,
    ) -> Result<(), AppError> {
        let now = self.now();
        let mut draft = Draft::default();
        draft.change.spend = Some(token.id);
        draft.change.agents.push(AgentRecord {
            id,
            name: token.agent.clone(),
            enrolled_at: now,
            certificate_expires_at,
            last_seen: None,
            version: None,
            integrations: Vec::new(),
            retired: false,
        });
        draft.change.events.push(
            AuditEvent::new(Action::AgentEnrolled, Actor::Agent(token.agent.clone()), now)
                .detail("agent_id", id.to_string())
                .detail("token", token.id.to_string()),
        );
        Ok(self.commit(draft).await?)
    }

    /// An agent that may speak: enrolled, and not retired by another of its name.
    ///
    /// # Errors
    /// There is none.
    pub async fn known_agent(&self, id: AgentId) -> Result<AgentRecord, AppError> {
        self.store()
            .agent(id)
            .await?
            .filter(|agent| !agent.retired)
            .ok_or_else(|| AppError::not_found("agent", id))
    }

    /// Notes what an agent did: connected, disconnected, renewed its certificate.
    ///
    /// # Errors
    /// The store failed.
    pub async fn note_agent(&self, agent: AgentRecord, action: Action) -> Result<(), AppError> {
        let now = self.now();
        let event = AuditEvent::new(action, Actor::Agent(agent.name.clone()), now)
            .detail("agent_id", agent.id.to_string());
        let mut draft = Draft::default();
        draft.change.agents.push(AgentRecord { last_seen: Some(now), ..agent });
        draft.change.events.push(event);
        Ok(self.commit(draft).await?)
    }

    /// All agents.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn agents(&self, caller: &Caller) -> Result<Vec<AgentRecord>, AppError> {
        if !caller.auditor {
            return Err(AppError::Forbidden { role: "auditor" });
        }
        Ok(self.store().agents().await?)
    }

    /// Every order that stands for these integrations: what an agent that has just connected must
    /// hold or tear down, and nothing else.
    ///
    /// # Errors
    /// The store failed.
    pub async fn standing_orders(
        &self,
        integrations: &[IntegrationName],
    ) -> Result<Vec<Order>, AppError> {
        let mut orders = Vec::new();
        let mut before = None;
        if integrations.is_empty() {
            return Ok(orders);
        }
        loop {
            let query = GrantQuery {
                integrations: integrations.to_vec(),
                live: true,
                before,
                limit: 500,
                ..GrantQuery::default()
            };
            let page = self.store().grants(&query).await?;
            let Some(last) = page.last() else {
                return Ok(orders);
            };
            before = Some(last.value.id);
            orders.extend(page.iter().filter_map(|grant| grant.value.standing_order()));
        }
    }
}
