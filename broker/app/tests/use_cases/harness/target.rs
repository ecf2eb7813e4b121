//! A target whose connector the broker runs itself: only marks.

use std::collections::BTreeSet;

use async_trait::async_trait;
use ebbgate_connector_api::{
    Clock, Connector, ConnectorError, Credential, CredentialWish, ErrorKind, Lack,
};
use ebbgate_domain::{
    Timestamp,
    ids::GrantId,
    order::{Finding, GrantSpec, Provisioned},
    session::LiveSession,
};
use parking_lot::Mutex;

use super::finding;

/// The marks on it, and why it refuses just now.
pub(crate) struct Target(Mutex<(BTreeSet<GrantId>, Option<&'static str>)>);

impl Target {
    pub(crate) fn marked(grants: impl IntoIterator<Item = GrantId>) -> Self {
        Self(Mutex::new((grants.into_iter().collect(), None)))
    }

    pub(crate) fn has(&self) -> BTreeSet<GrantId> {
        self.0.lock().0.clone()
    }

    pub(crate) fn mark(&self, grant: GrantId) {
        self.0.lock().0.insert(grant);
    }

    pub(crate) fn fails(&self, why: Option<&'static str>) {
        self.0.lock().1 = why;
    }

    fn reached(&self) -> Result<(), ConnectorError> {
        match self.0.lock().1 {
            Some(why) => Err(ConnectorError::new(ErrorKind::Refused, "reach it").because(why)),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Connector for Target {
    async fn check(&self) -> Result<Vec<Lack>, ConnectorError> {
        self.reached().map(|()| Vec::new())
    }

    async fn provision(
        &self,
        grant: &GrantSpec,
        _: Timestamp,
    ) -> Result<Provisioned, ConnectorError> {
        self.mark(grant.grant);
        self.reached().map(|()| Provisioned::default())
    }

    async fn credential(
        &self,
        grant: &GrantSpec,
        _: CredentialWish,
        _: Timestamp,
    ) -> Result<Credential, ConnectorError> {
        self.reached().map(|()| Credential::Login { user: grant.grant.to_string() })
    }

    fn credential_lifetime_seconds(&self, _: &GrantSpec, _: Timestamp) -> Option<u32> {
        None
    }

    async fn revoke(
        &self,
        grant: &GrantSpec,
        clock: &dyn Clock,
    ) -> Result<Finding, ConnectorError> {
        self.remove_orphan(grant.grant, clock).await
    }

    async fn marked(&self) -> Result<Vec<GrantId>, ConnectorError> {
        self.reached().map(|()| self.has().into_iter().collect())
    }

    fn marks_every_grant(&self) -> bool {
        false
    }

    async fn sessions(&self) -> Result<Vec<LiveSession>, ConnectorError> {
        self.reached().map(|()| Vec::new())
    }

    async fn end_session(&self, _: &LiveSession) -> Result<bool, ConnectorError> {
        self.reached().map(|()| false)
    }

    async fn remove_orphan(
        &self,
        grant: GrantId,
        clock: &dyn Clock,
    ) -> Result<Finding, ConnectorError> {
        self.reached()?;
        self.0.lock().0.remove(&grant);
        Ok(finding(clock.now()))
    }

    async fn prune(&self, _: Timestamp) -> Result<(), ConnectorError> {
        self.reached()
    }
}
