//! The journal's fold: what the agent knows, whatever happened to its process.

use std::collections::BTreeMap;

use ebbgate_domain::{
    ids::GrantId,
    order::{EndCause, GrantSpec, Provisioned},
};
use jiff::SignedDuration;

use crate::{
    held::{Held, Stage},
    reading::{LocalDeadline, Reading, millis},
    record::Record,
};

/// All that the agent holds. It changes only by [`AgentState::apply`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentState {
    held: BTreeMap<GrantId, Held>,
    last: Option<Reading>,
    contact: Option<Contact>,
}

/// What is on record of the broker's last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    at: Reading,
    silent: SignedDuration,
    /// How far the wall clock was ahead of the broker's; none where it did not tell the time.
    pub offset: Option<SignedDuration>,
}

impl Contact {
    /// For how long the broker has not been heard of. It may have been since this went on record.
    pub fn silence(&self, now: &Reading) -> SignedDuration {
        self.silent.saturating_add(now.elapsed(&self.at))
    }
}

impl AgentState {
    /// The state that a journal tells of.
    pub fn fold(records: impl IntoIterator<Item = Record>) -> Self {
        let mut state = Self::default();
        records.into_iter().for_each(|record| state.apply(record));
        state
    }

    /// Every grant, in the order of its id, which is that of its making.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    /// One grant.
    pub fn get(&self, grant: GrantId) -> Option<&Held> {
        self.held.get(&grant)
    }

    /// The last reading of the clocks that is on record.
    pub fn last_reading(&self) -> Option<&Reading> {
        self.last.as_ref()
    }

    /// When the broker was last heard of, as far as it is on record.
    pub fn contact(&self) -> Option<&Contact> {
        self.contact.as_ref()
    }

    /// The shortest journal that folds to this state.
    pub fn snapshot(&self) -> Vec<Record> {
        // The contact first: it was written before the last reading, or as that.
        let contact = self.contact.iter().map(|contact| Record::Contact {
            at: contact.at.clone(),
            silent_ms: u64::try_from(contact.silent.as_millis()).unwrap_or(0),
            offset_ms: contact.offset.map(|by| i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        });
        let clock = self.last.iter().map(|at| Record::Clock { at: at.clone() });
        contact
            .chain(clock)
            .chain(self.held.values().map(|held| Record::Held(Box::new(held.clone()))))
            .collect()
    }

    /// Takes one record in. A record about a grant that is not known (its first one was lost to a
    /// damaged disk) changes nothing.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Clock { at } => self.observe(at),
            Record::Contact { at, silent_ms, offset_ms } => {
                self.observe(at.clone());
                self.contact = Some(Contact {
                    at,
                    silent: millis(silent_ms),
                    offset: offset_ms.map(SignedDuration::from_millis),
                });
            }
            Record::ProvisionIntended { seq, spec, remaining_ms, at } => {
                self.observe(at.clone());
                self.intend_provision(seq, spec, SignedDuration::from_millis(remaining_ms), &at);
            }
            Record::RevokeIntended { seq, spec, cause, at } => {
                self.observe(at.clone());
                self.intend_revoke(seq, spec, cause, &at);
            }
            Record::Provisioned { grant, told } => self.change(grant, |held| {
                if held.stage == Stage::ProvisionIntended {
                    held.stage = Stage::Provisioned;
                    held.last_error = None;
                    held.told = told;
                }
            }),
            Record::ProvisionFailed { grant, error } => {
                self.change(grant, |held| held.last_error = Some(error));
            }
            Record::TeardownFailed { grant, error } => self.change(grant, |held| {
                held.failures = held.failures.saturating_add(1);
                held.last_error = Some(error);
            }),
            Record::TornDown { grant, finding } => self.change(grant, |held| {
                held.stage = Stage::TornDown { finding, recorded: false };
                held.last_error = None;
            }),
            Record::SeqSeen { grant, seq } => {
                self.change(grant, |held| held.seq = held.seq.max(seq));
            }
            Record::EndRecorded { grant } => self.change(grant, |held| {
                if let Stage::TornDown { recorded, .. } = &mut held.stage {
                    *recorded = true;
                }
            }),
            Record::Forgotten { grant } => {
                self.held.remove(&grant);
            }
            Record::Held(held) => self.insert(*held),
        }
    }

    fn insert(&mut self, held: Held) {
        self.held.insert(held.spec.grant, held);
    }

    fn change(&mut self, grant: GrantId, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.held.get_mut(&grant) {
            change(held);
        }
    }

    /// Where the machine was booted, or put back to a snapshot, since the last reading, what the
    /// boot clock measures is set anew from what it had measured by then.
    fn observe(&mut self, now: Reading) {
        if let Some(last) = self.last.take().filter(|last| now.since(last).is_none()) {
            for held in self.held.values_mut() {
                held.deadline = held.deadline.carry_over(&last, &now);
            }
            if let Some(contact) = &mut self.contact {
                contact.silent = contact.silence(&last).saturating_add(now.elapsed(&last));
                contact.at = now.clone();
            }
        }
        self.last = Some(now);
    }

    fn intend_provision(
        &mut self,
        seq: u64,
        spec: GrantSpec,
        remaining: SignedDuration,
        at: &Reading,
    ) {
        let deadline = LocalDeadline::new(spec.deadline, remaining, at);
        let Some(held) = self.held.get_mut(&spec.grant) else {
            let stage = Stage::ProvisionIntended;
            self.insert(Held {
                spec,
                seq,
                stage,
                cause: None,
                deadline,
                failures: 0,
                last_error: None,
                told: Provisioned::default(),
            });
            return;
        };
        // I5: what is being torn down never comes back.
        if !held.is_given() {
            return;
        }
        // Told again, a deadline can only come nearer; another deadline replaces it.
        held.deadline = if held.spec.deadline == spec.deadline {
            held.deadline.clone().earlier(deadline)
        } else {
            deadline
        };
        held.stage = Stage::ProvisionIntended;
        held.seq = held.seq.max(seq);
        held.spec = spec;
        held.last_error = None;
    }

    fn intend_revoke(&mut self, seq: u64, spec: GrantSpec, cause: EndCause, at: &Reading) {
        let Some(held) = self.held.get_mut(&spec.grant) else {
            // Never provisioned by this journal: what is left until its deadline says only for how
            // long its end is remembered.
            let deadline = LocalDeadline::new(spec.deadline, SignedDuration::MAX, at);
            let stage = Stage::RevokeIntended;
            let cause = Some(cause);
            self.insert(Held {
                spec,
                seq,
                stage,
                cause,
                deadline,
                failures: 0,
                last_error: None,
                told: Provisioned::default(),
            });
            return;
        };
        if held.is_given() {
            held.stage = Stage::RevokeIntended;
            held.cause = Some(cause);
            held.last_error = None;
        }
        held.seq = held.seq.max(seq);
    }
}
