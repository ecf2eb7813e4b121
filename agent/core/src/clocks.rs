//! The two clocks against one another, and against the broker's. Somebody else's idea of the time
//! never moves a deadline; it only keeps new grants out.

use std::fmt;

use ebbgate_domain::Timestamp;
use jiff::SignedDuration;

use crate::{
    agent::Agent,
    alarm::Alarm,
    held::Held,
    reading::Reading,
    record::Record,
    step::{Failure, Step},
};

/// How often the clocks are put on record while something is held: at most so much of a grant's
/// life is lived twice after a boot with a wrong clock.
const CLOCK_RECORD_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// From here on the two clocks' disagreement between two readings is a jump and no slewing.
const JUMP: SignedDuration = SignedDuration::from_secs(2);
/// From here on the broker's and the agent's clocks disagree too much to keep quiet about.
const ALARMING: SignedDuration = SignedDuration::from_secs(5);
/// From here on they disagree too much for new grants.
const REFUSING: SignedDuration = SignedDuration::from_secs(60);
/// How many questions to the broker may be without an answer before the oldest is forgotten.
const MOST_ASKED: usize = 16;

/// How well the wall clock agrees with the broker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClockState {
    /// Within five seconds.
    Agrees,
    /// Off by more than that: somebody should look at it.
    Alarms,
    /// Off by more than a minute: no new grants.
    Refuses,
}

impl ClockState {
    /// What a clock that is so far off is.
    pub fn of(offset: SignedDuration) -> Self {
        match offset.abs() {
            off if off > REFUSING => Self::Refuses,
            off if off > ALARMING => Self::Alarms,
            _ => Self::Agrees,
        }
    }
}

impl fmt::Display for ClockState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Agrees => "ok",
            Self::Alarms => "alarm",
            Self::Refuses => "refused",
        })
    }
}

/// How far the wall clock is ahead of the broker's, as far as one question and its answer tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset {
    /// The likely value.
    pub(crate) by: SignedDuration,
    /// By how much that may be wrong: the way there and the way back need not take equally long.
    doubt: SignedDuration,
}

impl Offset {
    fn state(self) -> ClockState {
        ClockState::of(self.by.abs().saturating_sub(self.doubt).max(SignedDuration::ZERO))
    }
}

impl Agent {
    /// The agent is about to ask the broker what stands (`anew`), or to tell that it lives: both
    /// are answered with the broker's time.
    pub fn on_asking(&mut self, anew: bool, now: &Reading) {
        if anew {
            self.asked.clear();
        }
        if self.asked.len() >= MOST_ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back(now.clone());
    }

    /// The broker's answer to the oldest question tells its time.
    pub fn on_broker_time(&mut self, broker_now: Timestamp, now: &Reading) -> Vec<Step> {
        let round_trip = self.asked.pop_front().and_then(|asked| now.since(&asked));
        let half = round_trip.unwrap_or(SignedDuration::ZERO) / 2;
        let by = now.wall.duration_since(broker_now).saturating_sub(half);
        self.take_offset(Offset { by, doubt: half })
    }

    fn take_offset(&mut self, offset: Offset) -> Vec<Step> {
        let before = self.clock_state();
        self.offset = Some(offset);
        let state = self.clock_state();
        self.offset_changed |= state != before;
        if state == before || state == ClockState::Agrees {
            return Vec::new();
        }
        vec![Step::Alarm(Alarm::ClockSkew { ahead: offset.by })]
    }

    /// How far the wall clock is ahead of the broker's, as it was last told.
    pub fn clock_offset(&self) -> Option<SignedDuration> {
        self.offset.map(|offset| offset.by)
    }

    /// How well the wall clock agrees with the broker's.
    pub fn clock_state(&self) -> ClockState {
        self.offset.map_or(ClockState::Agrees, Offset::state)
    }

    /// How long ago the broker said something that bears its time: at least, and at most. None
    /// where its time was never told.
    pub(crate) fn age(
        &self,
        sent_at: Timestamp,
        now: &Reading,
    ) -> Option<(SignedDuration, SignedDuration)> {
        let Offset { by, doubt } = self.offset?;
        let likely = now.wall.duration_since(sent_at).saturating_sub(by);
        Some((likely.saturating_sub(doubt), likely.saturating_add(doubt)))
    }

    /// Why nothing new is taken on with such a clock.
    pub(crate) fn clock_objection(&self) -> Option<Failure> {
        let offset = self.offset.filter(|offset| offset.state() == ClockState::Refuses)?;
        Some(Failure::passing(format!(
            "the agent's clock is {:.1} s {} the broker's: it takes no new grants until its time is set right",
            offset.by.abs().as_secs_f64(),
            if offset.by.is_negative() { "behind" } else { "ahead of" },
        )))
    }

    /// Notices jumps, and puts the clocks on record from time to time.
    pub(crate) fn watch_clocks(&mut self, now: &Reading, steps: &mut Vec<Step>) {
        let jump = self.seen.as_ref().and_then(|seen| {
            let by = now.wall.duration_since(seen.wall).saturating_sub(now.since(seen)?);
            (by.abs() > JUMP).then_some(by)
        });
        if let Some(by) = jump {
            steps.push(Step::Alarm(Alarm::ClockJumped { by }));
            // Known at once, and not only with the broker's next word.
            if let Some(offset) = self.offset {
                let by = offset.by.saturating_add(by);
                steps.extend(self.take_offset(Offset { by, ..offset }));
            }
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
}
