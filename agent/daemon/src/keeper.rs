//! The one task that decides: everything that happens comes to it, in order, and it alone writes
//! the journal. It waits for nothing but its inbox and its timer, so a dead target or a broker that
//! is gone never makes it late.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ebbgate_agent_core::{Agent, Effect, Failure, Look, Outcome, Reading, Record, Report, Step};
use ebbgate_connector_api::crash;
use ebbgate_domain::ids::GrantId;
use ebbgate_proto::v1;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clocks,
    convert::{self, Heard, Rejected},
    effects::{Ended, Lanes},
    journal::Journal,
    sessions::Sessions,
    settings::Connectors,
    sweep::{self, Sweeps},
    telemetry::chain,
};

/// The longest sleep: a clock that jumps, or a machine that was suspended, is noticed within it.
const TICK: Duration = Duration::from_secs(1);
/// How many events share one write to the journal.
const BATCH: usize = 256;
/// How often the broker is told that the agent lives, in milliseconds.
const HEARTBEAT_EVERY_MS: u64 = 10_000;
/// How long effects in hand may take to end when the agent stops.
const LAST_ORDERS: Duration = Duration::from_secs(8);

/// Something happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The broker can be talked to; Hello is awaited.
    Attached(mpsc::Sender<v1::AgentMessage>),
    /// It can't be any more.
    Detached,
    /// It said something.
    Heard(Heard),
    /// An effect has ended.
    Ended(Ended),
    /// A look at a target has ended.
    Looked(Look),
}

/// How a keeper and those around it reach each other.
pub(crate) struct Ways {
    /// The keeper's own inbox.
    pub events: mpsc::UnboundedSender<Event>,
    /// Makes the uplink give its stream up for a new one.
    pub redial: Arc<Notify>,
    /// The file that keeps new grants out while it is there.
    pub draining: PathBuf,
    /// How often targets are searched for what nobody knows.
    pub sweep_every: Duration,
}

/// Decides and writes.
pub(crate) struct Keeper {
    agent: Agent,
    journal: Journal,
    journal_fails: bool,
    lanes: Lanes,
    connectors: Connectors,
    clocks: Arc<dyn Clocks>,
    ways: Ways,
    sessions: Sessions,
    sweeps: Sweeps,
    outbox: Option<mpsc::Sender<v1::AgentMessage>>,
    /// By the boot clock, in milliseconds; none before the stream's Welcome.
    heartbeat_at: Option<u64>,
    stopping: bool,
}

impl Keeper {
    /// A keeper of `agent`, whose state is what `journal` told.
    pub(crate) fn new(
        agent: Agent,
        journal: Journal,
        connectors: Connectors,
        clocks: Arc<dyn Clocks>,
        ways: Ways,
    ) -> Self {
        Self {
            agent,
            journal,
            journal_fails: false,
            lanes: Lanes::new(connectors.clone(), Arc::clone(&clocks), ways.events.clone()),
            sessions: Sessions::new(&connectors),
            sweeps: Sweeps::new(&connectors, ways.sweep_every),
            connectors,
            clocks,
            ways,
            outbox: None,
            heartbeat_at: None,
            stopping: false,
        }
    }

    /// Takes up every teardown that was begun or is overdue. Comes before the broker is called.
    pub(crate) fn start(&mut self) {
        let now = self.clocks.reading();
        let steps = self.agent.on_start(&now);
        self.carry_out(steps, &now);
    }

    /// Runs until `stop`, and on until the effects in hand have ended.
    pub(crate) async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Event>,
        stop: CancellationToken,
    ) {
        let mut last = None;
        loop {
            let mut events = Vec::new();
            let pause = self.pause();
            // Only waiting is cut short here, never work.
            tokio::select! {
                _ = inbox.recv_many(&mut events, BATCH) => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled(), if last.is_none() => {
                    last = Some(Instant::now() + LAST_ORDERS);
                    self.begin_to_stop();
                }
            }
            self.turn(events);
            let Some(last) = last else { continue };
            if self.lanes.running() == 0 {
                return;
            }
            if Instant::now() >= last {
                tracing::warn!(
                    effects = self.lanes.running(),
                    "stopping with effects under way: the next start takes them up"
                );
                return;
            }
        }
    }

    fn begin_to_stop(&mut self) {
        tracing::info!(effects = self.lanes.running(), "stopping");
        self.stopping = true;
        self.lanes.close();
    }

    fn pause(&self) -> Duration {
        let wake = self.agent.next_wake(&self.clocks.reading());
        let wake = wake.map_or(TICK, |wake| Duration::try_from(wake).unwrap_or_default());
        wake.clamp(Duration::from_millis(1), TICK)
    }

    /// One turn: takes up what happened, and the time.
    pub(crate) fn turn(&mut self, events: Vec<Event>) {
        let now = self.clocks.reading();
        let mut steps = Vec::new();
        if self.agent.has_stood_still(&now) {
            tracing::warn!(
                alarm = "stood-still",
                "the agent stood still: what waited to give access is asked for anew"
            );
            let failure = "the agent stood still before it was begun";
            steps.extend(self.withdraw(|_, _| true, failure, &now));
        }
        for event in events {
            steps.extend(self.take(event, &now));
        }
        steps.extend(self.agent.on_tick(&now));
        self.carry_out(steps, &now);
        self.beat_if_due(&now);
        self.sweep_if_due(&now);
    }

    fn take(&mut self, event: Event, now: &Reading) -> Vec<Step> {
        match event {
            Event::Attached(outbox) => {
                self.outbox = (!self.stopping).then_some(outbox);
                self.heartbeat_at = None;
                self.agent.on_asking(true, now);
                let (state, draining) = (self.agent.state(), self.draining());
                self.send(convert::hello(state, self.connectors.keys(), draining, now.wall));
                Vec::new()
            }
            Event::Detached => {
                self.outbox = None;
                Vec::new()
            }
            Event::Heard(heard) => {
                self.agent.on_heard(now);
                self.hear(heard, now)
            }
            Event::Ended(Ended { integration, grant, done }) => {
                self.lanes.ended(&integration, &done);
                self.agent.on_done(grant, done, now)
            }
            Event::Looked(look) => {
                self.sweeps.ended(&look.integration);
                // What was found while nobody can be asked is found again.
                if self.outbox.is_some() { self.agent.on_look(look, now) } else { Vec::new() }
            }
        }
    }

    fn draining(&self) -> bool {
        self.ways.draining.exists()
    }

    fn hear(&mut self, heard: Heard, now: &Reading) -> Vec<Step> {
        match heard {
            Heard::Credential(order) if self.stopping => {
                let failure = Failure::passing("the agent is stopping");
                vec![refuse_credential(order.grant, order.seq, failure)]
            }
            // The broker sends them again, to the agent's next life.
            Heard::Order(_) | Heard::Welcome(..) if self.stopping => Vec::new(),
            Heard::Order(ordered) => self.agent.on_order(ordered, self.draining(), now),
            Heard::Welcome(welcome, rejected) => {
                rejected.iter().for_each(Rejected::log);
                tracing::info!(
                    orders = welcome.orders.len(),
                    "the broker has told its standing orders"
                );
                self.sweeps.all_due(now);
                self.heartbeat_at = Some(now.boot.ms.saturating_add(HEARTBEAT_EVERY_MS));
                self.agent.on_welcome(welcome, self.draining(), now)
            }
            Heard::BadOrder { grant, seq, error } => {
                tracing::error!(grant.id = %grant, error = chain(&error), "an order is not understood");
                let outcome = Outcome::ProvisionFailed(Failure::lasting(error.to_string()));
                vec![Step::Report(Report::Outcome { grant, seq, at: now.wall, outcome })]
            }
            Heard::Credential(order) => self.agent.on_credential(order, now),
            Heard::BadCredential { grant, seq, reason } => {
                vec![refuse_credential(grant, seq, Failure::lasting(reason))]
            }
            Heard::Recorded { grant, seq } => self.agent.on_recorded(grant, seq),
            Heard::Elsewhere(grant) => {
                self.agent.on_elsewhere(grant);
                Vec::new()
            }
            Heard::ElsewhereOver(grant) => self.agent.on_elsewhere_over(grant, now),
            Heard::OrphanRecorded(integration, grant) => {
                self.agent.on_orphan_recorded(&integration, grant);
                Vec::new()
            }
            Heard::Time(broker_now) => self.agent.on_broker_time(broker_now, now),
            Heard::Sessions { query, integration } => {
                if let Some(outbox) = &self.outbox {
                    self.sessions.list(query, &integration, outbox.clone());
                }
                Vec::new()
            }
            Heard::EndSession { query, integration, session } => {
                match (session, &self.outbox) {
                    (Ok(session), Some(outbox)) => {
                        self.sessions.end(query, &integration, session, outbox.clone());
                    }
                    (Err(error), Some(_)) => {
                        let failure = Failure::lasting(error.to_string());
                        self.send(convert::session_ended(query, Err(failure)));
                    }
                    (_, None) => {}
                }
                Vec::new()
            }
        }
    }

    /// First the records, then what they announce.
    fn carry_out(&mut self, steps: Vec<Step>, now: &Reading) {
        let mut steps = self.agent.without_overtaken(steps, now);
        let ends = |step: &Step| matches!(step, Step::Append(Record::RevokeIntended { .. }));
        if steps.iter().any(ends) {
            // What still waits for its place in a lane is not begun first (I5).
            let failure = "its teardown came first";
            steps.extend(self.withdraw(Agent::is_overtaken, failure, now));
        }
        let records: Vec<Record> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Append(record) => Some(record.clone()),
                _ => None,
            })
            .collect();
        pass_points(&records, "before_intent");
        // Writing waits for the disk; other tasks of this thread must not.
        let written =
            tokio::task::block_in_place(|| self.journal.append(&records, self.agent.state()));
        match written {
            Ok(()) => {
                if std::mem::take(&mut self.journal_fails) {
                    tracing::info!("the journal can be written again");
                }
                pass_points(&records, "after_intent");
                pass_points(&records, "after_record");
            }
            Err(error) => {
                if !std::mem::replace(&mut self.journal_fails, true) {
                    tracing::error!(
                        alarm = "journal-not-written",
                        error = chain(&error),
                        "the journal cannot be written: no new grants are taken, teardowns go on"
                    );
                }
                steps = self.without_records(steps, now);
            }
        }
        let mut ask_anew = false;
        for step in steps {
            match step {
                Step::Append(_) => {}
                Step::Begin(effect) => self.lanes.push(effect),
                Step::Report(report) => self.tell(report),
                Step::AskAnew => ask_anew = true,
                Step::Alarm(alarm) => tracing::warn!(alarm = alarm.code(), "{alarm}"),
            }
        }
        // After what is to be told by this stream yet.
        if ask_anew {
            tracing::info!("marks that nobody knows: asking the broker what stands by now");
            self.redial();
        }
    }

    /// Ends effects that wait for their place, and never had it.
    fn withdraw(
        &mut self,
        unwanted: impl Fn(&Agent, &Effect) -> bool,
        failure: &str,
        now: &Reading,
    ) -> Vec<Step> {
        let withdrawn = self.lanes.withdraw(|effect| unwanted(&self.agent, effect));
        let failed = |effect: Effect| {
            self.agent.on_done(effect.grant(), effect.failed(Failure::passing(failure)), now)
        };
        withdrawn.into_iter().flat_map(failed).collect()
    }

    /// What may be done though it is not on record: tearing down, always; giving access, never.
    fn without_records(&mut self, steps: Vec<Step>, now: &Reading) -> Vec<Step> {
        let mut allowed = Vec::new();
        for step in steps {
            match step {
                Step::Begin(effect @ (Effect::Provision(_) | Effect::Credential { .. })) => {
                    let failure = Failure::passing(
                        "the agent cannot write its journal: see its log, and its disk",
                    );
                    let refused = self.agent.on_done(effect.grant(), effect.failed(failure), now);
                    let refused = self.without_records(refused, now);
                    allowed.extend(refused);
                }
                other => allowed.push(other),
            }
        }
        allowed
    }

    fn tell(&mut self, report: Report) {
        match &report {
            Report::Outcome { grant, seq, outcome, .. } => {
                tracing::info!(grant.id = %grant, seq, outcome = ?outcome, "outcome");
            }
            Report::Swept(swept) if !swept.orphans.is_empty() || !swept.missing.is_empty() => {
                tracing::warn!(
                    alarm = "drift",
                    integration = %swept.integration,
                    orphans = ?swept.orphans,
                    missing = ?swept.missing,
                    "the target is not as it should be"
                );
            }
            _ => {}
        }
        self.send(convert::report(report));
    }

    fn send(&mut self, message: v1::AgentMessage) {
        let Some(outbox) = &self.outbox else { return };
        if outbox.try_send(message).is_err() {
            // A broker that does not listen: the next stream begins with what stands.
            tracing::warn!("the broker does not take up reports: calling it anew");
            self.redial();
        }
    }

    /// Gives the stream up for a new one; once for each.
    fn redial(&mut self) {
        if self.outbox.take().is_some() {
            self.ways.redial.notify_one();
        }
    }

    fn beat_if_due(&mut self, now: &Reading) {
        let due = self.heartbeat_at.is_some_and(|at| at <= now.boot.ms);
        if !due || self.outbox.is_none() {
            return;
        }
        self.heartbeat_at = Some(now.boot.ms.saturating_add(HEARTBEAT_EVERY_MS));
        self.agent.on_asking(false, now);
        self.send(convert::heartbeat(self.agent.state(), self.draining(), now.wall));
    }

    fn sweep_if_due(&mut self, now: &Reading) {
        if self.stopping || self.outbox.is_none() {
            return;
        }
        for integration in self.sweeps.take_due(now) {
            let Some(connector) = self.connectors.get(&integration).map(Arc::clone) else {
                continue;
            };
            let events = self.ways.events.clone();
            tokio::spawn(sweep::look(integration, connector, now.clone(), events));
        }
    }
}

fn refuse_credential(grant: GrantId, seq: u64, failure: Failure) -> Step {
    Step::Report(Report::Credential { grant, seq, result: Err(failure) })
}

/// Where tests kill the agent around writing the journal.
fn pass_points(records: &[Record], step: &str) {
    for record in records {
        let name = match (record, step) {
            (Record::ProvisionIntended { .. }, "before_intent") => "agent.provision.before_intent",
            (Record::ProvisionIntended { .. }, "after_intent") => "agent.provision.after_intent",
            (Record::Provisioned { .. }, "after_record") => "agent.provision.after_record",
            (Record::RevokeIntended { .. }, "before_intent") => "agent.revoke.before_intent",
            (Record::RevokeIntended { .. }, "after_intent") => "agent.revoke.after_intent",
            (Record::TornDown { .. }, "after_record") => "agent.revoke.after_record",
            _ => continue,
        };
        crash::point(name);
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
