//! The agent's decisions: an order, a tick or the end of an effect comes in, steps come out.
//!
//! The rules, wherever they stand: the record comes before the effect (I1); an order older than the
//! newest does nothing and the same one again changes nothing (I4, I5); once a teardown is
//! intended nothing is provisioned (I5); a deadline needs no broker (I3); a teardown is tried until
//! it is verified (I6).

use std::collections::{BTreeMap, BTreeSet};

use ebbgate_domain::{
    ids::GrantId,
    names::IntegrationName,
    order::{Finding, GrantSpec},
};
use jiff::SignedDuration;

use crate::{
    alarm::Alarm,
    backoff,
    held::{Held, Stage},
    reading::Reading,
    record::{Cause, Record},
    state::AgentState,
    step::{Done, Effect, Failure, Outcome, Report, Step},
    work::Work,
};

/// How often the clocks are put on record while something is held: at most so much of a grant's
/// life is lived twice after a boot with a wrong clock.
const CLOCK_RECORD_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// From here on the two clocks' disagreement between two readings is a jump and no slewing.
const JUMP: SignedDuration = SignedDuration::from_secs(2);

/// State and what is under way.
#[derive(Debug)]
pub struct Agent {
    pub(crate) state: AgentState,
    pub(crate) work: BTreeMap<GrantId, Work>,
    pub(crate) integrations: BTreeSet<IntegrationName>,
    /// The grants of the last Welcome; none before the first.
    pub(crate) standing: Option<BTreeSet<GrantId>>,
    /// The integrations that the last Welcome says are this agent's.
    pub(crate) served: BTreeSet<IntegrationName>,
    seen: Option<Reading>,
}

impl Agent {
    /// An agent that serves these integrations and holds what its journal tells of.
    pub fn new(state: AgentState, integrations: BTreeSet<IntegrationName>) -> Self {
        let seen = state.last_reading().cloned();
        Self {
            state,
            work: BTreeMap::new(),
            integrations,
            standing: None,
            served: BTreeSet::new(),
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
        self.work.entry(spec.grant).or_default().provision = true;
        let remaining_ms = i64::try_from(remaining.as_millis()).unwrap_or(i64::MAX);
        self.append(Record::ProvisionIntended { seq, spec, remaining_ms, at: now.clone() }, steps);
    }

    pub(crate) fn intend_revoke(
        &mut self,
        seq: u64,
        spec: GrantSpec,
        cause: Cause,
        now: &Reading,
        steps: &mut Vec<Step>,
    ) {
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
        let mut expired = Vec::new();
        let mut over = Vec::new();
        let mut due = Vec::new();
        for held in self.state.held() {
            let grant = held.spec.grant;
            match &held.stage {
                Stage::ProvisionIntended | Stage::Provisioned if held.deadline.is_over(now) => {
                    expired.push((held.seq, held.spec.clone()));
                }
                Stage::RevokeIntended => due.push(grant),
                Stage::TornDown { recorded: true, .. } if held.deadline.is_over(now) => {
                    over.push(grant);
                }
                _ => {}
            }
        }
        for (seq, spec) in expired {
            due.push(spec.grant);
            self.intend_revoke(seq, spec, Cause::Deadline, now, &mut steps);
        }
        for grant in due {
            self.kick(grant, now, &mut steps);
        }
        for grant in over {
            self.append(Record::Forgotten { grant }, &mut steps);
        }
        steps
    }

    fn watch_clocks(&mut self, now: &Reading, steps: &mut Vec<Step>) {
        let jump = self.seen.as_ref().and_then(|seen| {
            let by = now.wall.duration_since(seen.wall).saturating_sub(now.since(seen)?);
            (by.abs() > JUMP).then_some(by)
        });
        if let Some(by) = jump {
            steps.push(Step::Alarm(Alarm::ClockJumped { by }));
        }
        let stale = match self.state.last_reading().map(|last| now.since(last)) {
            Some(Some(age)) => age >= CLOCK_RECORD_EVERY && self.state.held().any(Held::is_open),
            Some(None) => true,
            None => false,
        };
        if stale || jump.is_some() {
            self.append(Record::Clock { at: now.clone() }, steps);
        }
        self.seen = Some(now.clone());
    }

    /// How long until the next deadline or the next attempt; none where nothing is to come.
    pub fn next_wake(&self, now: &Reading) -> Option<SignedDuration> {
        let waits = self.state.held().filter_map(|held| match held.stage {
            Stage::ProvisionIntended | Stage::Provisioned => Some(held.deadline.left(now)),
            Stage::RevokeIntended => {
                let work = self.work.get(&held.spec.grant);
                let wait = work.filter(|work| !work.running)?.retry_in(now);
                Some(SignedDuration::from_millis(i64::try_from(wait).unwrap_or(i64::MAX)))
            }
            Stage::TornDown { .. } => None,
        });
        waits.min()
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
                steps.push(Step::Report(Report::OrphanRemoved { integration, grant, finding }));
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
        result: Result<(), Failure>,
        now: &Reading,
        steps: &mut Vec<Step>,
    ) {
        let grant = held.spec.grant;
        let (record, outcome) = match result {
            Ok(()) => (Record::Provisioned { grant }, Outcome::Provisioned),
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
                steps.push(report(grant, held.seq, now, Outcome::TornDown(finding)));
            }
            Err(failure) => {
                let error = failure.message.clone();
                self.append(Record::TeardownFailed { grant, error }, steps);
                let pause = backoff::pause(grant, held.failures.saturating_add(1));
                let pause = u64::try_from(pause.as_millis()).unwrap_or(0);
                self.work.entry(grant).or_default().retry_at =
                    Some(now.boot.ms.saturating_add(pause));
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

    pub(crate) fn append(&mut self, record: Record, steps: &mut Vec<Step>) {
        self.state.apply(record.clone());
        steps.push(Step::Append(record));
    }
}

pub(crate) fn report(grant: GrantId, seq: u64, now: &Reading, outcome: Outcome) -> Step {
    Step::Report(Report::Outcome { grant, seq, at: now.wall, outcome })
}
