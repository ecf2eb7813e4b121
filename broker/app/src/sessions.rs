//! Live sessions: what runs now under which grant, asked of the targets when somebody wants to see
//! it, and the end of a single one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ebbgate_broker_ports::store::GrantQuery;
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor},
    grant::Grant,
    ids::GrantId,
    names::IntegrationName,
    session::LiveSession,
};
use futures_util::future::join_all;

use crate::{AppError, Broker, Caller, ClientKey, draft::Draft};

/// How long one integration may take to tell its sessions: one that is slow must not hide the
/// others'.
const PATIENCE: Duration = Duration::from_secs(5);

/// A live session and the grant that it runs under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// The session.
    pub session: LiveSession,
    /// Its grant.
    pub grant: Grant,
}

/// The live sessions that could be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sessions {
    /// The sessions, by integration and age.
    pub items: Vec<SessionView>,
    /// The integrations whose sessions could not be told, and why.
    pub unavailable: Vec<(IntegrationName, String)>,
}

/// Which session to end, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndSession {
    /// Its grant.
    pub grant: GrantId,
    /// The target's name for it.
    pub id: String,
    /// Since when it is there, as it was listed: another session may bear its name by now.
    pub started_at: Timestamp,
    /// Why.
    pub comment: String,
}

impl Broker {
    /// The live sessions under the caller's grants, or under everybody's for those who may read
    /// everything; only on `integration` and under `grant` where they are named.
    ///
    /// # Errors
    /// There is no such integration or grant for this caller, or the store failed.
    pub async fn sessions(
        &self,
        caller: &Caller,
        integration: Option<&IntegrationName>,
        grant: Option<GrantId>,
    ) -> Result<Sessions, AppError> {
        let mut asked = self.integrations_of(caller, grant).await?;
        if let Some(only) = integration {
            if !self.snapshot().addresses.contains_key(only) {
                return Err(AppError::not_found("integration", only));
            }
            asked.retain(|name| name == only);
        }
        let answers = join_all(asked.into_iter().map(async |name| {
            let asking = tokio::time::timeout(PATIENCE, self.ports.placement.sessions(&name));
            let answer = match asking.await {
                Ok(answer) => answer.map_err(|error| error.chain()),
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            };
            (name, answer)
        }));
        let mut sessions = Sessions::default();
        for (name, answer) in answers.await {
            match answer {
                Ok(found) => {
                    let wanted = found.into_iter().filter(|s| grant.is_none_or(|id| s.grant == id));
                    sessions.items.extend(self.visible_sessions(caller, wanted).await?);
                }
                Err(why) => sessions.unavailable.push((name, why)),
            }
        }
        Ok(sessions)
    }

    /// Where sessions that the caller may see can be.
    async fn integrations_of(
        &self,
        caller: &Caller,
        grant: Option<GrantId>,
    ) -> Result<BTreeSet<IntegrationName>, AppError> {
        if let Some(id) = grant {
            return Ok([self.visible_grant(caller, id).await?.value.integration].into());
        }
        if caller.auditor {
            return Ok(self.snapshot().addresses.keys().cloned().collect());
        }
        let query = GrantQuery {
            principal: Some(caller.id.clone()),
            live: true,
            limit: 1_000,
            ..GrantQuery::default()
        };
        let grants = self.store().grants(&query).await?;
        Ok(grants.into_iter().map(|grant| grant.value.integration).collect())
    }

    async fn visible_sessions(
        &self,
        caller: &Caller,
        found: impl Iterator<Item = LiveSession>,
    ) -> Result<Vec<SessionView>, AppError> {
        let mut grants: BTreeMap<GrantId, Option<Grant>> = BTreeMap::new();
        let mut views = Vec::new();
        for session in found {
            let id = session.grant;
            if let std::collections::btree_map::Entry::Vacant(unread) = grants.entry(id) {
                unread.insert(self.store().grant(id).await?.map(|found| found.value));
            }
            match grants.get(&id) {
                Some(Some(grant)) if caller.auditor || grant.principal == caller.id => {
                    views.push(SessionView { session, grant: grant.clone() });
                }
                Some(Some(_)) => {}
                // Its mark is an orphan's, and ends as such.
                _ => {
                    tracing::warn!(grant.id = %id, "a session under a grant that is not on record")
                }
            }
        }
        Ok(views)
    }

    /// An administrator ends one live session; its grant stays. Tells whether it was still there.
    /// Done twice, it finds nothing the second time.
    ///
    /// # Errors
    /// The caller may not, there is no such grant or no comment, or the session is still there.
    pub async fn end_session(
        &self,
        caller: &Caller,
        wish: &EndSession,
        key: Option<&ClientKey>,
    ) -> Result<bool, AppError> {
        if !caller.administrator {
            return Err(AppError::Forbidden { role: "administrator" });
        }
        if wish.comment.trim().is_empty() {
            return Err(AppError::invalid("comment", "say why you end this session"));
        }
        let grant = self.visible_grant(caller, wish.grant).await?.value;
        let key = if self.replay(caller, key).await?.is_some() { None } else { key };
        let now = self.now();
        let event = |action, at| {
            grant
                .event(action, Actor::Principal(caller.id.clone()), at)
                .detail("session", wish.id.as_str())
                .detail("started_at", wish.started_at.to_string())
        };
        // The intent first (I1).
        let mut draft = Draft::default();
        let intent = event(Action::SessionEnding, now).detail("comment", wish.comment.as_str());
        draft.change.events.push(intent);
        draft.key(caller, key, wish.grant, now);
        self.commit_once(draft).await?;
        let session = LiveSession {
            id: wish.id.clone(),
            grant: wish.grant,
            started_at: wish.started_at,
            state: String::new(),
            state_since: None,
            client: None,
            application: None,
        };
        let ended = self.ports.placement.end_session(&grant.integration, &session).await;
        self.note(match &ended {
            Ok(found) => event(Action::SessionEnded, self.now()).detail("found", *found),
            Err(error) => {
                event(Action::SessionEndFailed, self.now()).detail("error", error.chain())
            }
        })
        .await?;
        ended.map_err(AppError::Connector)
    }
}
