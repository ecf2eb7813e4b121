//! A few more tries for what fails only because somebody else was there at the same moment.

use std::time::Duration;

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use tokio::time::{Instant, sleep};

/// How often at most.
const TRIES: u32 = 5;
/// No new try is begun later than this.
const LONGEST: Duration = Duration::from_secs(4);

/// The tries that are left for one operation.
pub(crate) struct Patience {
    begun: Instant,
    tries: u32,
    spread: u32,
}

impl Patience {
    /// Who meets at the same moment should not meet again: `name` spreads the pauses.
    pub(crate) fn new(name: &[u8]) -> Self {
        let spread = name.iter().fold(0_u32, |sum, &byte| (sum * 31 + u32::from(byte)) % 997);
        Self { begun: Instant::now(), tries: 0, spread }
    }

    /// Waits a moment where it makes sense to try again.
    pub(crate) async fn allows(&mut self, error: &ConnectorError) -> bool {
        self.tries += 1;
        if error.kind() != ErrorKind::Throttled
            || self.tries >= TRIES
            || self.begun.elapsed() > LONGEST
        {
            return false;
        }
        // 10 ms, 20 ms, 40 ms …, each up to twice as long.
        let base = 10_000_u32 << (self.tries - 1);
        let micros = u64::from(base) + u64::from(base) * u64::from(self.spread) / 997;
        tracing::debug!(error = error.chain(), tries = self.tries, "target is busy, trying again");
        sleep(Duration::from_micros(micros)).await;
        true
    }
}
