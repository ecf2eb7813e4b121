//! Each node's own idea of the time: a wall clock that can be wrong and jump, and a boot clock that
//! runs evenly and begins anew with each boot.

use ebbgate_agent_core::{BootTime, Reading};
use ebbgate_connector_api::Clock;
use ebbgate_domain::Timestamp;
use parking_lot::Mutex;

use crate::kernel::{Millis, Sim};

/// When every run begins, in milliseconds of Unix time.
pub const EPOCH: i64 = 1_800_000_000_000;

/// One node's clocks.
pub struct NodeClock {
    sim: Sim,
    inner: Mutex<Inner>,
}

struct Inner {
    ahead: i64,
    boot: u32,
    booted_at: Millis,
}

impl NodeClock {
    /// Clocks whose wall clock is so many milliseconds ahead of true time.
    pub fn new(sim: &Sim, ahead: i64) -> Self {
        Self { sim: sim.clone(), inner: Mutex::new(Inner { ahead, boot: 1, booted_at: 0 }) }
    }

    /// How far the wall clock is ahead of true time, in milliseconds.
    pub fn ahead(&self) -> i64 {
        self.inner.lock().ahead
    }

    /// Sets the wall clock.
    pub fn set_ahead(&self, ahead: i64) {
        self.inner.lock().ahead = ahead;
    }

    /// A new boot.
    pub fn reboot(&self) {
        let mut inner = self.inner.lock();
        inner.boot += 1;
        inner.booted_at = self.sim.now();
    }

    /// When, in true time, a reading of this boot was taken.
    pub fn true_time_of(&self, reading: &Reading) -> Millis {
        (self.inner.lock().booted_at + reading.boot.ms).saturating_sub(5_000)
    }

    /// Both clocks.
    pub fn reading(&self) -> Reading {
        let (boot, booted_at) = {
            let inner = self.inner.lock();
            (inner.boot, inner.booted_at)
        };
        let ms = self.sim.now() - booted_at + 5_000;
        Reading { wall: self.now(), boot: BootTime { id: format!("boot-{boot}"), ms } }
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        wall(self.sim.now(), self.ahead())
    }
}

/// What a wall clock that is so far ahead shows at a true time.
pub fn wall(now: Millis, ahead: i64) -> Timestamp {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(EPOCH.saturating_add(now).saturating_add(ahead)).unwrap_or_default()
}

/// A moment on a right clock, in milliseconds of true time; negative before the run.
pub fn true_time(at: Timestamp) -> i64 {
    at.as_millisecond() - EPOCH
}
