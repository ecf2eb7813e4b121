//! A few more tries for what fails only because somebody else was there at the same moment.

use std::time::Duration;

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use tokio::time::{Instant, sleep};

/// How often at most.
const TRIES: u32 = 5;
/// No new try is begun later than this.
const LONGEST: Duration = Duration::from_secs(4);

/// The tries that are left for one operation.
#[derive(Debug)]
pub struct Patience {
    begun: Instant,
    tries: u32,
    spread: u32,
}

impl Patience {
    /// Who meets at the same moment should not meet again: `name` spreads the pauses.
    pub fn new(name: &[u8]) -> Self {
        let spread = name.iter().fold(0_u32, |sum, &byte| (sum * 31 + u32::from(byte)) % 997);
        Self { begun: Instant::now(), tries: 0, spread }
    }

    /// Waits a moment where it makes sense to try again, and says whether it does.
    pub async fn allows(&mut self, error: &ConnectorError) -> bool {
        self.tries += 1;
        if error.kind() != ErrorKind::Throttled
            || self.tries >= TRIES
            || self.begun.elapsed() > LONGEST
        {
            return false;
        }
        tracing::debug!(error = error.chain(), tries = self.tries, "target is busy, trying again");
        sleep(self.pause()).await;
        true
    }

    /// 10 ms, 20 ms, 40 ms …, each up to twice as long.
    fn pause(&self) -> Duration {
        let base = 10_000_u32 << (self.tries - 1);
        let micros = u64::from(base) + u64::from(base) * u64::from(self.spread) / 997;
        Duration::from_micros(micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tries_again_a_few_times_and_only_what_may_pass_at_once() {
        let throttled = ConnectorError::new(ErrorKind::Throttled, "make a role");
        let mut patience = Patience::new(b"a grant");
        let mut allowed = 0;
        while patience.allows(&throttled).await {
            allowed += 1;
        }
        assert_eq!(allowed, TRIES - 1);

        let refused = ConnectorError::new(ErrorKind::Refused, "make a role");
        assert!(!Patience::new(b"a grant").allows(&refused).await);
    }

    #[test]
    fn who_met_once_does_not_meet_again() {
        let first = Patience { tries: 1, ..Patience::new(b"one grant") }.pause();
        let second = Patience { tries: 1, ..Patience::new(b"another grant") }.pause();
        assert_ne!(first, second);
        for pause in [first, second] {
            assert!((10..=20).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}
