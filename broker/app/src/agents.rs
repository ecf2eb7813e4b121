//! Agents: enrolment tokens, enrolment, and what is on record of each.

use std::time::Duration;

use aws_lc_rs::digest;
use ebbgate_broker_ports::store::{AgentRecord, AgentRevocation, EnrolmentToken};
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent},
    duration::AccessDuration,
    ids::{AgentId, TokenId},
    names::{AgentName, IntegrationName},
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{AppError, Broker, Caller, ClientKey, Mistake, draft::Draft};

/// How long an enrolment token lives where nobody says otherwise, in seconds.
const DEFAULT_TOKEN_SECONDS: u64 = 15 * 60;
/// The longest that one may live, in seconds.
const LONGEST_TOKEN_SECONDS: u32 = 24 * 3_600;

/// What an enrolment token is wished for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenWish {
    /// The agent.
    pub agent: AgentName,
    /// The integrations that it may serve; none: all that the settings give it.
    pub integrations: Option<Vec<IntegrationName>>,
    /// How long the token lives.
    pub ttl: Option<AccessDuration>,
}

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
    /// Makes an enrolment token for an agent; the caller of this function has made the secret.
    ///
    /// # Errors
    /// The caller may not, the time is too long, or an integration is not the agent's.
    pub async fn new_agent_token(
        &self,
        caller: &Caller,
        wish: TokenWish,
        secret: &SecretString,
        key: Option<&ClientKey>,
    ) -> Result<NewToken, AppError> {
        if !caller.administrator {
            return Err(AppError::Forbidden { role: "administrator" });
        }
        if self.replay(caller, key).await?.is_some() {
            return Err(AppError::KeySpent);
        }
        self.check_token(&wish)?;
        let TokenWish { agent, integrations, ttl } = wish;
        let now = self.now();
        let expires_at = match ttl {
            Some(duration) => duration.after(now),
            None => now.saturating_add(Duration::from_secs(DEFAULT_TOKEN_SECONDS)).unwrap_or(now),
        };
        let id = TokenId::new(now, self.ports.ids.entropy());
        let mut draft = Draft::default();
        draft.change.tokens.push(EnrolmentToken {
            id,
            secret_hash: spent_token_hash(secret),
            agent: agent.clone(),
            integrations: integrations.clone(),
            expires_at,
            spent_at: None,
        });
        let actor = Actor::Principal(caller.id.clone());
        let event = AuditEvent::new(Action::AgentTokenCreated, actor, now)
            .detail("agent", agent.to_string())
            .detail("token", id.to_string())
            .detail("expires_at", expires_at.to_string());
        draft.change.events.push(match integrations {
            Some(bound) => event.detail("integrations", names(&bound)),
            None => event,
        });
        draft.key(caller, key, id, now);
        self.commit(draft).await?;
        Ok(NewToken { id, expires_at })
    }

    fn check_token(&self, wish: &TokenWish) -> Result<(), AppError> {
        if wish.ttl.is_some_and(|ttl| ttl.seconds() > LONGEST_TOKEN_SECONDS) {
            return Err(AppError::invalid("ttl", "at most 24h"));
        }
        let Some(bound) = &wish.integrations else { return Ok(()) };
        if bound.is_empty() {
            let message = "name at least one integration, or leave the field out for all";
            return Err(AppError::invalid("integrations", message));
        }
        let snapshot = self.snapshot();
        let given: Vec<_> = snapshot
            .agents
            .iter()
            .filter(|(_, agents)| agents.contains(&wish.agent))
            .map(|(integration, _)| integration.clone())
            .collect();
        let mistakes: Vec<_> = bound
            .iter()
            .enumerate()
            .filter(|(_, integration)| !given.contains(integration))
            .map(|(index, integration)| {
                let given =
                    if given.is_empty() { "none".to_owned() } else { names(&given).join(", ") };
                let message = format!(
                    "the settings do not give {integration} to the agent {}; they give it: {given}",
                    wish.agent
                );
                Mistake::new(format!("integrations[{index}]"), message)
            })
            .collect();
        if mistakes.is_empty() { Ok(()) } else { Err(AppError::Invalid(mistakes)) }
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
            allowed_integrations: token.integrations.clone(),
            retired: false,
            revoked: None,
        });
        draft.change.events.push(
            AuditEvent::new(Action::AgentEnrolled, Actor::Agent(token.agent.clone()), now)
                .detail("agent_id", id.to_string())
                .detail("token", token.id.to_string()),
        );
        Ok(self.commit(draft).await?)
    }

    /// An agent that may speak: enrolled, not revoked, and with no other of its name since.
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
    /// It is not on record, or the store failed.
    pub async fn note_agent(&self, agent: AgentRecord, action: Action) -> Result<(), AppError> {
        let now = self.now();
        // One that was purged meanwhile does not come back by what is noted of it late.
        let known = self.store().agent(agent.id).await?;
        let known = known.ok_or_else(|| AppError::not_found("agent", agent.id))?;
        // Who shut it out meanwhile stays on record.
        let agent = AgentRecord { revoked: known.revoked.or(agent.revoked), ..agent };
        let event = AuditEvent::new(action, Actor::Agent(agent.name.clone()), now)
            .detail("agent_id", agent.id.to_string());
        let mut draft = Draft::default();
        draft.change.agents.push(AgentRecord { last_seen: Some(now), ..agent });
        draft.change.events.push(event);
        Ok(self.commit(draft).await?)
    }

    /// Shuts an agent out: its stream ends, its certificate is refused from now on, and its grants
    /// go to the other agents of its integrations. One that is shut out already stays so.
    ///
    /// # Errors
    /// The caller may not, there is no such agent or no comment. Where only the handing over failed,
    /// the agent is shut out all the same.
    pub async fn revoke_agent(
        &self,
        caller: &Caller,
        id: AgentId,
        comment: &str,
        key: Option<&ClientKey>,
    ) -> Result<AgentRecord, AppError> {
        if !caller.administrator {
            return Err(AppError::Forbidden { role: "administrator" });
        }
        if comment.trim().is_empty() {
            return Err(AppError::invalid("comment", "say why you shut this agent out"));
        }
        let known = self.store().agent(id).await?;
        let agent = known.ok_or_else(|| AppError::not_found("agent", id))?;
        if self.replay(caller, key).await?.is_some() || agent.retired {
            return Ok(agent);
        }
        let now = self.now();
        let revoked =
            AgentRevocation { by: caller.id.clone(), comment: comment.to_owned(), at: now };
        let agent = AgentRecord { retired: true, revoked: Some(revoked), ..agent };
        let mut draft = Draft::default();
        draft.change.agents.push(agent.clone());
        draft.change.events.push(
            AuditEvent::new(Action::AgentRevoked, Actor::Principal(caller.id.clone()), now)
                .detail("agent", agent.name.to_string())
                .detail("agent_id", id.to_string())
                .detail("comment", comment),
        );
        draft.key(caller, key, id, now);
        self.commit_once(draft).await?;
        self.ports.placement.shut_out(id);
        self.relieve_of(&agent.name, &agent.integrations).await?;
        Ok(agent)
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
}

fn names(integrations: &[IntegrationName]) -> Vec<String> {
    integrations.iter().map(ToString::to_string).collect()
}
