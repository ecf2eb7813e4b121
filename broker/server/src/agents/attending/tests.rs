//! What agents are told of grants that are over elsewhere, and of orphans that are on record.

use std::{collections::BTreeMap, path::Path};

use ebbgate_broker_app::{Broker, Ports};
use ebbgate_broker_ports::{Clock as _, Snapshot, Store as _};
use ebbgate_broker_store_common::SealKeyFile;
use ebbgate_broker_store_sqlite::SqliteStore;
use ebbgate_domain::{
    audit::AuditEvent,
    grant::{Grant, Plan},
    ids::{AgentId, RequestId},
    inventory::{Resource, ResourceKind},
};
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::{
    agents::Hub,
    config::LiveConfig,
    metrics::Metrics,
    placement::Places,
    system::{SystemClock, SystemIds},
    tls::{Authority, OrderKey},
};

/// A broker's side of the agents' protocol, with its store.
struct Side {
    agents: Agents,
    store: SqliteStore,
    _dir: tempfile::TempDir,
}

impl Side {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path()).await;
        let (clock, metrics) = (Arc::new(SystemClock), Arc::new(Metrics::new()));
        let hub = Arc::new(Hub::new(OrderKey::open(dir.path()).unwrap(), metrics.clone()));
        let (local, remote) = (BTreeMap::new(), BTreeMap::new());
        let places = Arc::new(Places::new(local, remote, hub.clone(), clock.clone()));
        let nobody =
            LiveConfig::new(Snapshot::default(), Default::default(), Default::default(), None);
        let broker = Broker::new(Ports {
            store: Arc::new(store.clone()),
            catalogue: Arc::new(nobody),
            placement: places,
            clock: clock.clone(),
            ids: Arc::new(SystemIds),
            meter: metrics,
        });
        let authority = Arc::new(Authority::open(dir.path(), clock.now()).unwrap());
        let agents = Agents { broker, hub, authority, integrations: Arc::default() };
        Self { agents, store, _dir: dir }
    }

    /// An agent that attends; what it is told after its welcome.
    fn attends(
        &self,
        name: &str,
        serves: &str,
    ) -> (Attending, UnboundedReceiver<v1::BrokerMessage>) {
        let now = SystemClock.now();
        let id = AgentId::new(now, [1; 10]);
        let (name, integrations): (AgentName, Vec<IntegrationName>) =
            (name.parse().unwrap(), vec![serves.parse().unwrap()]);
        let pulse = Pulse { offset: SignedDuration::ZERO, draining: false, held: 0 };
        let welcome = v1::Welcome::default();
        let joined = self.agents.hub.join(&name, id, integrations.clone(), pulse, welcome);
        let mut told = joined.outbound;
        assert!(matches!(
            told.try_recv().unwrap().message,
            Some(broker_message::Message::Welcome(_))
        ));
        let record = AgentRecord {
            id,
            name,
            enrolled_at: now,
            certificate_expires_at: Timestamp::MAX,
            last_seen: None,
            version: None,
            integrations: integrations.clone(),
            allowed_integrations: None,
            retired: false,
            revoked: None,
        };
        let integrations = Arc::new(integrations);
        (Attending { agents: self.agents.clone(), record, integrations }, told)
    }
}

async fn store(dir: &Path) -> SqliteStore {
    SqliteStore::open(&dir.join("test.db"), &SealKeyFile::in_dir(dir)).await.unwrap()
}

/// A grant on `orders` that the agent holds.
fn held_by(agent: &str) -> Grant {
    let now = SystemClock.now();
    let resource = Resource {
        id: "orders/postgres/shop".parse().unwrap(),
        integration: "orders".parse().unwrap(),
        kind: ResourceKind::Postgres,
        native: "shop".to_owned(),
        tags: BTreeMap::new(),
    };
    let plan = Plan {
        id: GrantId::new(now, [2; 10]),
        request: RequestId::new(now, [3; 10]),
        principal: &"ana@example.com".parse().unwrap(),
        resource: &resource,
        permission: &"select".parse().unwrap(),
        rights: &[],
        flow: &"shop".parse().unwrap(),
        ticket: None,
        duration: "1h".parse().unwrap(),
        warn: None,
        recorded: false,
    };
    Grant { place: Some(agent.parse().unwrap()), ..Grant::plan(plan, now) }
}

#[tokio::test]
async fn those_who_did_not_hold_a_grant_hear_that_it_is_over() {
    let side = Side::new().await;
    let (_a, mut holder) = side.attends("db-1", "orders");
    let (_b, mut other) = side.attends("db-2", "orders");
    let (_c, mut elsewhere) = side.attends("db-3", "billing");
    let grant = held_by("db-1");
    side.agents.hub.over(&grant);
    let Some(broker_message::Message::ElsewhereOver(over)) = other.try_recv().unwrap().message
    else {
        panic!("it hears of something else")
    };
    assert_eq!((over.integration.as_str(), over.grant_id), ("orders", grant.id.to_string()));
    for told in [&mut holder, &mut other, &mut elsewhere] {
        assert!(told.try_recv().is_err());
    }
}

#[tokio::test]
async fn an_agent_hears_that_its_orphan_is_on_record_when_it_is() {
    let side = Side::new().await;
    let (agent, mut told) = side.attends("db-1", "orders");
    let grant = held_by("db-1").id;
    let finding = v1::Finding { summary: "dropped".to_owned(), ..v1::Finding::default() };
    let removed = |integration: &str| v1::OrphanRemoved {
        integration: integration.to_owned(),
        grant_id: grant.to_string(),
        finding: Some(finding.clone()),
    };
    agent.orphan(removed("billing")).await.unwrap_err();
    assert!(told.try_recv().is_err(), "it serves no such integration");

    agent.orphan(removed("orders")).await.unwrap();
    let records = side.store.audit(0, 9).await.unwrap();
    assert_eq!(records.len(), 1);
    let event: AuditEvent = serde_json::from_str(&records[0].body).unwrap();
    assert_eq!((event.action, event.grant), (Action::AgentOrphanRemoved, Some(grant)));
    assert_eq!(event.actor, Actor::Agent("db-1".parse().unwrap()));
    let Some(broker_message::Message::OrphanRecorded(recorded)) = told.try_recv().unwrap().message
    else {
        panic!("it hears of something else")
    };
    assert_eq!((recorded.integration.as_str(), recorded.grant_id), ("orders", grant.to_string()));

    // Where the store fails, the agent keeps it and tells it again.
    side.store.close().await;
    agent.orphan(removed("orders")).await.unwrap_err();
    assert!(told.try_recv().is_err());
}
