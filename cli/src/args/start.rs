//! A moment as people write it.

use std::str::FromStr;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// When access is to begin: `2026-11-25T08:00:00Z`, or `2026-11-25T08:00` by the clock of this
/// machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start(pub(crate) Timestamp);

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Self(at));
        }
        let local = text.parse::<DateTime>().ok();
        let at = local.and_then(|local| local.to_zoned(TimeZone::system()).ok());
        at.map(|at| Self(at.timestamp()))
            .ok_or_else(|| "write it like 2026-11-25T08:00 or 2026-11-25T08:00:00Z".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_moments_with_and_without_a_zone() {
        let at = "2026-11-25T08:00:00+01:00".parse::<Start>().unwrap();
        assert_eq!(at.0.to_string(), "2026-11-25T07:00:00Z");
        let local = "2026-11-25T08:00".parse::<Start>().unwrap().0;
        assert_eq!(
            local.to_zoned(TimeZone::system()).datetime().to_string(),
            "2026-11-25T08:00:00"
        );
        for bad in ["", "tomorrow", "8:00", "2026-13-01T08:00"] {
            assert!(bad.parse::<Start>().is_err(), "{bad}");
        }
    }
}
