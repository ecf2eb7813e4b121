//! The checker: after every step it looks at what is on record, on the targets and on the agents'
//! disks, and says which invariant does not hold. It knows true time and everything else that no
//! node can know.

mod facts;
mod quiet;
mod records;
mod replay;
mod secrets;
mod targets;

use std::fmt;

use facts::Facts;
pub use quiet::left_over;

use crate::world::World;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which: `I1` to `I12`, or a word for what else must hold.
    pub rule: &'static str,
    /// What was found.
    pub what: String,
}

impl Violation {
    /// A violation of that rule.
    pub fn new(rule: &'static str, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// Whether something holds.
pub type Checked = Result<(), Violation>;

/// Looks after each step.
#[derive(Default)]
pub struct Checker {
    facts: Facts,
    replay: replay::Replay,
    records: records::Records,
    targets: targets::Targets,
}

impl Checker {
    /// Looks at everything that can have changed since the last look.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn look(&mut self, world: &World) -> Checked {
        let news = facts::news(world, self.replay.records());
        if let Some(news) = &news {
            secrets::i8_no_secret_rests(news)?;
            records::i5_never_comes_back(&self.facts, news)?;
            records::i9_nobody_approves_their_own(news)?;
            records::more_time_has_its_limits(news, world)?;
            records::i10_decided_on_the_flow_as_it_was(news)?;
            self.records.i12_nothing_decided_is_lost(&self.facts, news)?;
            self.records.i12_every_notice_is_put_in(news)?;
            self.replay.i11_the_chain_is_whole(news)?;
            self.facts.take(news, world);
            self.replay.i11_state_is_replay(news)?;
        }
        self.records.i12_notices_are_as_they_were_put_in(world)?;
        self.records.i10_leavers_lose_everything(&self.facts, world)?;
        self.targets.look(&self.facts, news.is_some(), world)
    }

    /// Looks at what only holds at the end.
    ///
    /// # Errors
    /// The first that does not.
    pub fn look_back(&self, world: &World) -> Checked {
        self.replay.i11_the_end_is_the_head(world)?;
        self.records.i12_every_notice_was_delivered(world)
    }
}
