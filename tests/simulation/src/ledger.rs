//! What an agent was promised, in true time, kept beside it by the checker: by when its boot clock
//! must end each grant. The core's own idea of that is under test and not asked.

use std::collections::BTreeMap;

use ebbgate_agent_core::{Reading, Record};
use ebbgate_domain::{Timestamp, ids::GrantId, order::GrantSpec};
use parking_lot::Mutex;

use crate::{clocks::NodeClock, kernel::Millis};

/// One agent's promises.
#[derive(Default)]
pub struct Ledger(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// What the newest order said: the deadline, and when that is by its remaining time.
    offered: BTreeMap<GrantId, (Timestamp, i64)>,
    /// What was in force when the intention came on record.
    taken: BTreeMap<GrantId, (Timestamp, i64)>,
    /// How many teardowns have failed.
    failures: BTreeMap<GrantId, u32>,
    /// When the broker was last heard of; after a boot, moved by what is lived again.
    heard: Option<Millis>,
    /// The last reading of the clocks that is on record, with its true time.
    last: Option<(Reading, Millis)>,
}

impl Ledger {
    /// An order came that gives so many milliseconds.
    pub fn offered(&self, spec: &GrantSpec, left: i64, now: Millis) {
        let end = i64::try_from(now).unwrap_or(i64::MAX).saturating_add(left);
        self.0.lock().offered.insert(spec.grant, (spec.deadline, end));
    }

    /// The broker was heard of.
    pub fn heard(&self, now: Millis) {
        self.0.lock().heard = Some(now);
    }

    /// When it was last heard of.
    pub fn last_heard(&self) -> Option<Millis> {
        self.0.lock().heard
    }

    /// Records are about to be written: what they tell of failures counts whether they are or not.
    pub fn told(&self, records: &[Record]) {
        for record in records {
            if let Record::TeardownFailed { grant, .. } = record {
                *self.0.lock().failures.entry(*grant).or_default() += 1;
            }
        }
    }

    /// How many teardowns of a grant have failed.
    pub fn failures(&self, grant: GrantId) -> u32 {
        self.0.lock().failures.get(&grant).copied().unwrap_or(0)
    }

    /// Records came on disk.
    pub fn written(&self, records: &[Record], clock: &NodeClock) {
        let mut inner = self.0.lock();
        for record in records {
            match record {
                Record::Clock { at }
                | Record::Contact { at, .. }
                | Record::RevokeIntended { at, .. } => inner.read(at, clock),
                Record::ProvisionIntended { spec, at, .. } => {
                    inner.read(at, clock);
                    inner.take(spec.grant);
                }
                _ => {}
            }
        }
    }

    /// The process starts. After a boot, what passed since the last reading on record is lived
    /// again.
    pub fn restarted(&self, clock: &NodeClock, now: Millis) {
        let mut inner = self.0.lock();
        let Some((last, read_at)) = inner.last.clone() else { return };
        if last.boot.id != clock.reading().boot.id {
            inner.heard = inner.heard.map(|heard| heard + (now - read_at));
            let again = i64::try_from(now - read_at).unwrap_or(0);
            inner.taken.values_mut().for_each(|(_, end)| *end = end.saturating_add(again));
        }
    }

    /// When the agent's boot clock must end a grant, in true time; none for one it never took.
    pub fn boot_end(&self, grant: GrantId) -> Option<i64> {
        self.0.lock().taken.get(&grant).map(|(_, end)| *end)
    }
}

impl Inner {
    fn read(&mut self, at: &Reading, clock: &NodeClock) {
        self.last = Some((at.clone(), clock.true_time_of(at)));
    }

    fn take(&mut self, grant: GrantId) {
        let Some((deadline, end)) = self.offered.get(&grant).copied() else { return };
        let end = match self.taken.get(&grant) {
            Some((known, before)) if *known == deadline => end.min(*before),
            _ => end,
        };
        self.taken.insert(grant, (deadline, end));
    }
}
