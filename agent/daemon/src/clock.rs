//! The machine's clocks: the one place that reads them.

use std::{fs, io};

use ebbgate_agent_core::{BootTime, Reading};
use ebbgate_connector_api::Clock;
use ebbgate_domain::Timestamp;
use nix::time::ClockId;

/// Where Linux names the present boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Both clocks.
pub(crate) trait Clocks: Clock {
    /// What they say now, read together.
    fn reading(&self) -> Reading;
}

/// The real ones.
pub(crate) struct SystemClocks {
    boot_id: String,
}

impl SystemClocks {
    /// Finds them.
    ///
    /// # Errors
    /// The machine has no boot clock: it is no Linux.
    pub(crate) fn open() -> io::Result<Self> {
        ClockId::CLOCK_BOOTTIME.now()?;
        Ok(Self { boot_id: fs::read_to_string(BOOT_ID)?.trim().to_owned() })
    }
}

impl Clock for SystemClocks {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl Clocks for SystemClocks {
    fn reading(&self) -> Reading {
        // It was there when we opened it, and a clock does not go away.
        let ms = ClockId::CLOCK_BOOTTIME.now().map_or(0, |time| {
            let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
            seconds * 1_000 + u64::try_from(time.tv_nsec()).unwrap_or(0) / 1_000_000
        });
        Reading { wall: self.now(), boot: BootTime { id: self.boot_id.clone(), ms } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_run_forward() {
        let clocks = SystemClocks::open().unwrap();
        let (first, second) = (clocks.reading(), clocks.reading());
        assert!(second.since(&first).is_some());
        assert!(first.boot.ms > 0 && !first.boot.id.is_empty());
    }
}
