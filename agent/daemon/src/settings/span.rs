//! Lengths of time in the settings: `0s`, `30s`, `5m`, `1h30m`, `7d`.

use std::{str::FromStr, time::Duration};

use ebbgate_domain::duration::{AccessDuration, InvalidDuration};

/// A length of time; as people write it elsewhere, and none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub Duration);

impl FromStr for Span {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        if matches!(text.trim(), "0" | "0s" | "0m" | "0h") {
            return Ok(Self(Duration::ZERO));
        }
        let duration: AccessDuration = text.parse()?;
        Ok(Self(Duration::from_secs(u64::from(duration.seconds()))))
    }
}
