//! How long to wait before a teardown is tried again. It is never given up.

use ebbgate_domain::{grant::LONGEST_PAUSE, ids::GrantId};
use jiff::SignedDuration;

/// The pause after so many failures: 1 s, 2 s, 4 s … five minutes, and up to a quarter more, which
/// comes from the grant's id, so that grants that fail together are not tried together.
pub(crate) fn pause(grant: GrantId, failures: u32) -> SignedDuration {
    let doublings = failures.saturating_sub(1).min(9);
    let pause = SignedDuration::from_secs(1_i64 << doublings).min(LONGEST_PAUSE);
    let spread = grant.to_string().bytes().fold(0_i32, |sum, b| (sum * 31 + i32::from(b)) % 256);
    pause + pause * spread / 1_024
}

/// The longest that [`pause`] can be.
pub(crate) const LONGEST: SignedDuration = SignedDuration::from_secs(375);

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn doubles_up_to_five_minutes_and_never_ends() {
        let grant = GrantId::new(Timestamp::from_second(1_700_000_000).unwrap(), [3; 10]);
        let second = SignedDuration::from_secs(1);
        assert!(pause(grant, 1) >= second && pause(grant, 1) < second * 2);
        assert!(pause(grant, 4) >= second * 8 && pause(grant, 4) < second * 16);
        for failures in [9, 10, 1_000, u32::MAX] {
            assert!(pause(grant, failures) <= LONGEST, "{failures}");
        }
        assert!(pause(grant, u32::MAX) >= LONGEST_PAUSE);
    }
}
