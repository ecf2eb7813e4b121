//! Agents beside one target, that note their orders; and a meter that remembers what is stuck.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use ebbgate_broker_ports::{Meter, NotPlaced, Placement};
use ebbgate_connector_api::{ConnectorError, Credential, CredentialWish, ErrorKind};
use ebbgate_domain::{
    Timestamp,
    clock_offset::ClockState,
    grant::Grant,
    ids::{AgentId, GrantId},
    names::{AgentName, IntegrationName},
    order::{Finding, GrantSpec, Order},
    placing::{Candidate, Runner},
    session::LiveSession,
};
use parking_lot::Mutex;

use super::{agent, orders};

/// Agents beside one target; `db-eu` is there from the beginning.
pub(crate) struct TestPlace(Mutex<Inner>);

struct Inner {
    sent: Vec<(AgentName, Order)>,
    here: BTreeMap<AgentName, Candidate>,
    /// Whether the settings have the integration.
    known: bool,
    sessions: Result<Vec<LiveSession>, &'static str>,
    ended: BTreeSet<String>,
    shut_out: Vec<AgentId>,
    over: Vec<GrantId>,
}

impl Default for TestPlace {
    fn default() -> Self {
        let place = Self(Mutex::new(Inner {
            sent: Vec::new(),
            here: BTreeMap::new(),
            known: true,
            sessions: Ok(Vec::new()),
            ended: BTreeSet::new(),
            shut_out: Vec::new(),
            over: Vec::new(),
        }));
        place.comes("db-eu");
        place
    }
}

impl TestPlace {
    pub(crate) fn take(&self) -> Vec<Order> {
        self.take_sent().into_iter().map(|(_, order)| order).collect()
    }

    /// The orders since the last look, each with the agent that got it.
    pub(crate) fn take_sent(&self) -> Vec<(AgentName, Order)> {
        std::mem::take(&mut self.0.lock().sent)
    }

    pub(crate) fn take_one(&self) -> Order {
        let mut orders = self.take();
        assert_eq!(orders.len(), 1, "{orders:?}");
        orders.remove(0)
    }

    pub(crate) fn comes(&self, name: &str) {
        self.comes_as(Candidate { name: agent(name), draining: false, clock: ClockState::Ok });
    }

    pub(crate) fn comes_as(&self, candidate: Candidate) {
        self.0.lock().here.insert(candidate.name.clone(), candidate);
    }

    pub(crate) fn goes(&self, name: &str) {
        self.0.lock().here.remove(&agent(name));
    }

    /// The settings lose the integration, or have it again.
    pub(crate) fn set_known(&self, known: bool) {
        self.0.lock().known = known;
    }

    /// What the target tells of its sessions.
    pub(crate) fn shows(&self, sessions: Result<Vec<LiveSession>, &'static str>) {
        self.0.lock().sessions = sessions;
    }

    /// The grants that are over since the last look.
    pub(crate) fn take_over(&self) -> Vec<GrantId> {
        std::mem::take(&mut self.0.lock().over)
    }

    pub(crate) fn was_shut_out(&self, id: AgentId) -> bool {
        self.0.lock().shut_out.contains(&id)
    }
}

#[async_trait]
impl Placement for TestPlace {
    fn ready(&self) -> Vec<IntegrationName> {
        self.runner(&orders()).takes_new_grants().then(orders).into_iter().collect()
    }

    fn runner(&self, _: &IntegrationName) -> Runner {
        let inner = self.0.lock();
        if inner.known {
            Runner::Agents(inner.here.values().cloned().collect())
        } else {
            Runner::Nobody
        }
    }

    async fn send(&self, order: Order, place: Option<&AgentName>) -> Result<(), NotPlaced> {
        let mut inner = self.0.lock();
        if !inner.known {
            let integration = order.spec.integration.to_string();
            return Err(NotPlaced::UnknownIntegration { integration });
        }
        match place.filter(|place| inner.here.contains_key(*place)).cloned() {
            Some(place) => {
                inner.sent.push((place, order));
                Ok(())
            }
            None => Err(NotPlaced::AgentAway { agents: vec![agent("db-eu")] }),
        }
    }

    fn over(&self, grant: &Grant) {
        self.0.lock().over.push(grant.id);
    }

    fn shut_out(&self, id: AgentId) {
        let mut inner = self.0.lock();
        inner.shut_out.push(id);
        // The only one that tests enrol.
        inner.here.remove(&agent("db-eu"));
    }

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
        let sessions = self.0.lock().sessions.clone();
        sessions.map_err(|why| ConnectorError::new(ErrorKind::Unreachable, "look").because(why))
    }

    async fn end_session(
        &self,
        _: &IntegrationName,
        session: &LiveSession,
    ) -> Result<bool, ConnectorError> {
        let mut inner = self.0.lock();
        let listed = inner.sessions.as_ref().is_ok_and(|sessions| {
            sessions.iter().any(|s| s.id == session.id && s.started_at == session.started_at)
        });
        Ok(listed && inner.ended.insert(session.id.clone()))
    }
}

/// Remembers what is stuck.
#[derive(Default)]
pub(crate) struct TestMeter(Mutex<BTreeSet<GrantId>>);

impl TestMeter {
    pub(crate) fn is_stuck(&self, grant: GrantId) -> bool {
        self.0.lock().contains(&grant)
    }
}

impl Meter for TestMeter {
    fn activated(&self, _: &Grant, _: Timestamp) {}

    fn torn_down(&self, grant: &Grant, _: &Finding) {
        self.0.lock().remove(&grant.id);
    }

    fn stuck(&self, grant: &Grant) {
        self.0.lock().insert(grant.id);
    }

    fn teardown_failed(&self, grant: &Grant) {
        if grant.is_stuck() {
            self.stuck(grant);
        }
    }

    fn refused(&self, _: &'static str) {}
}
