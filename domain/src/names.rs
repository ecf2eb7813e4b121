//! Names that people write: checked once at the edge, then trusted.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is not a usable name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a {what}: {rule}")]
pub struct InvalidName {
    /// What was given (its first 80 characters).
    pub text: String,
    /// What it should have been.
    pub what: &'static str,
    /// The rule it breaks.
    pub rule: &'static str,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if $check(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(InvalidName { text: text.chars().take(80).collect(), what: $what, rule: $rule })
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

/// Lower-case letters, digits, `.`, `_` and `-`, beginning with a letter or digit, 1 to 63 bytes.
fn is_slug(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && text.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
        })
}

/// What AWS admits as SourceIdentity (`[\w+=,.@-]`, 2 to 64), without the comma, which a session
/// tag of SSM cannot hold, and in lower case, since identity providers differ in case.
fn is_principal(text: &str) -> bool {
    (2..=64).contains(&text.len())
        && !text.starts_with("aws:")
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_+=.@-".contains(&b))
}

/// An inventory id: `integration/kind/native`, printable ASCII without spaces.
fn is_resource(text: &str) -> bool {
    text.len() <= 512
        && text.splitn(3, '/').filter(|part| !part.is_empty()).count() == 3
        && text.bytes().all(|b| b.is_ascii_graphic())
}

name_type!(
    /// A user's or service account's name as the identity provider tells it: an e-mail address.
    /// It is used unchanged as AWS SourceIdentity.
    PrincipalId, "principal", is_principal,
    "use 2 to 64 characters of a-z 0-9 _ + = . @ - in lower case"
);
name_type!(
    /// An identity provider's group.
    GroupName, "group name", is_slug,
    "use 1 to 63 characters of a-z 0-9 . _ - beginning with a letter or digit"
);
name_type!(
    /// An access flow's name.
    FlowName, "flow name", is_slug,
    "use 1 to 63 characters of a-z 0-9 . _ - beginning with a letter or digit"
);
name_type!(
    /// A scope's name.
    ScopeName, "scope name", is_slug,
    "use 1 to 63 characters of a-z 0-9 . _ - beginning with a letter or digit"
);
name_type!(
    /// An on-call schedule's name.
    ScheduleName, "schedule name", is_slug,
    "use 1 to 63 characters of a-z 0-9 . _ - beginning with a letter or digit"
);
name_type!(
    /// An integration's name.
    IntegrationName, "integration name", is_slug,
    "use 1 to 63 characters of a-z 0-9 . _ - beginning with a letter or digit"
);
name_type!(
    /// A permission's name, such as `select` or `read-only`.
    PermissionName, "permission name", is_slug,
    "use 1 to 63 characters of a-z 0-9 . _ - beginning with a letter or digit"
);
name_type!(
    /// An agent's name, as in `at: agent/db-eu`.
    AgentName, "agent name", is_slug,
    "use 1 to 63 characters of a-z 0-9 . _ - beginning with a letter or digit"
);
name_type!(
    /// A channel's name, as in `channel:ops`.
    ChannelName, "channel name", is_slug,
    "use 1 to 63 characters of a-z 0-9 . _ - beginning with a letter or digit"
);
name_type!(
    /// A resource's stable id in the inventory: `orders/postgres/shop`, `prod/s3/reports`.
    ResourceId, "resource id", is_resource,
    "use integration/kind/name, printable ASCII without spaces, at most 512 characters"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_a_legal_source_identity() {
        for good in ["ana@example.com", "ci-deploy", "o.b+x@example.com"] {
            assert!(good.parse::<PrincipalId>().is_ok(), "{good}");
        }
        for bad in
            ["a", "Ana@example.com", "a,b@example.com", "aws:root", "ana @x", &"x".repeat(65)]
        {
            assert!(bad.parse::<PrincipalId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn slugs_are_plain() {
        assert!("data-rds.prod_1".parse::<FlowName>().is_ok());
        for bad in ["", "-x", "Data", "a b", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<FlowName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn resource_ids_have_three_parts() {
        assert!("prod/s3/reports".parse::<ResourceId>().is_ok());
        assert!("prod/iam/role/path".parse::<ResourceId>().is_ok());
        for bad in ["prod/s3", "prod//x", "a/b/", "a/b/c d"] {
            assert!(bad.parse::<ResourceId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_names_the_rule() {
        let error = "A B".parse::<GroupName>().unwrap_err();
        assert!(error.to_string().contains("'A B' is not a group name: use 1 to 63"));
    }
}
