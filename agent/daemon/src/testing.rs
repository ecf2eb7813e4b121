//! What unit tests share: grants, readings, clocks that stand still, and a target in memory.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use ebbgate_agent_core::{BootTime, Reading, Record};
use ebbgate_connector_api::{
    Clock, Connector, ConnectorError, Credential, CredentialWish, ErrorKind,
};
use ebbgate_domain::{
    Timestamp,
    ids::{GrantId, RequestId},
    inventory::ResourceKind,
    names::IntegrationName,
    order::{Finding, GrantSpec},
};
use ebbgate_proto::v1;
use tokio::sync::{Mutex, watch};

use crate::{clock::Clocks, settings::Connectors};

/// When every test begins, in seconds of Unix time.
const EPOCH: i64 = 1_800_000_000;

pub(crate) fn grant(n: u8) -> GrantId {
    GrantId::new(Timestamp::from_second(EPOCH).unwrap(), [n; 10])
}

pub(crate) fn orders() -> IntegrationName {
    "orders".parse().unwrap()
}

/// So many seconds after the beginning, on both clocks.
pub(crate) fn at(seconds: u64) -> Reading {
    Reading {
        wall: Timestamp::from_second(EPOCH + i64::try_from(seconds).unwrap()).unwrap(),
        boot: BootTime { id: "boot".to_owned(), ms: 1_000_000 + seconds * 1_000 },
    }
}

pub(crate) fn spec(n: u8, deadline_s: u64) -> GrantSpec {
    GrantSpec {
        grant: grant(n),
        request: RequestId::new(Timestamp::from_second(EPOCH).unwrap(), [n; 10]),
        principal: "ana@example.com".parse().unwrap(),
        integration: orders(),
        resource: "orders/postgres/shop".parse().unwrap(),
        kind: ResourceKind::Postgres,
        native: "shop".to_owned(),
        permission: "select".parse().unwrap(),
        flow: "data-shop".parse().unwrap(),
        ticket: Some("OPS-1".to_owned()),
        deadline: at(deadline_s).wall,
        credentials_until: None,
    }
}

/// A grant of ten minutes from the beginning.
pub(crate) fn provision_intended(n: u8) -> Record {
    Record::ProvisionIntended { seq: 1, spec: spec(n, 600), remaining_ms: 600_000, at: at(0) }
}

/// An order as the broker sends it at the beginning.
pub(crate) fn order(n: u8, seq: u64, action: v1::Action, deadline_s: u64) -> v1::Order {
    let spec = spec(n, deadline_s);
    v1::Order {
        seq,
        action: action.into(),
        remaining_ms: i64::try_from(deadline_s * 1_000).unwrap(),
        spec: Some(v1::GrantSpec {
            grant_id: spec.grant.to_string(),
            request_id: spec.request.to_string(),
            principal: spec.principal.to_string(),
            integration: spec.integration.to_string(),
            resource: spec.resource.to_string(),
            kind: spec.kind.to_string(),
            native: spec.native,
            permission: spec.permission.to_string(),
            flow: spec.flow.to_string(),
            ticket: spec.ticket,
            deadline_ms: spec.deadline.as_millisecond(),
        }),
    }
}

/// Clocks that move when they are told to.
#[derive(Default)]
pub(crate) struct ManualClocks(AtomicU64);

impl ManualClocks {
    pub(crate) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClocks {
    fn now(&self) -> Timestamp {
        self.reading().wall
    }
}

impl Clocks for ManualClocks {
    fn reading(&self) -> Reading {
        at(self.0.load(Ordering::SeqCst))
    }
}

/// A target in memory that can hang, be away, or break its connector.
pub(crate) struct FakeConnector {
    hangs: watch::Sender<bool>,
    away: AtomicBool,
    panics: AtomicBool,
    calls: std::sync::Mutex<Vec<String>>,
    present: Mutex<BTreeSet<GrantId>>,
}

impl Default for FakeConnector {
    fn default() -> Self {
        Self {
            hangs: watch::Sender::new(false),
            away: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            calls: std::sync::Mutex::default(),
            present: Mutex::default(),
        }
    }
}

/// A fake connector for the integration `orders`.
pub(crate) fn connectors(target: &Arc<FakeConnector>) -> Connectors {
    let connector: Arc<dyn Connector> = target.clone();
    Connectors::from([(orders(), connector)])
}

impl FakeConnector {
    /// Lets calls wait, or go on.
    pub(crate) fn hang(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
    }

    pub(crate) fn away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn panic_next(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }

    /// Every call that went through, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    /// The grants that are on the target.
    pub(crate) async fn present(&self) -> BTreeSet<GrantId> {
        self.present.lock().await.clone()
    }

    pub(crate) async fn put(&self, grant: GrantId) {
        self.present.lock().await.insert(grant);
    }

    async fn call(&self, what: &str, grant: GrantId) -> Result<(), ConnectorError> {
        assert!(!self.panics.swap(false, Ordering::SeqCst), "broken on purpose");
        let mut hangs = self.hangs.subscribe();
        hangs.wait_for(|hangs| !hangs).await.unwrap();
        if self.away.load(Ordering::SeqCst) {
            return Err(ConnectorError::new(ErrorKind::Unreachable, format!("{what} {grant}")));
        }
        self.calls.lock().unwrap().push(format!("{what} {grant}"));
        Ok(())
    }

    async fn remove(&self, grant: GrantId, clock: &dyn Clock) -> Finding {
        self.present.lock().await.remove(&grant);
        let now = clock.now();
        Finding {
            checked_at: now,
            closed_at: now,
            sessions_ended: 0,
            summary: "it is gone".to_owned(),
        }
    }
}

#[async_trait]
impl Connector for FakeConnector {
    async fn check(&self) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn provision(&self, grant: &GrantSpec, _now: Timestamp) -> Result<(), ConnectorError> {
        self.call("provision", grant.grant).await?;
        self.put(grant.grant).await;
        Ok(())
    }

    async fn credential(
        &self,
        grant: &GrantSpec,
        _wish: CredentialWish,
        _now: Timestamp,
    ) -> Result<Credential, ConnectorError> {
        self.call("credential", grant.grant).await?;
        Ok(Credential::Login { user: format!("ebb_{}", grant.grant) })
    }

    fn credential_lifetime_seconds(&self, _grant: &GrantSpec, _now: Timestamp) -> Option<u32> {
        None
    }

    async fn revoke(
        &self,
        grant: &GrantSpec,
        clock: &dyn Clock,
    ) -> Result<Finding, ConnectorError> {
        self.call("revoke", grant.grant).await?;
        Ok(self.remove(grant.grant, clock).await)
    }

    async fn marked(&self) -> Result<Vec<GrantId>, ConnectorError> {
        Ok(self.present().await.into_iter().collect())
    }

    async fn remove_orphan(
        &self,
        grant: GrantId,
        clock: &dyn Clock,
    ) -> Result<Finding, ConnectorError> {
        self.call("orphan", grant).await?;
        Ok(self.remove(grant, clock).await)
    }

    async fn prune(&self, _now: Timestamp) -> Result<(), ConnectorError> {
        Ok(())
    }
}
