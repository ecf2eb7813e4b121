//! The broker's side: the real use cases over the models, and a small stand-in for what the server
//! does around them (streams, placement, timers). This is the one file that knows the use cases'
//! construction.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use ebbgate_agent_core::{Report, Welcome};
use ebbgate_broker_app::{AppError, Broker, DriftReport, Outbox, Ports};
use ebbgate_broker_ports::{
    Store as _,
    store::{AgentRecord, Change},
};
use ebbgate_connector_api::Clock as _;
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent},
    ids::AgentId,
    names::{AgentName, IntegrationName},
};
use futures_util::{
    StreamExt as _,
    future::{Either, select},
    stream,
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::{
    hub::{Hub, Places},
    kernel::Node,
    messages::{ToAgent, ToBroker, ordered, outcome_of},
    ports::{Counting, Mailbox, SeededIds},
    wire::Stream,
    world::World,
};

/// How many outcomes of one agent are put on record at once, as in the server.
const AT_ONCE: usize = 16;
/// How long a person waits for the broker's answer.
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
    drop(broker.settle_leavers().await);
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
            let early = scheduler.sim.chance(200);
            let pause = if early { scheduler.sim.between(1, pause) } else { pause };
            scheduler.sim.sleep(pause).await;
        }
    });
    let deliveries = Outbox::new(broker.clone(), Arc::new(Mailbox::of(Arc::clone(&world))), None);
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
        if let Err(error) = result {
            let why = ebbgate_broker_ports::chain(&error);
            world.sim.note(Node::Broker, format_args!("{} is not heard: {why}", stream.agent));
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
                hub.tell(&stream.agent, ToAgent::OrphanRecorded(integration, grant));
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
