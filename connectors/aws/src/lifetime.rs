//! For how long STS credentials are asked for: STS refuses what is out of bounds, it never clamps.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>

use jiff::Timestamp;

/// What STS gives at least, in seconds.
pub(crate) const SHORTEST: u32 = 900;
/// What STS gives at most to anybody, in seconds.
pub(crate) const LONGEST: u32 = 43_200;
/// What it gives at most to a caller that is an assumed role itself ("role chaining"), in seconds.
pub(crate) const LONGEST_CHAINED: u32 = 3_600;

/// The seconds to ask for, for a grant with that deadline, where `longest` is allowed. A grant that
/// ends before is ended by its session policy; one that goes on fetches new credentials.
pub(crate) fn seconds(deadline: Timestamp, now: Timestamp, longest: u32) -> u32 {
    let left = deadline.duration_since(now);
    let up = i64::from(left.subsec_nanos() > 0);
    let rounded_up = left.as_secs().saturating_add(up).max(0);
    let seconds = u32::try_from(rounded_up).unwrap_or(u32::MAX);
    seconds.min(longest).clamp(SHORTEST, LONGEST)
}

/// What the ceiling role allows for a session, in seconds.
pub(crate) fn longest(role_allows: u32, chained: bool) -> u32 {
    let caller_gets = if chained { LONGEST_CHAINED } else { LONGEST };
    role_allows.clamp(SHORTEST, caller_gets)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::over(-5_000, LONGEST, 900)]
    #[case::now(0, LONGEST, 900)]
    #[case::five_minutes(300_000, LONGEST, 900)]
    #[case::fifteen_minutes(900_000, LONGEST, 900)]
    #[case::a_fraction_more(900_001, LONGEST, 901)]
    #[case::half_an_hour(1_800_000, LONGEST, 1_800)]
    #[case::eight_hours(28_800_000, LONGEST, 28_800)]
    #[case::eight_hours_chained(28_800_000, LONGEST_CHAINED, 3_600)]
    #[case::seven_days(604_800_000, LONGEST, 43_200)]
    fn table(#[case] left_ms: i64, #[case] longest: u32, #[case] expected: u32) {
        let now: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
        assert_eq!(seconds(now + SignedDuration::from_millis(left_ms), now, longest), expected);
    }

    #[test]
    fn the_end_of_time_is_no_overflow() {
        assert_eq!(seconds(Timestamp::MAX, Timestamp::MIN, LONGEST), LONGEST);
        assert_eq!(seconds(Timestamp::MIN, Timestamp::MAX, LONGEST), SHORTEST);
    }

    #[rstest]
    #[case(3_600, false, 3_600)]
    #[case(28_800, false, 28_800)]
    #[case(28_800, true, 3_600)]
    #[case(99_999, false, 43_200)]
    fn the_role_and_the_caller_set_bounds(
        #[case] role: u32,
        #[case] chained: bool,
        #[case] expected: u32,
    ) {
        assert_eq!(longest(role, chained), expected);
    }
}
