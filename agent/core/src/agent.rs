//! The agent's decisions: an order, a tick or the end of an effect comes in, steps come out.
//!
//! The rules, wherever they stand: the record comes before the effect (I1); an order older than the
//! newest does nothing and the same one again changes nothing (I4, I5); once a teardown is
//! intended nothing is provisioned (I5); a deadline needs no broker (I3); a teardown is tried until
//! it is verified (I6).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ebbgate_domain::{
    ids::GrantId,
    names::IntegrationName,
    order::{EndCause, Finding, GrantSpec, Provisioned},
};
use jiff::SignedDuration;

use crate::{
    backoff,
    clocks::Offset,
    drift::{ORPHAN_AGE, Suspect},
    held::{Held, Stage},
    reading::Reading,
    record::Record,
    state::AgentState,
    step::{Done, Effect, Failure, Outcome, Report, Step},
    timers::Timers,
    work::Work,
};

/// State and what is under way.
#[derive(Debug)]
pub struct Agent {
    pub(crate) state: AgentState,
    pub(crate) timers: Timers,
    pub(crate) work: BTreeMap<GrantId, Work>,
    pub(crate) integrations: BTreeSet<IntegrationName>,
    /// For how long the broker may be silent before what an integration gave is cut off.
    pub(crate) graces: BTreeMap<IntegrationName, SignedDuration>,
    /// When the broker was last heard of in this life of the process.
    pub(crate) heard: Option<Reading>,
    /// When the questions were asked that the broker has not answered yet.
    pub(crate) asked: VecDeque<Reading>,
    pub(crate) offset: Option<Offset>,
    /// Whether the offset's state is another than the one on record.
    pub(crate) offset_changed: bool,
    /// The grants of the last Welcome; none before the first, and where it was not whole.
    pub(crate) standing: Option<BTreeSet<GrantId>>,
    /// The grants that other agents hold, by the last Welcome.
    pub(crate) elsewhere: BTreeSet<GrantId>,
    /// The integrations that the last Welcome says are this agent's.
    pub(crate) served: BTreeSet<IntegrationName>,
    /// How many Welcomes there were.
    pub(crate) welcomes: u64,
    pub(crate) orphan_age: SignedDuration,
    /// Marks of grants that nobody known has, as the last look saw them.
    pub(crate) suspects: BTreeMap<IntegrationName, BTreeMap<GrantId, Suspect>>,
    /// Orphans that were removed, and that the broker has not on record yet.
    pub(crate) untold: BTreeMap<(IntegrationName, GrantId), Finding>,
    /// When grants were provisioned, as far as that was in this life of the process.
    pub(crate) settled: BTreeMap<GrantId, Reading>,
    pub(crate) seen: Option<Reading>,
}

impl Agent {
    /// An agent that serves these integrations and holds what its journal tells of.
    pub fn new(state: AgentState, integrations: BTreeSet<IntegrationName>) -> Self {
        let seen = state.last_reading().cloned();
        Self {
            state,
            timers: Timers::default(),
            work: BTreeMap::new(),
            integrations,
            graces: BTreeMap::new(),
            heard: None,
            asked: VecDeque::new(),
            offset: None,
            offset_changed: false,
            standing: None,
            elsewhere: BTreeSet::new(),
            served: BTreeSet::new(),
            welcomes: 0,
            orphan_age: ORPHAN_AGE,
            suspects: BTreeMap::new(),
            untold: BTreeMap::new(),
            settled: BTreeMap::new(),
            seen,
        }
    }

    /// What it holds.
    pub fn state(&self) -> &AgentState {
        &self.state
    }

    /// The first thing to call, before anything is connected: puts the clocks on record and takes
    /// up every teardown that was begun or is overdue.
    pub fn on_start(&mut self, now: &Reading) -> Vec<Step> {
        let mut steps = Vec::new();
        self.append(Record::Clock { at: now.clone() }, &mut steps);
        self.timers.rebuild(self.state.held());
        steps.extend(self.on_tick(now));
        steps
    }

    pub(crate) fn intend_provision(
        &mut self,
        seq: u64,
        spec: GrantSpec,
        remaining: SignedDuration,
        now: &Reading,
        steps: &mut Vec<Step>,
    ) {
        self.keep_contact_for(&spec.integration, now, steps);
        self.work.entry(spec.grant).or_default().provision = true;
        let remaining_ms = i64::try_from(remaining.as_millis()).unwrap_or(i64::MAX);
        self.append(Record::ProvisionIntended { seq, spec, remaining_ms, at: now.clone() }, steps);
    }

    pub(crate) fn intend_revoke(
        &mut self,
        seq: u64,
        spec: GrantSpec,
        cause: EndCause,
        now: &Reading,
        steps: &mut Vec<Step>,
    ) {
        self.settled.remove(&spec.grant);
        self.append(Record::RevokeIntended { seq, spec, cause, at: now.clone() }, steps);
    }

    /// Puts an order's number on record where it is new.
    pub(crate) fn see(&mut self, held: &Held, seq: u64, steps: &mut Vec<Step>) {
        if seq > held.seq {
            self.append(Record::SeqSeen { grant: held.spec.grant, seq }, steps);
        }
    }

    /// Compares both clocks with what was promised. To be called at least once a second, and after
    /// everything else that happens.
    pub fn on_tick(&mut self, now: &Reading) -> Vec<Step> {
        let mut steps = Vec::new();
        self.watch_clocks(now, &mut steps);
        for grant in self.timers.due(now) {
            let Some(held) = self.state.get(grant).filter(|held| held.deadline.is_over(now)) else {
                continue;
            };
            if held.is_given() {
                let (seq, spec) = (held.seq, held.spec.clone());
                self.intend_revoke(seq, spec, EndCause::Deadline, now, &mut steps);
                self.kick(grant, now, &mut steps);
            } else {
                self.append(Record::Forgotten { grant }, &mut steps);
            }
        }
        for grant in self.timers.take_retries(now) {
            self.kick(grant, now, &mut steps);
        }
        self.keep_contact(now, &mut steps);
        self.cut_off(now, &mut steps);
        steps
    }

    /// How long until the next deadline or the next attempt; none where nothing is to come.
    pub fn next_wake(&self, now: &Reading) -> Option<SignedDuration> {
        self.timers.next(now).into_iter().chain(self.next_cut_off(now)).min()
    }

    /// Takes up the end of an effect.
    pub fn on_done(&mut self, grant: GrantId, done: Done, now: &Reading) -> Vec<Step> {
        let mut steps = Vec::new();
        let work = self.work.entry(grant).or_default();
        work.running = false;
        let again = work.provision;
        let held = self.state.get(grant).cloned();
        match (done, held) {
            (Done::Credential { seq, result }, _) => {
                steps.push(Step::Report(Report::Credential { grant, seq, result }));
            }
            (Done::Orphan { integration, result: Ok(finding) }, _) => {
                self.orphan_removed(integration, grant, finding, &mut steps);
            }
            (Done::Provision(result), Some(held))
                if held.stage == Stage::ProvisionIntended && !again =>
            {
                self.provision_done(&held, result, now, &mut steps);
            }
            (Done::Revoke(result), Some(held)) if held.stage == Stage::RevokeIntended => {
                self.revoke_done(&held, result, now, &mut steps);
            }
            // An orphan that stays is met again by the next sweep. A provision that was overtaken
            // by a teardown, or by other terms, is followed by that.
            (Done::Orphan { .. } | Done::Provision(_) | Done::Revoke(_), _) => {}
        }
        self.kick(grant, now, &mut steps);
        steps
    }

    fn provision_done(
        &mut self,
        held: &Held,
        result: Result<Provisioned, Failure>,
        now: &Reading,
        steps: &mut Vec<Step>,
    ) {
        let grant = held.spec.grant;
        let (record, outcome) = match result {
            Ok(told) => {
                self.settled.insert(grant, now.clone());
                (Record::Provisioned { grant, told: told.clone() }, Outcome::Provisioned(told))
            }
            Err(failure) => (
                Record::ProvisionFailed { grant, error: failure.message.clone() },
                Outcome::ProvisionFailed(failure),
            ),
        };
        self.append(record, steps);
        steps.push(report(grant, held.seq, now, outcome));
    }

    fn revoke_done(
        &mut self,
        held: &Held,
        result: Result<Finding, Failure>,
        now: &Reading,
        steps: &mut Vec<Step>,
    ) {
        let grant = held.spec.grant;
        match result {
            Ok(finding) => {
                self.work.remove(&grant);
                self.append(Record::TornDown { grant, finding: finding.clone() }, steps);
                steps.push(torn_down(held, held.seq, &finding, now));
            }
            Err(failure) => {
                let error = failure.message.clone();
                self.append(Record::TeardownFailed { grant, error }, steps);
                let pause = backoff::pause(grant, held.failures.saturating_add(1));
                let pause = u64::try_from(pause.as_millis()).unwrap_or(0);
                let retry_at = now.boot.ms.saturating_add(pause);
                self.work.entry(grant).or_default().retry_at = Some(retry_at);
                self.timers.retry(grant, retry_at);
                steps.push(report(grant, held.seq, now, Outcome::TeardownFailed(failure)));
            }
        }
    }

    /// The broker has an outcome on record. Only the end of a grant is waited for.
    pub fn on_recorded(&mut self, grant: GrantId, seq: u64) -> Vec<Step> {
        let mut steps = Vec::new();
        let ended = self.state.get(grant).is_some_and(|held| {
            matches!(held.stage, Stage::TornDown { recorded: false, .. }) && seq >= held.seq
        });
        if ended {
            // It stands no more. A mark that comes back, out of a back-up say, is an orphan's.
            if let Some(standing) = &mut self.standing {
                standing.remove(&grant);
            }
            self.append(Record::EndRecorded { grant }, &mut steps);
        }
        steps
    }

    /// Begins what is to be done for a grant, unless an effect runs for it already.
    pub(crate) fn kick(&mut self, grant: GrantId, now: &Reading, steps: &mut Vec<Step>) {
        let Some(work) = self.work.get(&grant) else {
            if self.state.get(grant).is_some_and(|held| held.stage == Stage::RevokeIntended) {
                self.work.entry(grant).or_default();
                self.kick(grant, now, steps);
            }
            return;
        };
        if work.running {
            return;
        }
        self.begin(grant, now, steps);
        self.refuse_credentials(grant, now, steps);
        if self.work.get(&grant).is_some_and(Work::is_idle) {
            self.work.remove(&grant);
        }
    }

    fn begin(&mut self, grant: GrantId, now: &Reading, steps: &mut Vec<Step>) {
        let (Some(held), Some(work)) = (self.state.get(grant), self.work.get_mut(&grant)) else {
            return;
        };
        let effect = match held.stage {
            Stage::RevokeIntended if work.retry_in(now) == 0 => {
                work.retry_at = None;
                Some(Effect::Revoke(held.spec.clone()))
            }
            Stage::ProvisionIntended if work.provision && !held.deadline.is_over(now) => {
                Some(Effect::Provision(held.spec.clone()))
            }
            Stage::Provisioned if !held.deadline.is_over(now) => {
                work.credentials.pop_front().map(|(seq, verifier)| Effect::Credential {
                    spec: held.spec.clone(),
                    seq,
                    verifier,
                })
            }
            _ => None,
        };
        work.provision = false;
        if let Some(effect) = effect {
            work.running = true;
            steps.push(Step::Begin(effect));
        }
    }

    /// Every change of the state, and of what follows it, goes through here.
    pub(crate) fn append(&mut self, record: Record, steps: &mut Vec<Step>) {
        let grant = record.grant();
        let at = record.reading();
        let anew =
            at.zip(self.state.last_reading()).is_some_and(|(at, last)| at.since(last).is_none());
        self.state.apply(record.clone());
        if anew {
            self.timers.rebuild(self.state.held());
        } else if let Some(grant) = grant {
            self.timers.follow(grant, self.state.get(grant));
        }
        steps.push(Step::Append(record));
    }
}

pub(crate) fn report(grant: GrantId, seq: u64, now: &Reading, outcome: Outcome) -> Step {
    Step::Report(Report::Outcome { grant, seq, at: now.wall, outcome })
}

pub(crate) fn torn_down(held: &Held, seq: u64, finding: &Finding, now: &Reading) -> Step {
    let outcome = Outcome::TornDown { finding: finding.clone(), cause: held.cause };
    report(held.spec.grant, seq, now, outcome)
}
