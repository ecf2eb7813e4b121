//! When an approval rule applies: by duration, permission, the resource's tags and the hour.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{duration::AccessDuration, names::PermissionName, tags::TagRules, zone::Hours};

/// A condition on one item of a request. All parts that are given must hold; one without any holds
/// always.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Condition {
    /// Asked for at most so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_at_most: Option<AccessDuration>,
    /// Asked for longer than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_over: Option<AccessDuration>,
    /// One of these permissions; any where none is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<PermissionName>,
    /// The resource's tags.
    #[serde(skip_serializing_if = "TagRules::is_empty")]
    pub tags: TagRules,
    /// Asked for within these hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// Asked for outside these hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside_hours: Option<Hours>,
}

/// What a condition looks at.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// For how long.
    pub duration: AccessDuration,
    /// Which level of access.
    pub permission: &'a PermissionName,
    /// The resource's tags.
    pub tags: &'a BTreeMap<String, String>,
    /// When.
    pub at: Timestamp,
}

impl Condition {
    /// Whether it holds.
    pub fn holds(&self, asked: Asked<'_>) -> bool {
        self.duration_at_most.is_none_or(|most| asked.duration <= most)
            && self.duration_over.is_none_or(|over| asked.duration > over)
            && (self.permissions.is_empty() || self.permissions.contains(asked.permission))
            && self.tags.fit(asked.tags)
            && self.hours.as_ref().is_none_or(|hours| hours.contain(asked.at))
            && self.outside_hours.as_ref().is_none_or(|hours| !hours.contain(asked.at))
    }

    /// Whether it holds always.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(most) = self.duration_at_most {
            parts.push(format!("at most {most}"));
        }
        if let Some(over) = self.duration_over {
            parts.push(format!("over {over}"));
        }
        if !self.permissions.is_empty() {
            let names: Vec<_> = self.permissions.iter().map(ToString::to_string).collect();
            parts.push(names.join(" or "));
        }
        if !self.tags.is_empty() {
            parts.push(format!("tags {}", serde_json::to_string(&self.tags).unwrap_or_default()));
        }
        if let Some(hours) = &self.hours {
            parts.push(format!("within {hours}"));
        }
        if let Some(hours) = &self.outside_hours {
            parts.push(format!("outside {hours}"));
        }
        if parts.is_empty() {
            parts.push("always".to_owned());
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::always("{}", true)]
    #[case::short(r#"{"duration_at_most":"1h"}"#, true)]
    #[case::shorter(r#"{"duration_at_most":"59m"}"#, false)]
    #[case::not_over(r#"{"duration_over":"1h"}"#, false)]
    #[case::over(r#"{"duration_over":"59m"}"#, true)]
    #[case::permission(r#"{"permissions":["full","select"]}"#, true)]
    #[case::another_permission(r#"{"permissions":["full"]}"#, false)]
    #[case::tag(r#"{"tags":{"data":["pii"]}}"#, true)]
    #[case::not_that_tag(r#"{"tags":{"data":{"!=":["pii"]}}}"#, false)]
    #[case::in_hours(
        r#"{"hours":{"days":["mon"],"from":"09:00","to":"17:00","zone":"UTC"}}"#,
        true
    )]
    #[case::not_outside(
        r#"{"outside_hours":{"days":["mon"],"from":"09:00","to":"17:00","zone":"UTC"}}"#,
        false
    )]
    #[case::all_must_hold(r#"{"duration_at_most":"1h","permissions":["full"]}"#, false)]
    fn holds(#[case] condition: &str, #[case] expected: bool) {
        let condition: Condition = serde_json::from_str(condition).unwrap();
        let asked = Asked {
            duration: "1h".parse().unwrap(),
            permission: &"select".parse().unwrap(),
            tags: &[("data".to_owned(), "pii".to_owned())].into(),
            at: "2026-11-23T12:00:00Z".parse().unwrap(), // a Monday
        };
        assert_eq!(condition.holds(asked), expected, "{condition}");
        let again = serde_json::to_string(&condition).unwrap();
        assert_eq!(serde_json::from_str::<Condition>(&again).unwrap(), condition);
    }

    #[test]
    fn an_unknown_part_is_not_passed_over() {
        assert!(serde_json::from_str::<Condition>(r#"{"duration_under":"1h"}"#).is_err());
    }
}
