//! A small world around the use cases: a real SQLite store, people and one flow, a movable clock,
//! and a place that notes the orders it is given.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use ebbgate_broker_app::{Broker, Caller, ClientKey, Ports};
use ebbgate_broker_ports::{
    Catalogue, Clock, Ids, Meter, NotPlaced, Outcome, Placement, Snapshot, Store,
};
use ebbgate_broker_store_common::SealKeyFile;
use ebbgate_broker_store_sqlite::SqliteStore;
use ebbgate_connector_api::{ConnectorError, Credential, CredentialWish};
use ebbgate_domain::{
    Timestamp,
    audit::{Actor, AuditEvent},
    clock_offset::ClockState,
    flow::{
        Access, AccessFlow, ApprovalPolicy, ApproverGroup, DurationRule, JustificationRule, Need,
        Policies, Saying, Voices,
    },
    grant::Grant,
    ids::{AgentId, Entropy, GrantId, RequestId},
    inventory::{Inventory, Resource, ResourceKind},
    names::{AgentName, IntegrationName, PrincipalId},
    notice::Notice,
    order::{EndCause, Finding, GrantSpec, Order, OrderAction},
    placing::{Candidate, Runner},
    principal::{Directory, Principal},
    request::AccessRequest,
    scope::{Scope, Selector},
    session::LiveSession,
};
use parking_lot::Mutex;

/// The world of a test.
pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) place: Arc<TestPlace>,
    settings: Arc<Settings>,
    _dir: Arc<tempfile::TempDir>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let key = SealKeyFile::in_dir(dir.path());
        let store = SqliteStore::open(&dir.path().join("test.db"), &key).await.unwrap();
        let store = Arc::new(store);
        let settings = Arc::new(Settings(Mutex::new(Arc::new(snapshot()))));
        Self::over(store, Arc::new(TestClock::new()), settings, dir)
    }

    /// The same store and time, but a broker that remembers nothing.
    pub(crate) fn restart(self) -> Self {
        Self::over(self.store, self.clock, self.settings, self._dir)
    }

    fn over(
        store: Arc<dyn Store>,
        clock: Arc<TestClock>,
        settings: Arc<Settings>,
        dir: Arc<tempfile::TempDir>,
    ) -> Self {
        let place = Arc::new(TestPlace::default());
        let broker = Broker::new(Ports {
            store: store.clone(),
            catalogue: settings.clone(),
            placement: place.clone(),
            clock: clock.clone(),
            ids: Arc::new(Counter::new(clock.now())),
            meter: Arc::new(NoMeter),
        });
        Self { broker, store, clock, place, settings, _dir: dir }
    }

    pub(crate) fn caller(&self, name: &str) -> Caller {
        self.broker.caller(&id(name)).unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn disable(&self, name: &str) {
        let mut slot = self.settings.0.lock();
        let people = slot.directory.all().cloned().map(|mut person| {
            person.disabled |= person.id == id(name);
            person
        });
        let directory = Directory::new(people.collect::<Vec<_>>());
        *slot = Arc::new(Snapshot { directory, ..(**slot).clone() });
    }

    /// Changes the flow as a reload of the settings does.
    pub(crate) fn change_flow(&self, change: impl FnMut(&mut AccessFlow)) {
        let mut slot = self.settings.0.lock();
        let mut next = (**slot).clone();
        next.policies.flows.values_mut().for_each(change);
        *slot = Arc::new(next);
    }

    /// Removes the flow.
    pub(crate) fn remove_flow(&self) {
        let mut slot = self.settings.0.lock();
        let mut next = (**slot).clone();
        next.policies.flows.clear();
        *slot = Arc::new(next);
    }

    /// Puts somebody into this group alone.
    pub(crate) fn regroup(&self, name: &str, group: &str) {
        let mut slot = self.settings.0.lock();
        let people = slot.directory.all().cloned().map(|mut person| {
            if person.id == id(name) {
                person.groups = [group.parse().unwrap()].into();
            }
            person
        });
        let directory = Directory::new(people.collect::<Vec<_>>());
        *slot = Arc::new(Snapshot { directory, ..(**slot).clone() });
    }

    /// The notices in the outbox that nobody has delivered yet, in the order of their making.
    pub(crate) async fn notices(&self) -> Vec<Notice> {
        let (now, until) = (self.now(), self.now() + jiff::SignedDuration::from_secs(60));
        let mut notices = Vec::new();
        // A request's next one is given out when the one before is delivered.
        loop {
            let items = self.store.take_notices(now, until, 1_000).await.unwrap();
            if items.is_empty() {
                return notices;
            }
            for item in items {
                self.store.notice_delivered(item.id).await.unwrap();
                notices.push(item.notice);
            }
        }
    }

    /// Does what is due, and lets the place answer that all went well.
    pub(crate) async fn go_on(&self) {
        self.broker.do_due().await;
        for order in self.place.take() {
            let outcome = match order.action {
                OrderAction::Provision => Outcome::Provisioned,
                OrderAction::Revoke => torn_down(self.now()),
            };
            self.answer(&order, outcome).await;
        }
    }

    pub(crate) async fn answer(&self, order: &Order, outcome: Outcome) {
        let place = self.grant(order.spec.grant).await.place;
        let agent = Actor::Agent(place.unwrap());
        self.broker
            .record_outcome(order.spec.grant, order.seq, outcome, agent, self.now())
            .await
            .unwrap();
    }

    pub(crate) async fn request(&self, id: RequestId) -> AccessRequest {
        self.store.request(id).await.unwrap().unwrap().value
    }

    pub(crate) async fn grant(&self, id: GrantId) -> Grant {
        self.store.grant(id).await.unwrap().unwrap().value
    }

    pub(crate) async fn events(&self) -> Vec<AuditEvent> {
        let records = self.store.audit(0, 1_000).await.unwrap();
        records.iter().map(|record| serde_json::from_str(&record.body).unwrap()).collect()
    }
}

pub(crate) fn id(name: &str) -> PrincipalId {
    format!("{name}@example.com").parse().unwrap()
}

pub(crate) fn key(key: &str, fingerprint: &str) -> ClientKey {
    ClientKey { key: key.to_owned(), fingerprint: fingerprint.to_owned() }
}

/// An agent's word that a grant is torn down.
pub(crate) fn torn_down(at: Timestamp) -> Outcome {
    Outcome::TornDown { finding: finding(at), cause: EndCause::Ordered }
}

pub(crate) fn finding(at: Timestamp) -> Finding {
    Finding { checked_at: at, closed_at: at, sessions_ended: 0, summary: "gone".to_owned() }
}

fn snapshot() -> Snapshot {
    let person = |name: &str, group: &str| Principal::new(id(name), [group.parse().unwrap()]);
    let resource = Resource {
        id: "orders/postgres/shop".parse().unwrap(),
        integration: "orders".parse().unwrap(),
        kind: ResourceKind::Postgres,
        native: "shop".to_owned(),
        tags: BTreeMap::new(),
    };
    let everything = Selector::integration("orders".parse().unwrap());
    let scope = Scope::new("shop".parse().unwrap(), everything);
    Snapshot {
        directory: Directory::new([
            person("ana", "data"),
            person("ben", "dba"),
            person("dan", "dba"),
            person("eve", "sales"),
            person("audrey", "audit"),
        ]),
        policies: Policies {
            scopes: [(scope.name.clone(), scope)].into(),
            flows: [(flow().name, flow())].into(),
            ..Policies::default()
        },
        inventory: Inventory::new([resource]),
        auditors: vec!["group:audit".parse().unwrap()],
        ..Snapshot::default()
    }
}

fn flow() -> AccessFlow {
    let access = vec![Access {
        scope: "shop".parse().unwrap(),
        permissions: vec!["select".parse().unwrap()],
    }];
    let dbas = ApproverGroup::new("DBAs", Voices::Any, vec!["group:dba".parse().unwrap()]);
    AccessFlow {
        justification: JustificationRule { mode: Saying::Required, ..JustificationRule::default() },
        ..AccessFlow::new(
            "data-shop".parse().unwrap(),
            vec!["group:data".parse().unwrap()],
            access,
            ApprovalPolicy::groups(Need::All, vec![dbas], "8h".parse().unwrap()),
            DurationRule::new("60s".parse().unwrap(), "1h".parse().unwrap()),
        )
    }
}

struct Settings(Mutex<Arc<Snapshot>>);

impl Catalogue for Settings {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.0.lock().clone()
    }
}

/// A clock that stands until a test moves it.
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    fn new() -> Self {
        Self(AtomicI64::new(1_800_000_000))
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// Different ids in one world and after a restart.
struct Counter(AtomicU64, i64);

impl Counter {
    fn new(now: Timestamp) -> Self {
        Self(AtomicU64::new(0), now.as_second())
    }
}

impl Ids for Counter {
    fn entropy(&self) -> Entropy {
        let count = self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        let mut entropy = [0; 10];
        entropy[..8].copy_from_slice(&count);
        entropy[8..].copy_from_slice(&self.1.to_be_bytes()[6..]);
        entropy
    }
}

/// Two agents of one integration, which note their orders.
#[derive(Default)]
pub(crate) struct TestPlace {
    orders: Mutex<Vec<(AgentName, Order)>>,
    away: Mutex<BTreeSet<AgentName>>,
}

/// The agents of `orders`.
pub(crate) fn agents() -> [AgentName; 2] {
    ["db-eu".parse().unwrap(), "db-us".parse().unwrap()]
}

impl TestPlace {
    /// All orders since the last time, with whom they were sent to.
    pub(crate) fn take_placed(&self) -> Vec<(AgentName, Order)> {
        std::mem::take(&mut self.orders.lock())
    }

    pub(crate) fn take(&self) -> Vec<Order> {
        self.take_placed().into_iter().map(|(_, order)| order).collect()
    }

    pub(crate) fn take_one(&self) -> Order {
        let mut orders = self.take();
        assert_eq!(orders.len(), 1, "{orders:?}");
        orders.remove(0)
    }

    /// Both agents are away, or there.
    pub(crate) fn set_away(&self, away: bool) {
        *self.away.lock() = if away { agents().into() } else { BTreeSet::new() };
    }

    /// This one alone goes away.
    pub(crate) fn lose(&self, agent: &AgentName) {
        self.away.lock().insert(agent.clone());
    }

    fn is_away(&self, agent: &AgentName) -> bool {
        self.away.lock().contains(agent)
    }
}

#[async_trait]
impl Placement for TestPlace {
    fn ready(&self) -> Vec<IntegrationName> {
        let here = agents().iter().any(|agent| !self.is_away(agent));
        here.then(|| "orders".parse().unwrap()).into_iter().collect()
    }

    fn runner(&self, _: &IntegrationName) -> Runner {
        let there = agents().into_iter().filter(|agent| !self.is_away(agent));
        let candidate = |name| Candidate { name, draining: false, clock: ClockState::Ok };
        Runner::Agents(there.map(candidate).collect())
    }

    async fn send(&self, order: Order, place: Option<&AgentName>) -> Result<(), NotPlaced> {
        match place.filter(|agent| !self.is_away(agent)) {
            Some(agent) => {
                self.orders.lock().push((agent.clone(), order));
                Ok(())
            }
            None => Err(NotPlaced::AgentAway { agents: agents().into() }),
        }
    }

    fn shut_out(&self, _: AgentId) {}

    fn credential_lifetime_seconds(&self, _: &GrantSpec, _: Timestamp) -> Option<u32> {
        None
    }

    async fn credential(
        &self,
        _: &GrantSpec,
        _: Option<&AgentName>,
        _: u64,
        _: CredentialWish,
        _: Timestamp,
    ) -> Result<Credential, ConnectorError> {
        Ok(Credential::Login { user: "x".to_owned() })
    }

    async fn sessions(&self, _: &IntegrationName) -> Result<Vec<LiveSession>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn end_session(
        &self,
        _: &IntegrationName,
        _: &LiveSession,
    ) -> Result<bool, ConnectorError> {
        Ok(false)
    }
}

struct NoMeter;

impl Meter for NoMeter {
    fn activated(&self, _: &Grant, _: Timestamp) {}
    fn torn_down(&self, _: &Grant, _: &Finding) {}
    fn teardown_failed(&self, _: &Grant) {}
    fn stuck(&self, _: &Grant) {}
    fn refused(&self, _: &'static str) {}
}
