//! What unit tests share: grants, readings, clocks that stand still, and a target in memory.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use ebbgate_agent_core::{BootTime, Reading, Record};
use ebbgate_connector_api::{
    Clock, Connector, ConnectorError, Credential, CredentialWish, ErrorKind, Lack,
};
use ebbgate_domain::{
    Timestamp,
    ids::{AgentId, GrantId, RequestId},
    inventory::ResourceKind,
    names::IntegrationName,
    order::{Finding, GrantSpec, Provisioned},
    session::LiveSession,
};
use ebbgate_proto::v1;
use prost::Message as _;
use tokio::sync::{Mutex, watch};

use crate::{
    clock::Clocks,
    settings::Connectors,
    trust::{Kind, OrderKeys, Trust},
};

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
        rights: vec![],
        flow: "data-shop".parse().unwrap(),
        ticket: Some("OPS-1".to_owned()),
        deadline: at(deadline_s).wall,
        credentials_until: None,
        recorded: false,
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
            rights: vec![],
            recorded: spec.recorded,
        }),
        agent_id: agent_id().to_string(),
        // As a broker of before, so that tests may let time pass first.
        sent_at_ms: 0,
    }
}

pub(crate) fn agent_id() -> AgentId {
    AgentId::new(Timestamp::from_second(EPOCH).unwrap(), [1; 10])
}

/// The broker's key.
fn order_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[42; 32]).unwrap()
}

pub(crate) fn order_keys() -> OrderKeys {
    OrderKeys::told(&[order_key().public_key().as_ref().to_vec()]).unwrap().unwrap()
}

pub(crate) fn trust() -> Trust {
    Trust::new(agent_id(), order_keys())
}

pub(crate) fn sign(kind: Kind, payload: Vec<u8>) -> v1::Signed {
    let signature = order_key().sign(&[kind.prefix(), &payload].concat());
    v1::Signed { signature: signature.as_ref().to_vec(), payload }
}

pub(crate) fn signed(order: &v1::Order) -> v1::Signed {
    sign(Kind::Order, order.encode_to_vec())
}

pub(crate) fn signed_credential(
    n: u8,
    seq: u64,
    verifier: Option<v1::credential_order::Verifier>,
) -> v1::Signed {
    let (grant_id, agent_id) = (grant(n).to_string(), agent_id().to_string());
    let order = v1::CredentialOrder { seq, grant_id, verifier, agent_id };
    sign(Kind::CredentialOrder, order.encode_to_vec())
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
    lacks: std::sync::Mutex<Vec<Lack>>,
    sessions: std::sync::Mutex<Vec<LiveSession>>,
}

impl Default for FakeConnector {
    fn default() -> Self {
        Self {
            hangs: watch::Sender::new(false),
            away: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            calls: std::sync::Mutex::default(),
            present: Mutex::default(),
            lacks: std::sync::Mutex::default(),
            sessions: std::sync::Mutex::default(),
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

    pub(crate) async fn take(&self, grant: GrantId) {
        self.present.lock().await.remove(&grant);
    }

    pub(crate) fn lacks(&self, lack: Lack) {
        self.lacks.lock().unwrap().push(lack);
    }

    pub(crate) fn logged_in(&self, session: LiveSession) {
        self.sessions.lock().unwrap().push(session);
    }

    /// Where nothing is done to a grant.
    async fn ask(&self, what: &str) -> Result<(), ConnectorError> {
        let mut hangs = self.hangs.subscribe();
        hangs.wait_for(|hangs| !hangs).await.unwrap();
        if self.away.load(Ordering::SeqCst) {
            return Err(ConnectorError::new(ErrorKind::Unreachable, what));
        }
        Ok(())
    }

    async fn call(&self, what: &str, grant: GrantId) -> Result<(), ConnectorError> {
        assert!(!self.panics.swap(false, Ordering::SeqCst), "broken on purpose");
        self.ask(&format!("{what} {grant}")).await?;
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
    async fn check(&self) -> Result<Vec<Lack>, ConnectorError> {
        self.ask("check").await?;
        Ok(self.lacks.lock().unwrap().clone())
    }

    async fn provision(
        &self,
        grant: &GrantSpec,
        _now: Timestamp,
    ) -> Result<Provisioned, ConnectorError> {
        self.call("provision", grant.grant).await?;
        self.put(grant.grant).await;
        let recording = grant.recorded.then(|| "all of it is logged".to_owned());
        Ok(Provisioned { recording })
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

    fn marks_every_grant(&self) -> bool {
        true
    }

    async fn sessions(&self) -> Result<Vec<LiveSession>, ConnectorError> {
        self.ask("list sessions").await?;
        Ok(self.sessions.lock().unwrap().clone())
    }

    async fn end_session(&self, session: &LiveSession) -> Result<bool, ConnectorError> {
        self.ask("end a session").await?;
        let mut sessions = self.sessions.lock().unwrap();
        let before = sessions.len();
        sessions.retain(|live| live != session);
        Ok(sessions.len() < before)
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
