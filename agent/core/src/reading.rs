//! Two clocks, and a deadline on each.
//!
//! The wall clock can be set, the boot clock (Linux's CLOCK_BOOTTIME: it runs through suspend)
//! cannot, but it begins anew with each boot. A grant ends at whichever of its two deadlines comes
//! first: a wall clock that jumps forward expires, one that jumps backward never extends.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A moment on the boot clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootTime {
    /// Which boot, as Linux names it in `/proc/sys/kernel/random/boot_id`.
    pub id: String,
    /// Milliseconds since that boot, suspend included.
    pub ms: u64,
}

/// Both clocks, read together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The wall clock, UTC.
    pub wall: Timestamp,
    /// The boot clock.
    pub boot: BootTime,
}

impl Reading {
    /// How long after `earlier` this was by the boot clock; none where the two cannot be compared:
    /// another boot, or a machine that was put back to a snapshot.
    pub fn since(&self, earlier: &Self) -> Option<SignedDuration> {
        if self.boot.id != earlier.boot.id {
            return None;
        }
        self.boot.ms.checked_sub(earlier.boot.ms).map(millis)
    }

    /// How long after `earlier` this was: by the boot clock, and by the wall clock where a boot lies
    /// between. Never negative.
    pub fn elapsed(&self, earlier: &Self) -> SignedDuration {
        self.since(earlier)
            .unwrap_or_else(|| self.wall.duration_since(earlier.wall).max(SignedDuration::ZERO))
    }
}

/// When a grant ends, on both clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalDeadline {
    /// By the wall clock.
    pub wall: Timestamp,
    /// By the boot clock.
    pub boot: BootTime,
}

impl LocalDeadline {
    /// A deadline from what an order says: the moment, and how long is left until then by the
    /// broker's own clock. The earlier one counts.
    pub fn new(wall: Timestamp, remaining: SignedDuration, now: &Reading) -> Self {
        let left = remaining.min(wall.duration_since(now.wall));
        Self { wall, boot: after(&now.boot, left) }
    }

    /// How long is left; nothing once either clock has reached its deadline.
    pub fn left(&self, now: &Reading) -> SignedDuration {
        let by_wall = self.wall.duration_since(now.wall);
        let by_boot = if self.boot.id == now.boot.id {
            millis(self.boot.ms.saturating_sub(now.boot.ms))
        } else {
            SignedDuration::MAX
        };
        by_wall.min(by_boot).max(SignedDuration::ZERO)
    }

    /// Whether the grant has ended.
    pub fn is_over(&self, now: &Reading) -> bool {
        self.left(now).is_zero()
    }

    /// The earlier of two deadlines that were set in the same boot.
    pub(crate) fn earlier(self, other: Self) -> Self {
        let wall = self.wall.min(other.wall);
        let boot = if self.boot.id == other.boot.id && self.boot.ms < other.boot.ms {
            self.boot
        } else {
            other.boot
        };
        Self { wall, boot }
    }

    /// The deadline after a boot: `last` is the last reading before it. What was left then by the
    /// boot clock never grows, whatever the wall clock says now.
    pub(crate) fn carry_over(&self, last: &Reading, now: &Reading) -> Self {
        Self {
            wall: self.wall,
            boot: after(&now.boot, self.left(last).min(self.wall.duration_since(now.wall))),
        }
    }
}

fn after(boot: &BootTime, left: SignedDuration) -> BootTime {
    let ms = u64::try_from(left.as_millis()).unwrap_or(0);
    BootTime { id: boot.id.clone(), ms: boot.ms.saturating_add(ms) }
}

pub(crate) fn millis(ms: u64) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall_s: i64, boot: &str, boot_s: u64) -> Reading {
        Reading {
            wall: Timestamp::from_second(wall_s).unwrap(),
            boot: BootTime { id: boot.to_owned(), ms: boot_s * 1_000 },
        }
    }

    fn secs(s: i64) -> SignedDuration {
        SignedDuration::from_secs(s)
    }

    /// Half an hour, given at wall time 10,000 and boot time 100.
    fn half_an_hour() -> LocalDeadline {
        let now = at(10_000, "a", 100);
        LocalDeadline::new(Timestamp::from_second(11_800).unwrap(), secs(1_800), &now)
    }

    #[test]
    fn ends_when_both_clocks_say_so() {
        assert!(!half_an_hour().is_over(&at(11_799, "a", 1_899)));
        assert!(half_an_hour().is_over(&at(11_800, "a", 1_900)));
    }

    #[test]
    fn a_wall_clock_that_jumps_forward_expires() {
        assert!(half_an_hour().is_over(&at(99_999, "a", 101)));
    }

    #[test]
    fn a_wall_clock_that_jumps_backward_does_not_extend() {
        assert!(half_an_hour().is_over(&at(3, "a", 1_900)));
    }

    #[test]
    fn a_clock_behind_the_brokers_does_not_extend() {
        let slow = at(5_000, "a", 100);
        let deadline =
            LocalDeadline::new(Timestamp::from_second(11_800).unwrap(), secs(1_800), &slow);
        assert_eq!(deadline.left(&slow), secs(1_800));
    }

    #[test]
    fn a_boot_with_a_wrong_clock_leaves_at_most_what_was_left() {
        let last_seen = at(11_000, "a", 1_100);
        let after_boot = at(3, "b", 20);
        let deadline = half_an_hour().carry_over(&last_seen, &after_boot);
        assert_eq!(deadline.left(&after_boot), secs(800));
    }

    #[test]
    fn a_boot_after_a_long_night_expires() {
        let deadline = half_an_hour().carry_over(&at(10_001, "a", 101), &at(50_000, "b", 20));
        assert!(deadline.is_over(&at(50_000, "b", 20)));
    }

    #[test]
    fn readings_of_two_boots_or_of_a_restored_snapshot_do_not_compare() {
        assert_eq!(at(10, "a", 10).since(&at(10, "b", 5)), None);
        assert_eq!(at(10, "a", 4).since(&at(10, "a", 5)), None);
        assert_eq!(at(10, "a", 7).since(&at(10, "a", 5)), Some(secs(2)));
    }
}
