//! What is under way for one grant. It lives in memory only: after a restart nothing is under way.

use std::collections::VecDeque;

use ebbgate_domain::verifier::Verifier;

use crate::{backoff, reading::Reading};

/// What runs and what waits for one grant. Effects of one grant never overlap.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Whether an effect runs. It is never cut short.
    pub(crate) running: bool,
    /// Whether a provision was ordered that has not been begun.
    pub(crate) provision: bool,
    /// Credentials that wait their turn, with their orders' numbers.
    pub(crate) credentials: VecDeque<(u64, Verifier)>,
    /// When a failed teardown is tried again, in milliseconds of the boot clock.
    pub(crate) retry_at: Option<u64>,
}

impl Work {
    /// Milliseconds until the teardown is tried again. A time further off than any pause comes from
    /// a boot clock that was put back, and counts as now.
    pub(crate) fn retry_in(&self, now: &Reading) -> u64 {
        let wait = self.retry_at.unwrap_or(0).saturating_sub(now.boot.ms);
        let longest = u64::try_from(backoff::LONGEST.as_millis()).unwrap_or(u64::MAX);
        if wait > longest { 0 } else { wait }
    }

    /// Whether there is nothing to remember.
    pub(crate) fn is_idle(&self) -> bool {
        !self.running && !self.provision && self.credentials.is_empty() && self.retry_at.is_none()
    }
}
