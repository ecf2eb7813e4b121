//! The agents that are connected, and the way of orders to them: a small stand-in for the server's.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use ebbgate_agent_core::CredentialOrder;
use ebbgate_broker_ports::{NotPlaced, Placement};
use ebbgate_connector_api::{Clock as _, ConnectorError, Credential, CredentialWish, ErrorKind};
use ebbgate_domain::{
    Timestamp,
    clock_offset::ClockState,
    grant::Grant,
    ids::{AgentId, GrantId},
    names::{AgentName, IntegrationName},
    order::{GrantSpec, Order, OrderAction},
    placing::{Candidate, Runner},
    session::LiveSession,
    verifier::Verifier,
};
use futures_util::future::{Either, select};
use jiff::SignedDuration;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    messages::{ToAgent, ordered},
    wire::Stream,
    world::World,
};

/// How long a person waits for an agent's answer.
const PATIENCE: u64 = 15_000;

type Waiting = BTreeMap<(GrantId, u64), oneshot::Sender<Result<String, String>>>;

/// The agents that are connected now.
#[derive(Default)]
pub(crate) struct Hub {
    next: AtomicU64,
    sessions: Mutex<BTreeMap<AgentName, Session>>,
    waiting: Mutex<Waiting>,
}

struct Session {
    number: u64,
    agent: AgentId,
    stream: Stream,
    integrations: Vec<IntegrationName>,
    /// How far the agent's clock is ahead, as it last told.
    offset: SignedDuration,
}

impl Hub {
    pub(crate) fn join(
        &self,
        stream: &Stream,
        agent: AgentId,
        integrations: Vec<IntegrationName>,
        offset: SignedDuration,
        first: ToAgent,
    ) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut sessions = self.sessions.lock();
        stream.to_agent.send(first);
        let session = Session { number, agent, stream: stream.clone(), integrations, offset };
        if let Some(former) = sessions.insert(stream.agent.clone(), session) {
            former.stream.break_off();
        }
        number
    }

    pub(crate) fn leave(&self, agent: &AgentName, number: u64) {
        let mut sessions = self.sessions.lock();
        if sessions.get(agent).is_some_and(|session| session.number == number) {
            sessions.remove(agent);
        }
    }

    pub(crate) fn evict(&self, agent: &AgentName) {
        if let Some(former) = self.sessions.lock().remove(agent) {
            former.stream.break_off();
        }
    }

    pub(crate) fn beat(&self, agent: &AgentName, offset: SignedDuration) {
        if let Some(session) = self.sessions.lock().get_mut(agent) {
            session.offset = offset;
        }
    }

    pub(crate) fn candidates(
        &self,
        integration: &IntegrationName,
        names: &[AgentName],
    ) -> Vec<Candidate> {
        let sessions = self.sessions.lock();
        let serving = names.iter().filter_map(|name| {
            let session = sessions.get(name)?;
            session.integrations.contains(integration).then(|| Candidate {
                name: name.clone(),
                draining: false,
                clock: ClockState::of(session.offset),
            })
        });
        serving.collect()
    }

    pub(crate) fn has(&self, agent: &AgentName) -> bool {
        self.sessions.lock().contains_key(agent)
    }

    pub(crate) fn serves(&self, agent: &AgentName, integration: &IntegrationName) -> bool {
        self.sessions.lock().get(agent).is_some_and(|s| s.integrations.contains(integration))
    }

    pub(crate) fn tell(&self, agent: &AgentName, message: ToAgent) -> bool {
        self.sessions.lock().get(agent).is_some_and(|s| s.stream.to_agent.send(message))
    }

    pub(crate) fn answered(&self, grant: GrantId, seq: u64, result: Result<String, String>) {
        if let Some(waiting) = self.waiting.lock().remove(&(grant, seq)) {
            // Nobody may wait any more.
            drop(waiting.send(result));
        }
    }
}

/// Where connectors run: in the agents.
pub(crate) struct Places {
    pub(crate) world: Weak<World>,
    pub(crate) hub: Arc<Hub>,
}

fn nobody(integration: &IntegrationName) -> NotPlaced {
    NotPlaced::UnknownIntegration { integration: integration.to_string() }
}

#[async_trait]
impl Placement for Places {
    fn ready(&self) -> Vec<IntegrationName> {
        let Some(world) = self.world.upgrade() else { return Vec::new() };
        let ready = |name: &&IntegrationName| self.runner(name).takes_new_grants();
        world.servers.keys().filter(ready).cloned().collect()
    }

    fn runner(&self, integration: &IntegrationName) -> Runner {
        let Some(world) = self.world.upgrade() else { return Runner::Nobody };
        Runner::Agents(self.hub.candidates(integration, &world.agents_of(integration)))
    }

    async fn send(&self, order: Order, place: Option<&AgentName>) -> Result<(), NotPlaced> {
        let integration = order.spec.integration.clone();
        let (grant, action) = (order.spec.grant, order.action);
        let world = self.world.upgrade().ok_or_else(|| nobody(&integration))?;
        let message = ToAgent::Order(Box::new(ordered(order, world.broker_clock.now())));
        let there = place.filter(|agent| self.hub.serves(agent, &integration));
        // The others that serve it hear first that the grant will be held elsewhere.
        if let Some(agent) = there.filter(|_| action == OrderAction::Provision) {
            let others = world.agents_of(&integration).into_iter().filter(|other| other != agent);
            for other in others.filter(|other| self.hub.serves(other, &integration)) {
                self.hub.tell(&other, ToAgent::Elsewhere(grant));
            }
        }
        if there.is_some_and(|agent| self.hub.tell(agent, message)) {
            return Ok(());
        }
        Err(NotPlaced::AgentAway { agents: world.agents_of(&integration) })
    }

    fn over(&self, grant: &Grant) {
        let Some(world) = self.world.upgrade() else { return };
        for other in world.agents_of(&grant.integration) {
            if grant.place.as_ref() != Some(&other) && self.hub.serves(&other, &grant.integration) {
                self.hub.tell(&other, ToAgent::ElsewhereOver(grant.id));
            }
        }
    }

    fn shut_out(&self, agent: AgentId) {
        let mut sessions = self.hub.sessions.lock();
        for (_, gone) in sessions.extract_if(.., |_, session| session.agent == agent) {
            gone.stream.break_off();
        }
    }

    fn credential_lifetime_seconds(&self, _: &GrantSpec, _: Timestamp) -> Option<u32> {
        None
    }

    async fn credential(
        &self,
        grant: &GrantSpec,
        place: Option<&AgentName>,
        seq: u64,
        wish: CredentialWish,
        _: Timestamp,
    ) -> Result<Credential, ConnectorError> {
        let failed = |kind| ConnectorError::new(kind, "register the password's verifier");
        let (Some(world), Some(agent)) = (self.world.upgrade(), place) else {
            return Err(failed(ErrorKind::Refused));
        };
        let CredentialWish::Verifier(verifier @ Verifier::Scram(_)) = wish else {
            return Err(failed(ErrorKind::Invalid));
        };
        let (answer, heard) = oneshot::channel();
        let key = (grant.grant, seq);
        self.hub.waiting.lock().insert(key, answer);
        let order = CredentialOrder { grant: grant.grant, seq, verifier };
        if !self.hub.tell(agent, ToAgent::Credential(order)) {
            self.hub.waiting.lock().remove(&key);
            return Err(failed(ErrorKind::AgentAway));
        }
        let answer = select(heard, world.sim.sleep(PATIENCE)).await;
        self.hub.waiting.lock().remove(&key);
        match answer {
            Either::Left((Ok(Ok(user)), _)) => Ok(Credential::Login { user }),
            Either::Left((Ok(Err(why)), _)) => Err(failed(ErrorKind::Refused).because(why)),
            Either::Left((Err(_), _)) | Either::Right(_) => Err(failed(ErrorKind::Unreachable)),
        }
    }

    async fn sessions(&self, _: &IntegrationName) -> Result<Vec<LiveSession>, ConnectorError> {
        Err(ConnectorError::new(ErrorKind::Invalid, "show sessions: nobody looks at them here"))
    }

    async fn end_session(
        &self,
        _: &IntegrationName,
        _: &LiveSession,
    ) -> Result<bool, ConnectorError> {
        Err(ConnectorError::new(ErrorKind::Invalid, "end a session: nobody does so here"))
    }
}
