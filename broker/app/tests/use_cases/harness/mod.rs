//! A small world around the use cases: a real SQLite store, people and one flow, a movable clock,
//! and agents that note the orders they are given.

mod place;
mod shelf;
mod target;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use ebbgate_broker_app::{Broker, Caller, ClientKey, Ports};
use ebbgate_broker_ports::{
    Address, AppliedFlows, Catalogue, Clock, Ids, Outcome, Snapshot, Store, store::GrantQuery,
};
use ebbgate_broker_store_common::SealKeyFile;
use ebbgate_broker_store_sqlite::SqliteStore;
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent},
    flow::{
        Access, AccessFlow, ApprovalPolicy, ApproverGroup, DurationRule, JustificationRule, Need,
        Policies, Saying, Voices,
    },
    grant::Grant,
    guardrail::GuardrailSet,
    ids::{Entropy, GrantId, RequestId},
    inventory::{Inventory, Resource, ResourceKind},
    names::{AgentName, ChannelName, IntegrationName, PrincipalId},
    notice::{Notice, Reach, Route},
    order::{EndCause, Finding, Order, OrderAction, Provisioned},
    principal::{Directory, Principal},
    request::AccessRequest,
    scope::{Scope, Selector},
};
use parking_lot::Mutex;
use sqlx::ConnectOptions as _;

pub(crate) use place::{TestMeter, TestPlace};
pub(crate) use shelf::files;
pub(crate) use target::Target;

/// The world of a test.
pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) place: Arc<TestPlace>,
    pub(crate) meter: Arc<TestMeter>,
    settings: Arc<Settings>,
    dir: Arc<tempfile::TempDir>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Settings(Mutex::new(Arc::new(snapshot())), None)).await
    }

    /// One whose flows are applied; there are none yet.
    pub(crate) async fn applied() -> Self {
        Self::with(nothing_applied()).await
    }

    /// Another broker of the same store, which has just started.
    pub(crate) fn another(&self) -> Self {
        let settings = Arc::new(nothing_applied());
        Self::over(self.store.clone(), self.clock.clone(), settings, self.dir.clone())
    }

    /// Runs statements as somebody with the file and a shell would.
    pub(crate) async fn run_by_hand(&self, sql: &'static str) {
        sqlx::query(sql).execute(&mut self.by_hand().await).await.unwrap();
    }

    async fn with(settings: Settings) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let key = SealKeyFile::in_dir(dir.path());
        let store = SqliteStore::open(&dir.path().join("test.db"), &key).await.unwrap();
        let store = Arc::new(store);
        Self::over(store, Arc::new(TestClock::new()), Arc::new(settings), dir)
    }

    /// The same store and time, but a broker that remembers nothing.
    pub(crate) fn restart(self) -> Self {
        Self::over(self.store, self.clock, self.settings, self.dir)
    }

    fn over(
        store: Arc<dyn Store>,
        clock: Arc<TestClock>,
        settings: Arc<Settings>,
        dir: Arc<tempfile::TempDir>,
    ) -> Self {
        let (place, meter) = (Arc::new(TestPlace::default()), Arc::new(TestMeter::default()));
        let broker = Broker::new(Ports {
            store: store.clone(),
            catalogue: settings.clone(),
            placement: place.clone(),
            clock: clock.clone(),
            ids: Arc::new(Counter::new(clock.now())),
            meter: meter.clone(),
        });
        Self { broker, store, clock, place, meter, settings, dir }
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

    /// Puts these guardrails in force.
    pub(crate) fn guard(&self, guardrails: GuardrailSet) {
        let mut slot = self.settings.0.lock();
        let mut next = (**slot).clone();
        next.policies.guardrails = guardrails;
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
            let items = self.store.take_notices(&mailbox(), now, until, 1_000).await.unwrap();
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
                OrderAction::Provision => Outcome::Provisioned(Provisioned::default()),
                OrderAction::Revoke => torn_down(self.now()),
            };
            self.answer(&order, outcome).await;
        }
    }

    /// The agent that has the grant answers.
    pub(crate) async fn answer(&self, order: &Order, outcome: Outcome) {
        let place = self.grant(order.spec.grant).await.place.unwrap();
        self.answer_as(place.as_str(), order, outcome).await;
    }

    pub(crate) async fn answer_as(&self, name: &str, order: &Order, outcome: Outcome) {
        let agent = Actor::Agent(agent(name));
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

    /// Lets every change of a grant fail, as a failing disk would, or work again.
    pub(crate) async fn spoil(&self, grant: GrantId, spoilt: bool) {
        let mut connection = self.by_hand().await;
        let statement = if spoilt {
            format!(
                "CREATE TRIGGER spoilt BEFORE UPDATE ON grants WHEN old.id = '{grant}'
                 BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"
            )
        } else {
            "DROP TRIGGER spoilt".to_owned()
        };
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }

    /// Changes a grant's record as somebody does who has the database and not the key.
    pub(crate) async fn tamper_with(&self, grant: GrantId) {
        let mut connection = self.by_hand().await;
        let statement = format!(
            "UPDATE grants SET document = replace(document, 'select', 'full') WHERE id = '{grant}'"
        );
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }

    async fn by_hand(&self) -> sqlx::SqliteConnection {
        let file = self.dir.path().join("test.db");
        sqlx::sqlite::SqliteConnectOptions::new().filename(file).connect().await.unwrap()
    }

    /// A back-up of the store as it is now.
    pub(crate) async fn back_up(&self) -> PathBuf {
        let copy = self.dir.path().join("backup.db");
        let mut connection = self.by_hand().await;
        let statement = format!("VACUUM INTO '{}'", copy.display());
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        copy
    }

    /// The broker over a back-up that its operator vouches for.
    pub(crate) async fn restored(self, backup: &Path) -> Self {
        let key = SealKeyFile::in_dir(self.dir.path());
        SqliteStore::seal(backup, &key, true).await.unwrap();
        let store = SqliteStore::open(backup, &key).await.unwrap();
        Self::over(Arc::new(store), self.clock, self.settings, self.dir)
    }

    /// The only grant there is.
    pub(crate) async fn only_grant(&self) -> Grant {
        let all = GrantQuery { limit: 2, ..GrantQuery::default() };
        let mut found = self.store.grants(&all).await.unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0).value
    }

    /// Those of one kind.
    pub(crate) async fn events_of(&self, action: Action) -> Vec<AuditEvent> {
        self.events().await.into_iter().filter(|event| event.action == action).collect()
    }
}

pub(crate) fn id(name: &str) -> PrincipalId {
    format!("{name}@example.com").parse().unwrap()
}

pub(crate) fn key(key: &str, fingerprint: &str) -> ClientKey {
    ClientKey { key: key.to_owned(), fingerprint: fingerprint.to_owned() }
}

/// Torn down as it was ordered.
pub(crate) fn torn_down(at: Timestamp) -> Outcome {
    Outcome::TornDown { finding: finding(at), cause: EndCause::Ordered }
}

pub(crate) fn finding(at: Timestamp) -> Finding {
    Finding { checked_at: at, closed_at: at, sessions_ended: 0, summary: "gone".to_owned() }
}

/// The one channel there is.
pub(crate) fn mailbox() -> ChannelName {
    "mailbox".parse().unwrap()
}

fn snapshot() -> Snapshot {
    let person = |name: &str, group: &str| Principal::new(id(name), [group.parse().unwrap()]);
    let address = Address::Postgres { host: "db.internal".to_owned(), port: 5_432 };
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
            person("adam", "platform"),
        ]),
        policies: Policies {
            scopes: [(scope.name.clone(), scope)].into(),
            flows: [(flow().name, flow())].into(),
            ..Policies::default()
        },
        inventory: Inventory::new([resource]),
        administrators: vec!["user:adam@example.com".parse().unwrap()],
        auditors: vec!["group:audit".parse().unwrap()],
        routes: vec![Route {
            channel: mailbox(),
            reach: Reach::Watchers { events: vec!["*".to_owned()] },
        }],
        agents: [(orders(), vec![agent("db-eu"), agent("db-us")])].into(),
        addresses: [(orders(), address)].into(),
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

/// The snapshot, and the number of the flows where they are applied.
struct Settings(Mutex<Arc<Snapshot>>, Option<AtomicU64>);

fn nothing_applied() -> Settings {
    let mut snapshot = snapshot();
    snapshot.policies.flows.clear();
    Settings(Mutex::new(Arc::new(snapshot)), Some(AtomicU64::new(0)))
}

impl Catalogue for Settings {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.0.lock().clone()
    }

    fn applied(&self) -> Option<&dyn AppliedFlows> {
        self.1.is_some().then_some(self)
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

pub(crate) fn orders() -> IntegrationName {
    "orders".parse().unwrap()
}

pub(crate) fn agent(name: &str) -> AgentName {
    name.parse().unwrap()
}
