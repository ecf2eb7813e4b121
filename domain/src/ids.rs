//! Typed identifiers: a prefix that tells what is meant, and a UUIDv7 (RFC 9562) that sorts by time.
//!
//! Time and randomness come from the caller, so that the core stays pure and tests can repeat.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is no identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not an id of the form {prefix}_<32 hex digits>")]
pub struct InvalidId {
    /// What was given.
    pub text: String,
    /// The prefix that was expected.
    pub prefix: &'static str,
}

/// Ten random bytes for one identifier; from the `Ids` port, never from here.
pub type Entropy = [u8; 10];

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// What stands before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id from a moment and ten random bytes.
            pub fn new(now: Timestamp, entropy: Entropy) -> Self {
                let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &entropy).into_uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let invalid = || InvalidId { text: text.chars().take(80).collect(), prefix: $prefix };
                let hex = text
                    .strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32)
                    .filter(|hex| hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
                    .ok_or_else(invalid)?;
                Uuid::try_parse(hex).map(Self).map_err(|_| invalid())
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

typed_id!(
    /// Names an access request.
    RequestId,
    "req"
);
typed_id!(
    /// Names a grant. It is the RoleSessionName in AWS and part of the role's name in a database,
    /// so that every log joins on it.
    GrantId,
    "grt"
);
typed_id!(
    /// Names an enrolled agent.
    AgentId,
    "agt"
);
typed_id!(
    /// Names a message in the outbox; receivers drop what they have seen.
    NoticeId,
    "ntc"
);
typed_id!(
    /// Names an enrolment token (its secret is never stored, only a hash).
    TokenId,
    "tok"
);
typed_id!(
    /// Names a delegation: who speaks in whose place.
    DelegationId,
    "dlg"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn reads_what_it_writes() {
        let id = GrantId::new(at(1_700_000_000_000), [7; 10]);
        assert_eq!(id.to_string().parse::<GrantId>().unwrap(), id);
        assert!(id.to_string().starts_with("grt_"));
    }

    #[test]
    fn sorts_by_time() {
        assert!(GrantId::new(at(1), [255; 10]) < GrantId::new(at(2), [0; 10]));
    }

    #[test]
    fn a_grant_id_is_a_legal_role_session_name() {
        let name = GrantId::new(at(1_700_000_000_000), [0xab; 10]).to_string();
        assert!((2..=64).contains(&name.len()));
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)));
    }

    #[test]
    fn refuses_other_kinds_and_other_spellings() {
        let request = RequestId::new(at(5), [1; 10]).to_string();
        assert!(request.parse::<GrantId>().is_err());
        assert!(request.to_uppercase().parse::<RequestId>().is_err());
        assert!("req_".parse::<RequestId>().is_err());
        assert!("req_0192é".parse::<RequestId>().is_err());
    }
}
