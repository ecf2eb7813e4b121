//! Sessions on replicas. The primary does not see them, and the end of their role does not end them.

use std::sync::Arc;

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use tokio::time::{Instant, sleep};

use super::{Teardown, sessions::LONGEST_PAUSE};
use crate::{failure::Doing as _, look, server::Server};

impl Teardown {
    /// Ends the sessions on every replica, once that knows that nobody logs in any more. One that
    /// can't be asked does not keep the others waiting; the teardown is not done until it has answered.
    pub(super) async fn end_sessions_on_replicas(&mut self) -> Result<(), ConnectorError> {
        if self.replicas.is_empty() {
            return Ok(());
        }
        let position = position(&self.server).await?;
        let mut outcome = Ok(());
        for replica in Arc::clone(&self.replicas).iter() {
            outcome = outcome.and(self.end_sessions_on_replica(replica, &position).await);
        }
        outcome
    }

    async fn end_sessions_on_replica(
        &mut self,
        replica: &Arc<Server>,
        position: &str,
    ) -> Result<(), ConnectorError> {
        let doing =
            || format!("end the sessions of {} on replica {}", self.role, replica.address());
        wait_until_there(replica, position).await?;
        // Of those who were made members of the role, sessions that began before now may have used it.
        let until = match self.delegates.is_empty() {
            true => None,
            false => Some(look::now(&mut replica.session().await?).await.doing(doing)?),
        };
        self.end_sessions_on(replica, until).await.map(drop)
    }

    /// Whether one is left on any replica.
    pub(super) async fn sessions_on_replicas(&self) -> Result<bool, ConnectorError> {
        for replica in Arc::clone(&self.replicas).iter() {
            let doing = || format!("verify that no session is left on {}", replica.address());
            let mut session = replica.session().await?;
            let found = look::look(&mut session, &self.role, self.oid, &[], None).await;
            if !found.doing(doing)?.sessions.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// How far the primary's log is: what was committed before is in there.
pub(super) async fn position(primary: &Arc<Server>) -> Result<String, ConnectorError> {
    let doing = || "look how far the primary's log is".to_owned();
    look::position(&mut primary.session().await?).await.doing(doing)
}

/// Waits until the replica has replayed the primary's log up to `position`.
pub(super) async fn wait_until_there(
    replica: &Arc<Server>,
    position: &str,
) -> Result<(), ConnectorError> {
    let doing = || format!("wait until replica {} knows of the grant's end", replica.address());
    let begun = Instant::now();
    let mut session = replica.session().await?;
    loop {
        match look::has_replayed(&mut session, position).await.doing(doing)? {
            Some(true) => return Ok(()),
            Some(false) if begun.elapsed() < replica.limits().sessions => {}
            Some(false) => {
                return Err(ConnectorError::new(ErrorKind::Unreachable, doing())
                    .because(format!("it has not replayed the primary's log up to {position}")));
            }
            None => {
                return Err(ConnectorError::new(ErrorKind::Refused, doing()).because(
                    "it is no standby: take it out of the integration's replicas, or name the \
                     server that took its place",
                ));
            }
        }
        sleep(LONGEST_PAUSE).await;
    }
}
