//! The connector for MySQL and MariaDB. It runs beside the database, in the agent, which alone holds
//! the database's administrative credential.
//!
//! A grant is a user named after it, with a role that has the rights. Nothing here is kept but a few
//! warm connections and what was lately seen of roles: the server itself is asked what is so.

mod check;
mod definers;
mod dialect;
mod failure;
mod grants;
mod hidden;
mod live;
mod names;
mod owner;
mod provision;
mod recording;
mod rights;
mod server;
mod settings;
mod sql;
mod teardown;
mod wanted;

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
use tokio::sync::oneshot;
use tracing::Instrument as _;

use crate::{
    failure::Doing as _,
    live::Seen,
    names::{GRANT_USERS, Role},
    owner::Owner,
    provision::Terms,
    rights::Rights,
    server::Server,
    teardown::{Places, Teardown},
    wanted::Wanted,
};
pub use settings::{Limits, MysqlSettings};

/// Provisions, verifies and revokes on one MySQL or MariaDB server.
pub struct MysqlConnector {
    integration: IntegrationName,
    terms: Terms,
    server: Arc<Server>,
    rights: Arc<Rights>,
    owner: Arc<Owner>,
    seen: Arc<Seen>,
    /// Grants whose access was closed by a teardown that failed later.
    closed: Mutex<HashMap<GrantId, Closed>>,
}

/// When access was closed, and how many sessions had to be ended for it.
#[derive(Debug, Clone, Copy)]
struct Closed {
    at: Timestamp,
    sessions_ended: u32,
}

impl MysqlConnector {
    /// A connector for the server that `settings` name. It connects when it must.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where the URL or the host part can't be used.
    pub fn new(settings: MysqlSettings) -> Result<Self, ConnectorError> {
        let options = settings.connect_options()?;
        let place =
            format!("{}:{} as {}", options.get_host(), options.get_port(), options.get_username());
        Ok(Self {
            integration: settings.integration,
            terms: Terms {
                client_host: settings.client_host,
                connection_limit: settings.connection_limit,
            },
            server: Arc::new(Server::new(options, place, settings.limits)),
            rights: Arc::default(),
            owner: Arc::new(Owner::new(settings.owner)),
            seen: Arc::default(),
            closed: Mutex::default(),
        })
    }

    async fn remove(
        &self,
        grant: GrantId,
        role: Role,
        places: Places,
        clock: &dyn Clock,
    ) -> Result<Finding, ConnectorError> {
        let (closed, heard) = oneshot::channel();
        let user = names::grant_user(grant);
        let teardown = Teardown::new(Arc::clone(&self.server), user, role, places);
        let work = apart(teardown.run(closed));
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
impl Connector for MysqlConnector {
    async fn check(&self) -> Result<Vec<Lack>, ConnectorError> {
        let (server, owner) = (Arc::clone(&self.server), Arc::clone(&self.owner));
        apart(async move { check::check(&server, &owner).await }).await
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
        let (owner, grant, terms) = (Arc::clone(&self.owner), grant.clone(), self.terms.clone());
        apart(async move {
            owner.claim(&server).await?;
            provision::provision(&server, &rights, &grant, &wanted, &terms).await
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
        let CredentialWish::Verifier(Verifier::Mysql(verifiers)) = wish else {
            let doing = format!("hand out a credential for {}", grant.grant);
            return Err(ConnectorError::new(ErrorKind::Invalid, doing)
                .because("MySQL and MariaDB issue none: bring the verifiers of a password"));
        };
        let (server, grant) = (Arc::clone(&self.server), grant.clone());
        let terms = self.terms.clone();
        let user =
            apart(
                async move { provision::register(&server, &grant, &verifiers, &terms, now).await },
            )
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
        // An order that makes no sense here still ends whatever bears the grant's name.
        let (role, places) = match Wanted::of(grant, &self.integration) {
            Ok(wanted) => (
                Role::Named(rights::role_of(&wanted).0),
                wanted.could_create_in().map_or(Places::Anywhere, Places::In),
            ),
            Err(_) => (Role::Some, Places::Anywhere),
        };
        self.remove(grant.grant, role, places, clock).await
    }

    async fn marked(&self) -> Result<Vec<GrantId>, ConnectorError> {
        let (server, owner) = (Arc::clone(&self.server), Arc::clone(&self.owner));
        apart(async move {
            owner.respect(&server).await?;
            let mut session = server.session().await?;
            let look = format!(
                "SELECT DISTINCT User FROM {} WHERE User LIKE {}",
                session.dialect().accounts(),
                sql::literal(GRANT_USERS)
            );
            let users = session.column(look).await.doing(|| "list the grants' users".to_owned())?;
            Ok(users.iter().filter_map(|user| names::grant_of(user)).collect())
        })
        .await
    }

    fn marks_every_grant(&self) -> bool {
        true
    }

    async fn sessions(&self) -> Result<Vec<LiveSession>, ConnectorError> {
        let (server, seen) = (Arc::clone(&self.server), Arc::clone(&self.seen));
        apart(async move { live::sessions(&server, &seen).await }).await
    }

    async fn end_session(&self, session: &LiveSession) -> Result<bool, ConnectorError> {
        let (server, session) = (Arc::clone(&self.server), session.clone());
        apart(async move { live::end(&server, &session).await }).await
    }

    async fn remove_orphan(
        &self,
        grant: GrantId,
        clock: &dyn Clock,
    ) -> Result<Finding, ConnectorError> {
        let (server, owner) = (Arc::clone(&self.server), Arc::clone(&self.owner));
        apart(async move { owner.respect(&server).await }).await?;
        self.remove(grant, Role::Some, Places::Anywhere, clock).await
    }

    async fn prune(&self, _now: Timestamp) -> Result<(), ConnectorError> {
        Ok(())
    }
}
