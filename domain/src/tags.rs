//! Rules over a resource's labels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What each of some tags must be. Every rule must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TagRules(pub BTreeMap<String, TagRule>);

/// What one tag must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TagRule {
    /// There, with one of these values.
    OneOf(Vec<String>),
    /// Not there, or with another value than these.
    NoneOf {
        /// The values that it must not have.
        #[serde(rename = "!=")]
        values: Vec<String>,
    },
    /// There or not there, with whatever value.
    Present(bool),
}

impl TagRules {
    /// Whether there are none, so that everything fits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a resource with these tags fits.
    pub fn fit(&self, tags: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(key, rule)| rule.fits(tags.get(key).map(String::as_str)))
    }
}

impl TagRule {
    /// Whether a tag's value fits; `None` where the resource has no such tag.
    pub fn fits(&self, value: Option<&str>) -> bool {
        let among =
            |values: &[String]| value.is_some_and(|value| values.iter().any(|v| v == value));
        match self {
            Self::OneOf(values) => among(values),
            Self::NoneOf { values } => !among(values),
            Self::Present(wanted) => value.is_some() == *wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(r#"["pii","pci"]"#, Some("pii"), true)]
    #[case(r#"["pii","pci"]"#, Some("internal"), false)]
    #[case(r#"["pii"]"#, None, false)]
    #[case(r#"{"!=":["prod"]}"#, Some("dev"), true)]
    #[case(r#"{"!=":["prod"]}"#, Some("prod"), false)]
    #[case(r#"{"!=":["prod"]}"#, None, true)]
    #[case("true", Some("x"), true)]
    #[case("true", None, false)]
    #[case("false", Some("x"), false)]
    #[case("false", None, true)]
    fn fits(#[case] rule: &str, #[case] value: Option<&str>, #[case] expected: bool) {
        let rule: TagRule = serde_json::from_str(rule).unwrap();
        assert_eq!(rule.fits(value), expected);
        let again = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<TagRule>(&again).unwrap(), rule);
    }
}
