//! The agents' side: the real core, and a small stand-in for the daemon around it (journal, effects,
//! uplink, timer). This is the one file that drives the core.

use std::{collections::BTreeMap, sync::Arc};

use ebbgate_agent_core::{
    Agent, Done, Effect, Failure, Look, Outcome, Reading, Record, Report, Step,
};
use ebbgate_domain::{
    ids::{AgentId, GrantId},
    names::{AgentName, IntegrationName},
};
use futures_util::future::select;
use jiff::SignedDuration;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::{
    clocks::NodeClock,
    connector::Connector,
    disk::Disk,
    effects::{see_through, text},
    kernel::{Millis, Node, Sim},
    ledger::Ledger,
    messages::{ToAgent, ToBroker},
    scenario::Sabotage,
    wire::Stream,
    world::World,
};

/// The longest sleep.
const TICK: Millis = 1_000;
/// How often targets are searched for what nobody knows.
pub const SWEEP_EVERY: Millis = 600_000;
/// How often the broker is told that the agent lives.
const HEARTBEAT_EVERY: Millis = 10_000;

/// An agent's machine: what outlives its process.
pub struct Host {
    /// Its place among all.
    pub node: Node,
    /// Its name.
    pub name: AgentName,
    /// Its id.
    pub id: AgentId,
    /// What it serves.
    pub integrations: Vec<IntegrationName>,
    /// Its clocks.
    pub clock: NodeClock,
    /// Its journal.
    pub disk: Disk,
    /// What the checker knows of the deadlines that it was told.
    pub ledger: Ledger,
    /// Since when its process runs; none where it does not.
    pub up_since: Mutex<Option<Millis>>,
    /// Since when its stream stands, as it sees that.
    pub attached_since: Mutex<Option<Millis>>,
    /// What it began and must not have.
    pub misdeeds: Mutex<Vec<Deed>>,
    /// Whether the machine is off, so that nobody starts the process.
    pub off: Mutex<bool>,
}

/// Something that an agent must never begin.
#[derive(Debug, Clone, Copy)]
pub enum Deed {
    /// To provision what it has intended to tear down.
    ProvisionedAgain(GrantId),
    /// To touch a target without having said so.
    Unannounced(GrantId),
}

enum Event {
    Attached(Stream),
    Detached,
    Heard(ToAgent),
    Ended(GrantId, Done),
    Looked(Look),
}

/// Keeps an agent up: starts it, and starts it again some time after each death.
pub async fn supervise(world: Arc<World>, index: usize) {
    let host = Arc::clone(&world.hosts[index]);
    let death = world.sim.death(host.node);
    loop {
        while *host.off.lock() {
            world.sim.sleep(200).await;
        }
        *host.up_since.lock() = Some(world.sim.now());
        world.sim.note(host.node, format_args!("starts"));
        let (one, keeper) = (Arc::clone(&world), Arc::clone(&host));
        world.sim.spawn(host.node, async move { Process::run(one, keeper).await });
        death.notified().await;
        *host.up_since.lock() = None;
        *host.attached_since.lock() = None;
        world.wire.break_stream(&host.name);
        let pause = match world.sim.below(5) {
            0 => world.sim.between(10_000, 90_000),
            _ => world.sim.between(20, 3_000),
        };
        world.sim.sleep(pause).await;
    }
}

/// One life of an agent's process.
struct Process {
    world: Arc<World>,
    sim: Sim,
    host: Arc<Host>,
    agent: Agent,
    connectors: BTreeMap<IntegrationName, Connector>,
    events: mpsc::UnboundedSender<Event>,
    stream: Option<Stream>,
    sweep_at: Option<Millis>,
    heartbeat_at: Option<Millis>,
    redial: Arc<Notify>,
    /// Records that no disk has yet.
    unwritten: Vec<Record>,
}

impl Process {
    async fn run(world: Arc<World>, host: Arc<Host>) {
        let (events, mut inbox) = mpsc::unbounded_channel();
        let connectors = host
            .integrations
            .iter()
            .filter_map(|name| Some((name.clone(), world.servers.get(name)?.clone())))
            .map(|(name, server)| (name, Connector::new(server, world.sabotage)))
            .collect();
        let state = host.disk.open();
        let mut agent = Agent::new(state, host.integrations.iter().cloned().collect());
        for (integration, grace) in &world.graces {
            let grace = i64::try_from(*grace).unwrap_or(i64::MAX);
            agent = agent.with_grace(integration.clone(), SignedDuration::from_millis(grace));
        }
        host.ledger.restarted(&host.clock, world.sim.now());
        let mut process = Self {
            sim: world.sim.clone(),
            world,
            host,
            agent,
            connectors,
            events,
            stream: None,
            sweep_at: None,
            heartbeat_at: None,
            redial: Arc::default(),
            unwritten: Vec::new(),
        };
        let now = process.host.clock.reading();
        let steps = process.agent.on_start(&now);
        process.carry_out(steps, &now).await;
        process.sim.spawn(
            process.host.node,
            uplink(
                Arc::clone(&process.world),
                Arc::clone(&process.host),
                process.events.clone(),
                Arc::clone(&process.redial),
            ),
        );
        loop {
            let pause = process.pause();
            let mut events = Vec::new();
            let heard = Box::pin(inbox.recv_many(&mut events, 256));
            drop(select(heard, process.sim.sleep(pause)).await);
            process.turn(events).await;
        }
    }

    fn pause(&self) -> Millis {
        let wake = self.agent.next_wake(&self.host.clock.reading());
        let wake = wake.map_or(TICK, |wake| u64::try_from(wake.as_millis()).unwrap_or(0));
        wake.clamp(1, TICK)
    }

    async fn turn(&mut self, events: Vec<Event>) {
        let now = self.host.clock.reading();
        let mut steps = Vec::new();
        for event in events {
            steps.extend(self.take(event, &now));
        }
        steps.extend(self.agent.on_tick(&now));
        self.carry_out(steps, &now).await;
        self.beat_if_due();
        self.sweep_if_due();
    }

    fn take(&mut self, event: Event, now: &Reading) -> Vec<Step> {
        match event {
            Event::Attached(stream) => {
                self.agent.on_asking(true, now);
                let integrations = self.host.integrations.clone();
                stream.to_broker.send(ToBroker::Hello { integrations, now: now.wall });
                self.stream = Some(stream);
                self.heartbeat_at = None;
                Vec::new()
            }
            Event::Detached => {
                self.stream = None;
                *self.host.attached_since.lock() = None;
                Vec::new()
            }
            Event::Heard(message) => {
                self.agent.on_heard(now);
                self.host.ledger.heard(self.sim.now());
                let twice = self.sim.chance(self.world.profile.duplicates);
                let mut steps = Vec::new();
                for _ in 0..=u8::from(twice) {
                    steps.extend(self.hear(message.clone(), now));
                }
                steps
            }
            Event::Ended(grant, done) => {
                let comes_back = self.world.sabotage == Some(Sabotage::ComesBack)
                    && matches!(done, Done::Revoke(Ok(_)));
                let steps = self.agent.on_done(grant, done, now);
                if let Some(held) = self.agent.state().get(grant).filter(|_| comes_back) {
                    self.begin(Effect::Provision(held.spec.clone()));
                }
                steps
            }
            Event::Looked(look) if self.stream.is_some() => self.agent.on_look(look, now),
            Event::Looked(_) => Vec::new(),
        }
    }

    fn hear(&mut self, message: ToAgent, now: &Reading) -> Vec<Step> {
        match message {
            ToAgent::Welcome(mut welcome) => {
                self.sim.note(
                    self.host.node,
                    format_args!("is welcomed: {} orders", welcome.orders.len()),
                );
                *self.host.attached_since.lock() = Some(self.sim.now());
                self.sweep_at = Some(self.sim.now());
                self.heartbeat_at = Some(self.sim.now() + HEARTBEAT_EVERY);
                for order in &mut welcome.orders {
                    self.offered(order);
                }
                self.agent.on_welcome(welcome, false, now)
            }
            ToAgent::Order(mut order) => {
                let what = order.order.action;
                let (grant, seq) = (order.order.spec.grant, order.order.seq);
                self.sim.note(self.host.node, format_args!("is ordered: {what:?} {grant} #{seq}"));
                self.offered(&mut order);
                self.agent.on_order(*order, false, now)
            }
            ToAgent::Credential(order) => {
                if self.world.sabotage == Some(Sabotage::LeakedVerifier) {
                    self.host.disk.leak(text(&order.verifier));
                }
                self.agent.on_credential(order, now)
            }
            ToAgent::Elsewhere(grant) => {
                self.agent.on_elsewhere(grant);
                Vec::new()
            }
            ToAgent::ElsewhereOver(grant) => self.agent.on_elsewhere_over(grant, now),
            ToAgent::OrphanRecorded(integration, grant) => {
                self.agent.on_orphan_recorded(&integration, grant);
                Vec::new()
            }
            ToAgent::Time(broker_now) => self.agent.on_broker_time(broker_now, now),
            ToAgent::Recorded { grant, seq } => self.agent.on_recorded(grant, seq),
        }
    }

    /// What the broker has promised, before anybody can take it otherwise.
    fn offered(&self, ordered: &mut ebbgate_agent_core::Ordered) {
        let left = i64::try_from(ordered.remaining.as_millis()).unwrap_or(i64::MAX);
        self.host.ledger.offered(&ordered.order.spec, left, self.sim.now());
        if self.world.sabotage == Some(Sabotage::NoDeadlines) {
            let month = SignedDuration::from_hours(24 * 31);
            ordered.remaining = month;
            ordered.order.spec.deadline += month;
        }
    }

    /// First the records, then what they announce.
    async fn carry_out(&mut self, steps: Vec<Step>, now: &Reading) {
        let mut steps = self.agent.without_overtaken(steps, now);
        let records: Vec<Record> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Append(record) => Some(record.clone()),
                _ => None,
            })
            .collect();
        self.host.ledger.told(&records);
        if self.world.sabotage == Some(Sabotage::EffectFirst) {
            self.begin_all(&mut steps);
            self.sim.sleep(self.sim.below(50)).await;
        }
        self.crash_around(&records).await;
        let written = self.host.disk.append(&records, self.agent.state(), self.world.sabotage);
        self.unwritten.extend(records.iter().cloned());
        if written.is_ok() {
            self.host.ledger.written(&std::mem::take(&mut self.unwritten), &self.host.clock);
            self.crash_after(&records).await;
        } else {
            self.sim.count("journal full");
            steps = self.without_records(steps, now);
        }
        self.begin_all(&mut steps);
        for step in steps {
            match step {
                Step::Report(report) => self.tell(report),
                Step::AskAnew => {
                    self.sim.count("asked anew");
                    self.redial();
                }
                Step::Alarm(alarm) => self.sim.note(self.host.node, format_args!("{alarm}")),
                Step::Append(_) | Step::Begin(_) => {}
            }
        }
    }

    /// Gives the stream up for a new one.
    fn redial(&mut self) {
        if self.stream.take().is_some() {
            self.redial.notify_one();
        }
    }

    fn beat_if_due(&mut self) {
        let now = self.sim.now();
        let Some(stream) = self.stream.clone() else { return };
        if self.heartbeat_at.is_none_or(|at| at > now) {
            return;
        }
        self.heartbeat_at = Some(now + HEARTBEAT_EVERY);
        let reading = self.host.clock.reading();
        self.agent.on_asking(false, &reading);
        stream.to_broker.send(ToBroker::Heartbeat { now: reading.wall });
    }

    fn begin_all(&self, steps: &mut Vec<Step>) {
        steps.retain(|step| match step {
            Step::Begin(effect) => {
                self.begin(effect.clone());
                false
            }
            _ => true,
        });
    }

    async fn crash_around(&self, records: &[Record]) {
        if records.is_empty() || !self.sim.chance(self.world.agent_crash_risk()) {
            return;
        }
        if self.sim.chance(500) {
            self.crash("before_intent", "agent crash before intent").await;
        }
        let whole = self.host.disk.tear(&self.sim, records);
        self.host.ledger.written(&records[..whole], &self.host.clock);
        self.crash("while it writes", "agent crash while writing").await;
    }

    async fn crash_after(&self, records: &[Record]) {
        if records.is_empty() || !self.sim.chance(self.world.agent_crash_risk()) {
            return;
        }
        let is_intent = |record: &Record| {
            matches!(record, Record::ProvisionIntended { .. } | Record::RevokeIntended { .. })
        };
        if records.iter().any(is_intent) {
            self.crash("after_intent", "agent crash after intent").await;
        }
        self.crash("after_record", "agent crash after record").await;
    }

    async fn crash(&self, at: &str, what: &'static str) {
        self.sim.note(self.host.node, format_args!("dies {at}"));
        self.sim.count(what);
        self.sim.die(self.host.node).await;
    }

    /// Tearing down goes on without a record; giving access never does.
    fn without_records(&mut self, steps: Vec<Step>, now: &Reading) -> Vec<Step> {
        let mut allowed = Vec::new();
        for step in steps {
            match step {
                Step::Begin(effect @ (Effect::Provision(_) | Effect::Credential { .. })) => {
                    let done = effect.failed(Failure::passing("the journal cannot be written"));
                    let refused = self.agent.on_done(effect.grant(), done, now);
                    allowed.extend(self.without_records(refused, now));
                }
                other => allowed.push(other),
            }
        }
        allowed
    }

    fn begin(&self, effect: Effect) {
        let (grant, disk) = (effect.grant(), &self.host.disk);
        let (ending, behind) = (disk.has_intended_end(grant), disk.is_behind());
        let deed = match &effect {
            Effect::Provision(_) if ending => Some(Deed::ProvisionedAgain(grant)),
            Effect::Provision(_) if !disk.has_intended(grant) => Some(Deed::Unannounced(grant)),
            Effect::Revoke(_) if !ending && !behind => Some(Deed::Unannounced(grant)),
            _ => None,
        };
        self.host.misdeeds.lock().extend(deed);
        let idle = self.world.sabotage == Some(Sabotage::IdleTeardowns);
        if idle && matches!(effect, Effect::Revoke(_)) {
            return;
        }
        let Some(connector) = self.connectors.get(effect.integration()).cloned() else {
            let failure = Failure::lasting("the integration is not in the settings");
            let ended = Event::Ended(effect.grant(), effect.failed(failure));
            drop(self.events.send(ended));
            return;
        };
        let (sim, host) = (self.sim.clone(), Arc::clone(&self.host));
        let (world, events) = (Arc::clone(&self.world), self.events.clone());
        self.sim.spawn(host.node, async move {
            let (grant, done) = see_through(effect, &connector, &host).await;
            if sim.chance(world.agent_crash_risk()) {
                sim.note(host.node, format_args!("dies after_effect on {grant}"));
                sim.count("agent crash after effect");
                sim.die(host.node).await;
            }
            drop(events.send(Event::Ended(grant, done)));
        });
    }

    fn tell(&self, report: Report) {
        if let Report::Outcome { grant, seq, outcome, .. } = &report {
            let outcome = match outcome {
                Outcome::Provisioned(_) => "provisioned".to_owned(),
                Outcome::TornDown { cause, .. } => format!("torn down, {cause:?}"),
                Outcome::Stale { newest } => format!("stale, newest {newest}"),
                Outcome::ProvisionFailed(failure) => {
                    format!("not provisioned: {}", failure.message)
                }
                Outcome::TeardownFailed(failure) => format!("not torn down: {}", failure.message),
            };
            self.sim.note(self.host.node, format_args!("{grant} #{seq}: {outcome}"));
        }
        if let Some(stream) = &self.stream {
            stream.to_broker.send(ToBroker::Report(report));
        }
    }

    fn sweep_if_due(&mut self) {
        let now = self.sim.now();
        let due = self.sweep_at.is_some_and(|at| at <= now) && self.stream.is_some();
        if !due || self.world.sabotage == Some(Sabotage::NoSweep) {
            return;
        }
        self.sweep_at = Some(now + SWEEP_EVERY);
        for (integration, connector) in &self.connectors {
            let (integration, connector) = (integration.clone(), connector.clone());
            let (started, events) = (self.host.clock.reading(), self.events.clone());
            self.sim.spawn(self.host.node, async move {
                let found = connector.marked().await.map_err(|failure| failure.message);
                let look = Look { integration, started, found, marks_every_grant: true };
                drop(events.send(Event::Looked(look)));
            });
        }
    }
}

/// Keeps a stream open, and opens it again whenever it breaks.
async fn uplink(
    world: Arc<World>,
    host: Arc<Host>,
    events: mpsc::UnboundedSender<Event>,
    redial: Arc<Notify>,
) {
    let mut failures = 0_u32;
    loop {
        if let Some(stream) = world.wire.dial(&host.name).await {
            failures = 0;
            drop(events.send(Event::Attached(stream.clone())));
            let hear = Box::pin(async {
                while let Some(message) = stream.to_agent.recv().await {
                    drop(events.send(Event::Heard(message)));
                }
            });
            drop(select(hear, Box::pin(redial.notified())).await);
            stream.break_off();
        } else {
            failures += 1;
        }
        drop(events.send(Event::Detached));
        let most = (200_u64 << failures.min(10)).min(30_000);
        world.sim.sleep(world.sim.between(200, most)).await;
    }
}
