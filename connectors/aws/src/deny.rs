//! Denies on the ceiling role: how one session is ended before its time, and no other.
//!
//! STS credentials can't be called back, but what they may do is looked up at each request. So an
//! early end is one inline policy on the ceiling role for each grant, which denies everything to the
//! sessions that bear the grant's name.
//!
//! Why a policy of its own for each, and not one document that collects them: IAM has no
//! compare-and-swap and its reads lag behind its writes, so reading, changing and writing back a
//! shared document loses the deny of another broker, or one's own of a second ago, and with it a
//! revocation that was verified already. A write under a name that only this grant uses can lose
//! nothing and can be repeated (I4). It costs room: AWS counts the inline policies of a role
//! together, 10,240 characters in all, so several documents would hold no more than one.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
//!
//! All that is needed to clear a deny away stands in its policy's name: the grant, and when the last
//! credentials that it is for have expired. No memory is needed, and no second look.

use ebbgate_domain::{Timestamp, ids::GrantId};
use jiff::SignedDuration;
use serde_json::json;

/// How much longer than its credentials a deny stays, and how much later than its recorded end a
/// credential counts as lapsed: clocks differ, and an order to STS takes a while.
pub(crate) const MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// Ends are rounded up to so many seconds, so that a revocation that is tried again finds its own
/// deny instead of writing one more.
const STEP: i64 = 300;

const PREFIX: &str = "ebbgate-deny-";
const UNTIL: &str = "-until-";

/// A deny for the sessions of one grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deny {
    grant: GrantId,
    /// Unix seconds.
    until: i64,
}

impl Deny {
    /// A deny that is needed until `until`, when STS lets the last credentials expire.
    pub(crate) fn new(grant: GrantId, until: Timestamp) -> Self {
        let whole = until.as_second() + i64::from(until.subsec_nanosecond() > 0);
        let over = whole.rem_euclid(STEP);
        let up = if over == 0 { 0 } else { STEP - over };
        Self { grant, until: whole.saturating_add(up) }
    }

    /// The inline policy's name; also the proof that it is ours.
    pub(crate) fn policy_name(self) -> String {
        format!("{PREFIX}{}{UNTIL}{}", self.grant, self.until)
    }

    /// Reads a policy's name back; nothing where it is not exactly one of ours.
    pub(crate) fn parse(policy_name: &str) -> Option<Self> {
        let (grant, until) = policy_name.strip_prefix(PREFIX)?.split_once(UNTIL)?;
        let deny = Self { grant: grant.parse().ok()?, until: until.parse().ok()? };
        (deny.policy_name() == policy_name).then_some(deny)
    }

    /// The inline policy. `aws:userid` is `<role's id>:<session's name>`; the role's id needs not be
    /// told, since the policy is on that role alone, and told it would be wrong once the role was
    /// deleted and made anew. What may come behind the grant's id in the session's name is not
    /// looked at.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>
    pub(crate) fn document(self) -> String {
        let statement = json!({
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": {"StringLike": {"aws:userid": format!("*:{}*", self.grant)}},
        });
        json!({"Version": "2012-10-17", "Statement": statement}).to_string()
    }

    /// Whether nothing is left that it could be for.
    pub(crate) fn is_spent(self, now: Timestamp) -> bool {
        let until = Timestamp::from_second(self.until).unwrap_or(Timestamp::MAX);
        now.duration_since(until) >= MARGIN
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    /// What AWS admits as inline policies of a role, white space aside.
    const ROOM: usize = 10_240;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn grant(n: u8) -> GrantId {
        GrantId::new(at(1_777_636_800), [n; 10])
    }

    fn deny(n: u8, until: i64) -> Deny {
        Deny::new(grant(n), at(until))
    }

    #[test]
    fn the_document_denies_everything_to_one_session_name() {
        let document: Value = serde_json::from_str(&deny(1, 5).document()).unwrap();
        let expected = json!({
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Deny",
                "Action": "*",
                "Resource": "*",
                "Condition": {"StringLike": {"aws:userid": format!("*:{}*", grant(1))}},
            },
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn sixty_fit() {
        assert!(ROOM / deny(1, 5).document().len() >= 60);
    }

    #[test]
    fn the_name_is_legal_and_tells_all() {
        let deny = Deny::new(grant(1), "2026-05-01T12:00:00.001Z".parse().unwrap());
        let name = deny.policy_name();
        assert_eq!(name, format!("ebbgate-deny-{}-until-1777637100", grant(1)));
        assert!(name.len() <= 128);
        assert_eq!(Deny::parse(&name), Some(deny));
    }

    #[rstest]
    #[case("ebbgate-deny-")]
    #[case("ebbgate-deny-1")]
    #[case("allow-s3")]
    #[case("ebbgate-deny-grt_0192f0c1e0007000800000000000000a")]
    #[case("ebbgate-deny-grt_0192f0c1e0007000800000000000000a-until-")]
    #[case("ebbgate-deny-grt_0192f0c1e0007000800000000000000a-until-x")]
    #[case("ebbgate-deny-grt_0192f0c1e0007000800000000000000a-until-007")]
    #[case("ebbgate-deny-grt_0192f0c1e0007000800000000000000a-until-+7")]
    #[case("ebbgate-deny-req_0192f0c1e0007000800000000000000a-until-7")]
    #[case("x-ebbgate-deny-grt_0192f0c1e0007000800000000000000a-until-7")]
    fn other_peoples_policies_are_left_alone(#[case] name: &str) {
        assert_eq!(Deny::parse(name), None);
    }

    #[rstest]
    #[case::before(899, false)]
    #[case::at_the_end(900, false)]
    #[case::within_the_margin(1_199, false)]
    #[case::after_it(1_200, true)]
    fn a_deny_outlives_its_credentials_by_the_margin(#[case] now: i64, #[case] spent: bool) {
        assert_eq!(deny(1, 900).is_spent(at(now)), spent);
    }

    #[test]
    fn the_end_of_time_is_no_overflow() {
        assert!(!Deny::new(grant(1), Timestamp::MAX).is_spent(at(4_000_000_000)));
    }

    proptest! {
        /// What is put again, a little later, is the same policy, or one of a few.
        #[test]
        fn putting_again_puts_the_same(start in 0_i64..4_000_000_000, later in 0_i64..900) {
            let first = deny(1, start);
            let again = deny(1, start + later);
            prop_assert!(again >= first);
            prop_assert!((again.until - first.until) / STEP <= 3);
            prop_assert!(later > 0 || again == first);
            prop_assert_ne!(deny(2, start).policy_name(), first.policy_name());
        }

        #[test]
        fn an_unexpired_deny_is_never_spent_and_an_expired_one_soon(
            until in 0_i64..4_000_000_000,
            nanos in 0_i32..1_000_000_000,
            earlier in 0_i64..1_000_000,
        ) {
            let end = Timestamp::new(until, nanos).unwrap();
            let named = Deny::parse(&Deny::new(grant(1), end).policy_name()).unwrap();
            prop_assert!(!named.is_spent(end - SignedDuration::from_secs(earlier)));
            prop_assert!(!named.is_spent(end + SignedDuration::from_secs(299)));
            prop_assert!(named.is_spent(end + SignedDuration::from_secs(601)));
        }
    }
}
