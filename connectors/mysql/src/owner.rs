//! Whom a server serves. Two installations, or two integrations of one, that share a server would
//! take each other's grants for orphans. So the first claims the server, by a role without rights
//! and without members, which survives restarts and back-ups of the server like any account.

use std::{sync::Arc, time::Duration};

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    failure::Doing as _,
    names::OWNER,
    server::{Server, Session},
};

/// For how long a claim that was seen is taken to stand.
const KNOWN_GOOD: Duration = Duration::from_secs(60);

/// Us, as a claim names us.
pub(crate) struct Owner {
    name: Option<String>,
    seen: Mutex<Option<Instant>>,
}

impl Owner {
    pub(crate) fn new(name: Option<String>) -> Self {
        Self { name, seen: Mutex::default() }
    }

    /// Makes sure that the server is ours, and claims one that is nobody's.
    pub(crate) async fn claim(&self, server: &Arc<Server>) -> Result<(), ConnectorError> {
        let Some(name) = &self.name else {
            return Ok(());
        };
        let fresh = |at: &Instant| at.elapsed() < KNOWN_GOOD;
        if self.seen.lock().as_ref().is_some_and(fresh) {
            return Ok(());
        }
        let begun = Instant::now();
        let mut session = server.session().await?;
        if !self.is_claimed(&mut session, name).await? {
            let doing = || format!("claim the server for {name}");
            let dialect = session.dialect();
            let claim = dialect.claim(name);
            session.execute(dialect.make_claim(&claim, name)).await.doing(doing)?;
            // Somebody else may have claimed it at the same moment: then it is nobody's, and both
            // try again.
            if let Err(other) = self.is_claimed(&mut session, name).await {
                let undo = format!("DROP ROLE IF EXISTS {}", dialect.role(&claim));
                session.execute(undo).await.doing(doing)?;
                return Err(other);
            }
        }
        *self.seen.lock() = Some(begun);
        Ok(())
    }

    /// Makes sure that the server is nobody else's.
    pub(crate) async fn respect(&self, server: &Arc<Server>) -> Result<(), ConnectorError> {
        match &self.name {
            None => Ok(()),
            Some(name) => {
                let mut session = server.session().await?;
                self.is_claimed(&mut session, name).await.map(drop)
            }
        }
    }

    /// Whether it is claimed for us.
    ///
    /// # Errors
    /// It is claimed for somebody else.
    async fn is_claimed(&self, session: &mut Session, name: &str) -> Result<bool, ConnectorError> {
        let doing = || format!("use the server for {name}");
        let dialect = session.dialect();
        let ours = dialect.claim(name);
        let mut claimed = false;
        for row in session.rows(dialect.claims()).await.doing(doing)? {
            let mut values = row.into_iter();
            let claim = values.next().flatten().unwrap_or_default();
            if claim == ours {
                claimed = true;
                continue;
            }
            let told = values.next().flatten();
            let other = told.as_deref().or(claim.strip_prefix(OWNER)).unwrap_or_default();
            return Err(ConnectorError::new(ErrorKind::Refused, doing()).because(format!(
                "it is claimed for {other}: let this integration name another server, or, if \
                 {other} is gone for good and its grants are removed, DROP ROLE {}",
                dialect.role(&claim)
            )));
        }
        Ok(claimed)
    }
}
