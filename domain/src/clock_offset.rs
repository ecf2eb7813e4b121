//! How far an agent's clock may be off the broker's. Deadlines are absolute times, so that a clock
//! that is off ends access too late, or too early.

use jiff::SignedDuration;

/// From more than this on people are told.
pub const ALARM_ABOVE: SignedDuration = SignedDuration::from_secs(5);
/// From more than this on an agent gets no new grants.
pub const REFUSE_ABOVE: SignedDuration = SignedDuration::from_secs(60);

/// What a clock's offset means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClockState {
    /// Near enough.
    #[default]
    Ok,
    /// Off by more than [`ALARM_ABOVE`].
    Alarm,
    /// Off by more than [`REFUSE_ABOVE`].
    Refused,
}

impl ClockState {
    /// Judges an offset: how much an agent's clock is ahead of the broker's, or behind where it is
    /// negative.
    pub fn of(offset: SignedDuration) -> Self {
        // `abs` of the least duration does not exist.
        match offset.unsigned_abs() {
            off if off > REFUSE_ABOVE.unsigned_abs() => Self::Refused,
            off if off > ALARM_ABOVE.unsigned_abs() => Self::Alarm,
            _ => Self::Ok,
        }
    }

    /// The state in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Alarm => "alarm",
            Self::Refused => "refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, ClockState::Ok)]
    #[case(5_000, ClockState::Ok)]
    #[case(5_001, ClockState::Alarm)]
    #[case(-5_001, ClockState::Alarm)]
    #[case(60_000, ClockState::Alarm)]
    #[case(-60_001, ClockState::Refused)]
    #[case(3_600_000, ClockState::Refused)]
    #[case(i64::MIN, ClockState::Refused)]
    fn an_offset_is_judged_in_both_directions(#[case] millis: i64, #[case] state: ClockState) {
        assert_eq!(ClockState::of(SignedDuration::from_millis(millis)), state);
    }
}
