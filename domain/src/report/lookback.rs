//! How far a report looks back.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// The farthest that a report looks back, in days: ten years.
const FARTHEST_DAYS: u64 = 3_650;
const DAY: u64 = 86_400;

/// A length of time that a report looks back, in whole seconds: from 1 second to 3650 days of 24
/// hours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lookback {
    seconds: u64,
}

/// Why a text says no such length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is no length of time to look back: write it like 90d, 12h or 30m, from 1s to 3650d"
)]
pub struct InvalidLookback {
    /// What was given (its first 80 characters).
    pub text: String,
}

impl Lookback {
    /// So many days; the nearest of 1 to 3650.
    pub const fn days(days: u64) -> Self {
        let days = if days < 1 {
            1
        } else if days > FARTHEST_DAYS {
            FARTHEST_DAYS
        } else {
            days
        };
        Self { seconds: days * DAY }
    }

    /// The moment so long before `now`; the beginning of time where that lies before it.
    pub fn before(self, now: Timestamp) -> Timestamp {
        let length = SignedDuration::from_secs(i64::try_from(self.seconds).unwrap_or(i64::MAX));
        now.saturating_sub(length).unwrap_or(Timestamp::MIN)
    }
}

impl fmt::Display for Lookback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_words(self.seconds))
    }
}

impl fmt::Debug for Lookback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Lookback {
    type Err = InvalidLookback;

    fn from_str(text: &str) -> Result<Self, InvalidLookback> {
        let invalid = || InvalidLookback { text: text.chars().take(80).collect() };
        let span: Span = text.parse().map_err(|_| invalid())?;
        let days = SpanRelativeTo::days_are_24_hours();
        let length = span.to_duration(days).map_err(|_| invalid())?;
        let seconds = u64::try_from(length.as_secs()).map_err(|_| invalid())?;
        if length.subsec_nanos() != 0 || !(1..=FARTHEST_DAYS * DAY).contains(&seconds) {
            return Err(invalid());
        }
        Ok(Self { seconds })
    }
}

/// A length of time by its two largest units: `45s`, `4m10s`, `3d4h`.
pub(super) fn in_words(seconds: u64) -> String {
    let units = [(DAY, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let largest = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut words = String::new();
    for (unit, letter) in units.iter().skip(largest).take(2) {
        let count = rest / unit;
        rest %= unit;
        if count > 0 || words.is_empty() {
            words.push_str(&format!("{count}{letter}"));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("90d", 90 * DAY)]
    #[case("1s", 1)]
    #[case("12h", 12 * 3_600)]
    #[case("1d12h", 36 * 3_600)]
    #[case("2w", 14 * DAY)]
    #[case("3650d", 3_650 * DAY)]
    fn reads(#[case] text: &str, #[case] seconds: u64) {
        assert_eq!(text.parse::<Lookback>().unwrap().seconds, seconds);
    }

    #[rstest]
    #[case("")]
    #[case("90")]
    #[case("0s")]
    #[case("-1d")]
    #[case("1d ago")]
    #[case("3651d")]
    #[case("500ms")]
    #[case("3mo")]
    #[case("99999999999d")]
    fn refuses(#[case] text: &str) {
        let error = text.parse::<Lookback>().unwrap_err().to_string();
        assert!(error.contains("90d"), "{error}");
    }

    #[rstest]
    #[case(0, "0s")]
    #[case(59, "59s")]
    #[case(250, "4m10s")]
    #[case(3_600, "1h")]
    #[case(3_601, "1h")]
    #[case(90 * DAY, "90d")]
    #[case(90 * DAY + 3_600, "90d1h")]
    fn in_two_units(#[case] seconds: u64, #[case] words: &str) {
        assert_eq!(in_words(seconds), words);
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(days in 1..=FARTHEST_DAYS, now in 0..4_000_000_000_i64) {
            let back = Lookback::days(days);
            prop_assert_eq!(back.to_string().parse::<Lookback>().unwrap(), back);
            let now = Timestamp::from_second(now).unwrap();
            prop_assert!(back.before(now) < now);
        }
    }
}
