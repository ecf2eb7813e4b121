//! What somebody should look at: it goes to the log, with a stable code.

use std::fmt;

use ebbgate_domain::names::IntegrationName;
use jiff::SignedDuration;

/// Something is wrong with the machine's time, or with the way to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// The wall clock moved by more than the boot clock did.
    ClockJumped {
        /// By how much; negative for backward.
        by: SignedDuration,
    },
    /// The broker's clock says something else.
    ClockSkew {
        /// How far this machine's wall clock is ahead; negative for behind.
        ahead: SignedDuration,
    },
    /// The broker has been silent for longer than an integration's partition policy allows.
    CutOff {
        /// Whose grants end.
        integration: IntegrationName,
        /// For how long it has been silent.
        silence: SignedDuration,
        /// How many grants end.
        grants: usize,
    },
}

impl Alarm {
    /// The alarm in one word, for those who watch logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ClockJumped { .. } => "clock-jumped",
            Self::ClockSkew { .. } => "clock-skew",
            Self::CutOff { .. } => "cut-off",
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockJumped { by } if by.is_negative() => write!(
                f,
                "the wall clock jumped backward by {:.1} s: no grant is extended",
                by.abs().as_secs_f64()
            ),
            Self::ClockJumped { by } => write!(
                f,
                "the wall clock jumped forward by {:.1} s: grants whose deadline it passed are torn down",
                by.as_secs_f64()
            ),
            Self::ClockSkew { ahead } => write!(
                f,
                "this machine's clock is {:.1} s {} the broker's: check its time synchronisation",
                ahead.abs().as_secs_f64(),
                if ahead.is_negative() { "behind" } else { "ahead of" },
            ),
            Self::CutOff { integration, silence, grants } => write!(
                f,
                "the broker has not been heard of for {} s, longer than the partition policy of {integration} allows: its {grants} grants are torn down",
                silence.as_secs(),
            ),
        }
    }
}
