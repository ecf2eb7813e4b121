//! The broker's side: the real use cases over the models, and a small stand-in for what the server
//! does around them (streams, placement, timers). This is the one file that knows the use cases'
//! construction.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use ebbgate_agent_core::{CredentialOrder, Report, Welcome};
use ebbgate_broker_app::{AppError, Broker, DriftReport, Outbox, Ports};
use ebbgate_broker_ports::{
    NotPlaced, Placement, Store as _,
    store::{AgentRecord, Change},
};
use ebbgate_connector_api::{Clock, ConnectorError, Credential, CredentialWish, ErrorKind};
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent},
    clock_offset::ClockState,
    ids::{AgentId, GrantId},
    names::{AgentName, IntegrationName},
    order::{GrantSpec, Order},
    placing::{Candidate, Runner},
    session::LiveSession,
    verifier::Verifier,
};
use futures_util::{
    StreamExt as _,
    future::{Either, select},
    stream,
};
use jiff::SignedDuration;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::{
    kernel::Node,
    messages::{ToAgent, ToBroker, ordered, outcome_of},
    ports::{Counting, Mailbox, SeededIds},
    wire::Stream,
    world::World,
};

/// How many outcomes of one agent are put on record at once, as in the server.
const AT_ONCE: usize = 16;
/// How long a person waits for an agent's answer, and for the broker's.
const PATIENCE: u64 = 15_000;
/// The longest sleep of scheduler and outbox.
const TICK: u64 = 1_000;

/// Where the broker lives: its present process, if it is up.
#[derive(Default)]
pub struct House {
    present: Mutex<Option<Life>>,
    world: OnceLock<std::sync::Weak<World>>,
}

#[derive(Clone)]
struct Life {
    broker: Broker,
    hub: Arc<Hub>,
    since: u64,
}

impl House {
    /// Says where the house stands. Comes before everything else.
    pub fn settle(&self, world: &Arc<World>) {
        self.world.get_or_init(|| Arc::downgrade(world));
    }

    fn world(&self) -> Option<Arc<World>> {
        self.world.get()?.upgrade()
    }

    /// A person's or a timer's call on the broker; none where it is down, dies over it, or does
    /// not answer in time.
    pub async fn call<T, F>(&self, work: impl FnOnce(Broker) -> F) -> Option<T>
    where
        T: 'static,
        F: Future<Output = T> + 'static,
    {
        let sim = self.world()?.sim.clone();
        let broker = self.present.lock().as_ref().map(|life| life.broker.clone())?;
        let (answer, heard) = oneshot::channel();
        let work = work(broker);
        sim.spawn(Node::Broker, async move {
            // Whoever asked may have gone away meanwhile.
            drop(answer.send(work.await));
        });
        match select(heard, sim.sleep(PATIENCE)).await {
            Either::Left((answer, _)) => answer.ok(),
            Either::Right(_) => None,
        }
    }

    /// Since when it has been up; none where it is down.
    pub fn up_since(&self) -> Option<u64> {
        self.present.lock().as_ref().map(|life| life.since)
    }

    /// Whether an agent's stream stands.
    pub fn attends(&self, agent: &AgentName) -> bool {
        self.present.lock().as_ref().is_some_and(|life| life.hub.has(agent))
    }
}

/// Keeps the broker up: starts it, and starts it again some time after each death.
pub async fn supervise(world: Arc<World>) {
    let death = world.sim.death(Node::Broker);
    loop {
        start(&world);
        death.notified().await;
        *world.broker.present.lock() = None;
        world.wire.set_door(None);
        world.wire.break_all();
        let pause = match world.sim.below(4) {
            0 => world.sim.between(20_000, 120_000),
            _ => world.sim.between(50, 5_000),
        };
        world.sim.sleep(pause).await;
    }
}

fn start(world: &Arc<World>) {
    world.sim.note(Node::Broker, format_args!("starts"));
    let hub = Arc::new(Hub::default());
    let broker = Broker::new(Ports {
        store: Arc::new(world.store.clone()),
        catalogue: world.settings.clone(),
        placement: Arc::new(Places { world: Arc::downgrade(world), hub: Arc::clone(&hub) }),
        clock: world.broker_clock.clone(),
        ids: Arc::new(SeededIds(world.sim.clone())),
        meter: Arc::new(Counting(world.sim.clone())),
    });
    let life = Life { broker, hub, since: world.sim.now() };
    *world.broker.present.lock() = Some(life.clone());
    let world = Arc::clone(world);
    world.sim.clone().spawn(Node::Broker, async move { live(world, life).await });
}

/// What the server does, in its order: what fell due, then the door, the timers, the outbox.
async fn live(world: Arc<World>, life: Life) {
    let Life { broker, hub, .. } = life;
    // A store that fails now is no reason not to start; the scheduler comes back to it.
    while broker.settle_leavers().await.is_err() {
        world.sim.sleep(TICK).await;
    }
    broker.do_due().await;
    let started = AuditEvent::new(Action::BrokerStarted, Actor::Broker, broker.now());
    while broker.note(started.clone()).await.is_err() {
        world.sim.sleep(TICK).await;
    }
    let (door, mut callers) = mpsc::unbounded_channel();
    world.wire.set_door(Some(door));
    let (server, scheduler, outbox) = (Arc::clone(&world), Arc::clone(&world), Arc::clone(&world));
    let due = broker.clone();
    world.sim.spawn(Node::Broker, async move {
        loop {
            due.do_due().await;
            let pause = scheduler.store.next_due(due.now()).await.ok().flatten();
            let pause = pause.map_or(TICK, |at| {
                u64::try_from(at.duration_since(due.now()).as_millis()).unwrap_or(0).clamp(1, TICK)
            });
            // An early wake-up now and then stands for those that the use cases give it.
            scheduler.sim.sleep(scheduler.sim.between(1, pause)).await;
        }
    });
    let deliveries = Outbox::new(broker.clone(), Arc::new(Mailbox(Arc::clone(&world))));
    world.sim.spawn(Node::Broker, async move {
        loop {
            deliveries.deliver_due().await;
            outbox.sim.sleep(TICK).await;
        }
    });
    while let Some(stream) = callers.recv().await {
        let (server, broker, hub) = (Arc::clone(&server), broker.clone(), Arc::clone(&hub));
        world.sim.spawn(Node::Broker, async move {
            if let Err(error) = attend(&server, &broker, &hub, &stream).await {
                server.sim.note(Node::Broker, format_args!("{}: {error}", stream.agent));
            }
            stream.break_off();
        });
    }
}

/// An agent's stream, from its Hello to its end.
async fn attend(
    world: &World,
    broker: &Broker,
    hub: &Hub,
    stream: &Stream,
) -> Result<(), AppError> {
    let Some(ToBroker::Hello { integrations: offered, now }) = stream.to_broker.recv().await else {
        return Ok(());
    };
    let Some(id) = world.agent_id(&stream.agent) else { return Ok(()) };
    let offset = now.duration_since(broker.now());
    let record = broker.known_agent(id).await?;
    let integrations = world.served_by(&stream.agent, &offered);
    let record = AgentRecord { integrations: integrations.clone(), ..record };
    // What is sent from now on must not go into the old stream: the new one's Welcome has it.
    hub.evict(&stream.agent);
    let standing = broker.standing(&stream.agent, &integrations).await?;
    let now = broker.now();
    let welcome = Welcome {
        orders: standing.orders.into_iter().map(|order| ordered(order, now)).collect(),
        unread: Vec::new(),
        whole: true,
        elsewhere: standing.elsewhere.into_iter().collect(),
        served: integrations.iter().cloned().collect(),
        broker_now: now,
    };
    broker.note_agent(record.clone(), Action::AgentConnected).await?;
    let number = hub.join(stream, id, integrations.clone(), offset, ToAgent::Welcome(welcome));
    world.sim.note(Node::Broker, format_args!("{} is connected", stream.agent));
    broker.wake();
    broker.relieve(&integrations).await?;

    let incoming = stream::unfold(stream, |stream| async move {
        stream.to_broker.recv().await.map(|message| (message, stream))
    });
    let hear = |message| hear(world, broker, hub, stream, &integrations, message);
    let mut heard = Box::pin(incoming.map(hear).buffer_unordered(AT_ONCE));
    while let Some(result) = heard.next().await {
        if result.is_err() {
            break;
        }
    }
    drop(heard);
    hub.leave(&stream.agent, number);
    broker.note_agent(record, Action::AgentDisconnected).await
}

async fn hear(
    world: &World,
    broker: &Broker,
    hub: &Hub,
    stream: &Stream,
    integrations: &[IntegrationName],
    message: ToBroker,
) -> Result<(), AppError> {
    let report = match message {
        ToBroker::Report(report) => report,
        ToBroker::Heartbeat { now } => {
            hub.beat(&stream.agent, now.duration_since(broker.now()));
            hub.tell(&stream.agent, ToAgent::Time(broker.now()));
            return Ok(());
        }
        ToBroker::Hello { .. } => return Ok(()),
    };
    let twice = world.sim.chance(world.profile.duplicates);
    let actor = Actor::Agent(stream.agent.clone());
    for _ in 0..=u8::from(twice) {
        match report.clone() {
            Report::Outcome { grant, seq, outcome, .. } => {
                let (outcome, torn_down) = outcome_of(outcome);
                if broker.is_on(grant, integrations).await? {
                    let now = broker.now();
                    broker.record_outcome(grant, seq, outcome, actor.clone(), now).await?;
                }
                if torn_down {
                    hub.tell(&stream.agent, ToAgent::Recorded { grant, seq });
                }
            }
            Report::Credential { grant, seq, result } => {
                hub.answered(grant, seq, result.map_err(|failure| failure.message));
            }
            Report::OrphanRemoved { integration, grant, finding } => {
                broker.record_orphan(&integration, grant, &finding, actor.clone()).await?;
            }
            Report::Swept(swept) => {
                let report = DriftReport {
                    integration: swept.integration,
                    at: swept.at,
                    by: actor.clone(),
                    marked: u32::try_from(swept.marked).unwrap_or(u32::MAX),
                    orphans: swept.orphans,
                    missing: swept.missing,
                    error: swept.error,
                };
                broker.record_drift(report).await?;
            }
        }
    }
    Ok(())
}

type Waiting = BTreeMap<(GrantId, u64), oneshot::Sender<Result<String, String>>>;

/// The agents that are connected now.
#[derive(Default)]
struct Hub {
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
    fn join(
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

    fn leave(&self, agent: &AgentName, number: u64) {
        let mut sessions = self.sessions.lock();
        if sessions.get(agent).is_some_and(|session| session.number == number) {
            sessions.remove(agent);
        }
    }

    fn evict(&self, agent: &AgentName) {
        if let Some(former) = self.sessions.lock().remove(agent) {
            former.stream.break_off();
        }
    }

    fn beat(&self, agent: &AgentName, offset: SignedDuration) {
        if let Some(session) = self.sessions.lock().get_mut(agent) {
            session.offset = offset;
        }
    }

    fn candidates(&self, integration: &IntegrationName, names: &[AgentName]) -> Vec<Candidate> {
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

    fn has(&self, agent: &AgentName) -> bool {
        self.sessions.lock().contains_key(agent)
    }

    fn serves(&self, agent: &AgentName, integration: &IntegrationName) -> bool {
        self.sessions.lock().get(agent).is_some_and(|s| s.integrations.contains(integration))
    }

    fn tell(&self, agent: &AgentName, message: ToAgent) -> bool {
        self.sessions.lock().get(agent).is_some_and(|s| s.stream.to_agent.send(message))
    }

    fn answered(&self, grant: GrantId, seq: u64, result: Result<String, String>) {
        if let Some(waiting) = self.waiting.lock().remove(&(grant, seq)) {
            // Nobody may wait any more.
            drop(waiting.send(result));
        }
    }
}

/// Where connectors run: in the agents.
struct Places {
    world: std::sync::Weak<World>,
    hub: Arc<Hub>,
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
        let world = self.world.upgrade().ok_or_else(|| nobody(&integration))?;
        let message = ToAgent::Order(ordered(order, world.broker_clock.now()));
        let there = place.filter(|agent| self.hub.serves(agent, &integration));
        if there.is_some_and(|agent| self.hub.tell(agent, message)) {
            return Ok(());
        }
        Err(NotPlaced::AgentAway { agents: world.agents_of(&integration) })
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

/// Puts an agent on record, as its enrolment would.
pub async fn enrol(world: &World, id: AgentId, name: &AgentName) {
    let record = AgentRecord {
        id,
        name: name.clone(),
        enrolled_at: world.broker_clock.now(),
        certificate_expires_at: Timestamp::MAX,
        last_seen: None,
        version: None,
        integrations: Vec::new(),
        allowed_integrations: None,
        retired: false,
        revoked: None,
    };
    let change = Change { agents: vec![record], ..Change::default() };
    // Nothing can fail yet: no risk is set before the run begins.
    world.store.commit(change).await.unwrap();
}
