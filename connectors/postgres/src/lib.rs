//! The PostgreSQL connector. It runs beside the database, in the agent, which alone holds the
//! database's administrative credential.
//!
//! A grant is a log-in role named after it, member of a privilege role that has the rights. Nothing
//! here is kept but a few warm connections and what was lately seen in catalogs: the server itself
//! is asked what is so.

mod check;
mod claim;
mod danger;
mod failure;
mod graveyard;
mod leftover;
mod look;
mod membership;
mod memo;
mod missing;
mod names;
mod owners;
mod provision;
mod recording;
mod rights;
mod server;
mod sessions;
mod settings;
mod sql;
mod survey;
mod teardown;

use std::{collections::HashMap, future::Future, sync::Arc};

use async_trait::async_trait;
use ebbgate_connector_api::{
    Clock, Connector, ConnectorError, Credential, CredentialWish, ErrorKind, Lack,
};
use ebbgate_domain::{
    Timestamp,
    ids::GrantId,
    names::IntegrationName,
    order::{Finding, GrantSpec, Provisioned},
    session::LiveSession,
    verifier::Verifier,
};
use parking_lot::Mutex;
use sqlx::Row as _;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use crate::{
    claim::Claim,
    failure::{Doing as _, Failure},
    names::{GRANT_ROLES, Wanted},
    rights::Rights,
    server::Server,
    teardown::Crowd,
};
pub use settings::{Limits, PostgresSettings};

/// Provisions, verifies and revokes on one PostgreSQL server.
pub struct PostgresConnector {
    integration: IntegrationName,
    connection_limit: u16,
    server: Arc<Server>,
    replicas: Arc<[Arc<Server>]>,
    rights: Arc<Rights>,
    claim: Arc<Claim>,
    crowd: Arc<Crowd>,
    /// Grants whose access was closed by a teardown that failed later.
    closed: Mutex<HashMap<GrantId, Closed>>,
}

/// When access was closed, and how many sessions had to be ended for it.
#[derive(Debug, Clone, Copy)]
struct Closed {
    at: Timestamp,
    sessions_ended: u32,
}

impl PostgresConnector {
    /// A connector for the server that `settings` name. It connects when it must.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where the URL can't be used.
    pub fn new(settings: PostgresSettings) -> Result<Self, ConnectorError> {
        let server = |url: &str| {
            let options = settings.connect_options(url)?;
            Ok(Arc::new(Server::new(options, settings.limits)))
        };
        let replicas: Result<Arc<[_]>, ConnectorError> =
            settings.replicas.iter().map(|url| server(url)).collect();
        let (server, replicas) = (server(&settings.url)?, replicas?);
        Ok(Self {
            crowd: Arc::new(Crowd::new(Arc::clone(&server), Arc::clone(&replicas))),
            server,
            replicas,
            integration: settings.integration,
            connection_limit: settings.connection_limit,
            rights: Arc::default(),
            claim: Arc::new(Claim::new(settings.owner)),
            closed: Mutex::default(),
        })
    }

    async fn remove(
        &self,
        grant: GrantId,
        deadline: Timestamp,
        clock: &dyn Clock,
    ) -> Result<Finding, ConnectorError> {
        let (closed, heard) = oneshot::channel();
        let work = self.crowd.remove(names::grant_role(grant), deadline, clock.now(), closed);
        let watch = async {
            // An error means that it failed before that; its own error tells why.
            let sessions_ended = heard.await.ok()?;
            Some(self.note_closed(grant, Closed { at: clock.now(), sessions_ended }))
        };
        let (removed, closed) = tokio::join!(work, watch);
        let summary = removed?;
        self.closed.lock().remove(&grant);
        let checked_at = clock.now();
        let closed = closed.unwrap_or(Closed { at: checked_at, sessions_ended: 0 });
        Ok(Finding {
            checked_at,
            closed_at: closed.at,
            sessions_ended: closed.sessions_ended,
            summary,
        })
    }

    /// Where an earlier attempt had closed access and this one found no session, that was the moment.
    fn note_closed(&self, grant: GrantId, now: Closed) -> Closed {
        let mut all = self.closed.lock();
        let closed = match all.get(&grant) {
            Some(before) if now.sessions_ended == 0 => *before,
            Some(before) => Closed {
                sessions_ended: now.sessions_ended.saturating_add(before.sessions_ended),
                ..now
            },
            None => now,
        };
        all.insert(grant, closed);
        closed
    }
}

/// Runs `work` in a task of its own: when the caller goes away, the work is still done, and no
/// connection is left in the middle of a statement.
async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, ConnectorError>> + Send + 'static,
) -> Result<T, ConnectorError> {
    match tokio::spawn(work.in_current_span()).await {
        Ok(outcome) => outcome,
        Err(ended) => {
            Err(ConnectorError::new(ErrorKind::Unreachable, "finish the work on the server")
                .because(ended))
        }
    }
}

#[async_trait]
impl Connector for PostgresConnector {
    async fn check(&self) -> Result<Vec<Lack>, ConnectorError> {
        let (server, claim) = (Arc::clone(&self.server), Arc::clone(&self.claim));
        let replicas = Arc::clone(&self.replicas);
        apart(async move { check::check(&server, &replicas, &claim).await }).await
    }

    async fn provision(
        &self,
        grant: &GrantSpec,
        now: Timestamp,
    ) -> Result<Provisioned, ConnectorError> {
        let wanted = Wanted::of(grant, &self.integration)?;
        if grant.deadline <= now {
            let doing = format!("provision {}", grant.grant);
            return Err(
                ConnectorError::new(ErrorKind::Refused, doing).because("its deadline has passed")
            );
        }
        let (server, rights) = (Arc::clone(&self.server), Arc::clone(&self.rights));
        let (claim, grant) = (Arc::clone(&self.claim), grant.clone());
        let limit = self.connection_limit;
        apart(async move {
            claim.take(&server).await?;
            provision::provision(&server, &rights, &grant, &wanted, limit).await
        })
        .await
    }

    async fn credential(
        &self,
        grant: &GrantSpec,
        wish: CredentialWish,
        now: Timestamp,
    ) -> Result<Credential, ConnectorError> {
        Wanted::of(grant, &self.integration)?;
        let invalid = |why: &'static str| {
            let doing = format!("hand out a credential for {}", grant.grant);
            Err(ConnectorError::new(ErrorKind::Invalid, doing).because(why))
        };
        let verifier = match wish {
            CredentialWish::Verifier(Verifier::Scram(verifier)) => verifier,
            CredentialWish::Verifier(Verifier::Mysql(_)) => {
                return invalid("PostgreSQL takes SCRAM verifiers, not those of MySQL");
            }
            CredentialWish::Issue => {
                return invalid("PostgreSQL issues none: bring the verifier of a password");
            }
        };
        let (server, grant) = (Arc::clone(&self.server), grant.clone());
        let user = apart(async move { provision::register(&server, &grant, &verifier, now).await })
            .await?;
        Ok(Credential::Login { user })
    }

    fn credential_lifetime_seconds(&self, _grant: &GrantSpec, _now: Timestamp) -> Option<u32> {
        None
    }

    async fn revoke(
        &self,
        grant: &GrantSpec,
        clock: &dyn Clock,
    ) -> Result<Finding, ConnectorError> {
        self.remove(grant.grant, grant.deadline, clock).await
    }

    async fn marked(&self) -> Result<Vec<GrantId>, ConnectorError> {
        let (server, claim) = (Arc::clone(&self.server), Arc::clone(&self.claim));
        apart(async move {
            let doing = || "list the grants' roles".to_owned();
            let mut session = server.session().await?;
            claim.verify(&mut session).await?;
            let list =
                sqlx::query("SELECT rolname::text FROM pg_roles WHERE rolname LIKE $1 ORDER BY 1")
                    .bind(GRANT_ROLES);
            let rows = session.rows(list).await.doing(doing)?;
            let names: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
            let names = names.map_err(Failure::from).doing(doing)?;
            Ok(names.iter().filter_map(|name| names::grant_of(name)).collect())
        })
        .await
    }

    /// Each grant is a role.
    fn marks_every_grant(&self) -> bool {
        true
    }

    async fn sessions(&self) -> Result<Vec<LiveSession>, ConnectorError> {
        let (server, replicas) = (Arc::clone(&self.server), Arc::clone(&self.replicas));
        apart(async move { sessions::list(&server, &replicas).await }).await
    }

    async fn end_session(&self, session: &LiveSession) -> Result<bool, ConnectorError> {
        let (server, replicas) = (Arc::clone(&self.server), Arc::clone(&self.replicas));
        let session = session.clone();
        apart(async move { sessions::end(&server, &replicas, &session).await }).await
    }

    async fn remove_orphan(
        &self,
        grant: GrantId,
        clock: &dyn Clock,
    ) -> Result<Finding, ConnectorError> {
        let (server, claim) = (Arc::clone(&self.server), Arc::clone(&self.claim));
        apart(async move { claim.take(&server).await }).await?;
        // Nobody knows its deadline: it has passed.
        self.remove(grant, clock.now(), clock).await
    }

    async fn prune(&self, _now: Timestamp) -> Result<(), ConnectorError> {
        Ok(())
    }
}
