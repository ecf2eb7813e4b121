//! How long access lasts: whole seconds, written `30m`, `1h30m`, `7d`, at most 31 days.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The longest that any flow may grant, in seconds: 31 days.
pub const LONGEST_SECONDS: u32 = 31 * 86_400;

/// A length of access or of waiting; from 1 second to 31 days.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccessDuration {
    seconds: u32,
}

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a duration: write it like 30m, 1h30m or 7d, from 1s to 31d")]
pub struct InvalidDuration {
    /// What was given (its first 80 characters).
    pub text: String,
}

impl AccessDuration {
    /// A duration of so many seconds, if it lies between 1 second and 31 days.
    pub fn from_seconds(seconds: u32) -> Option<Self> {
        (1..=LONGEST_SECONDS).contains(&seconds).then_some(Self { seconds })
    }

    /// So many minutes, from 1 to 31 days' worth; the nearest of them where it lies outside.
    pub const fn from_minutes(minutes: u32) -> Self {
        let most = LONGEST_SECONDS / 60;
        let minutes = if minutes < 1 {
            1
        } else if minutes > most {
            most
        } else {
            minutes
        };
        Self { seconds: minutes * 60 }
    }

    /// Its length in seconds.
    pub fn seconds(self) -> u32 {
        self.seconds
    }

    /// This and `more` together; none where that is longer than 31 days.
    pub fn longer_by(self, more: Self) -> Option<Self> {
        Self::from_seconds(self.seconds.checked_add(more.seconds)?)
    }

    /// The moment so long after `from`; the end of time where that lies beyond it.
    pub fn after(self, from: Timestamp) -> Timestamp {
        from.saturating_add(SignedDuration::from_secs(i64::from(self.seconds)))
            .unwrap_or(Timestamp::MAX)
    }
}

impl fmt::Display for AccessDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.seconds;
        for (unit, letter) in [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')] {
            if rest >= unit {
                write!(f, "{}{letter}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for AccessDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for AccessDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let invalid = || InvalidDuration { text: text.chars().take(80).collect() };
        let mut total = 0_u32;
        let mut number: Option<u32> = None;
        let mut largest_left = u32::MAX;
        for c in text.chars().filter(|c| *c != ' ') {
            if let Some(digit) = c.to_digit(10) {
                let so_far = number.unwrap_or(0).checked_mul(10).ok_or_else(invalid)?;
                number = Some(so_far.checked_add(digit).ok_or_else(invalid)?);
                continue;
            }
            let unit = match c {
                'd' => 86_400,
                'h' => 3_600,
                'm' => 60,
                's' => 1,
                _ => return Err(invalid()),
            };
            // Units go from large to small, each once: `30m1h` is more likely a slip than a wish.
            let count = number.take().filter(|_| unit < largest_left).ok_or_else(invalid)?;
            largest_left = unit;
            total = count
                .checked_mul(unit)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(invalid)?;
        }
        if number.is_some() {
            return Err(invalid());
        }
        Self::from_seconds(total).ok_or_else(invalid)
    }
}

impl TryFrom<String> for AccessDuration {
    type Error = InvalidDuration;

    fn try_from(text: String) -> Result<Self, InvalidDuration> {
        text.parse()
    }
}

impl From<AccessDuration> for String {
    fn from(duration: AccessDuration) -> String {
        duration.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("30m", 1_800)]
    #[case("1h", 3_600)]
    #[case("1h 30m", 5_400)]
    #[case("7d", 604_800)]
    #[case("60s", 60)]
    #[case("31d", LONGEST_SECONDS)]
    fn reads(#[case] text: &str, #[case] seconds: u32) {
        assert_eq!(text.parse::<AccessDuration>().unwrap().seconds(), seconds);
    }

    #[rstest]
    #[case("")]
    #[case("0s")]
    #[case("30")]
    #[case("m")]
    #[case("1m1h")]
    #[case("1h1h")]
    #[case("-1h")]
    #[case("32d")]
    #[case("99999999999d")]
    #[case("1w")]
    fn refuses(#[case] text: &str) {
        assert!(text.parse::<AccessDuration>().is_err());
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(seconds in 1..=LONGEST_SECONDS) {
            let duration = AccessDuration::from_seconds(seconds).unwrap();
            prop_assert_eq!(duration.to_string().parse::<AccessDuration>().unwrap(), duration);
        }
    }
}
