//! Scopes: named selections of the inventory, evaluated when asked, so that a new resource falls
//! into them by its tags.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    inventory::{Resource, ResourceKind},
    names::{IntegrationName, ScopeName},
};

/// A named selection of resources. Every condition that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Its name, by which flows refer to it.
    pub name: ScopeName,
    /// Only resources of this integration.
    pub integration: IntegrationName,
    /// Only resources of this kind.
    pub kind: Option<ResourceKind>,
    /// Only resources whose native name fits this pattern (`*` and `?`).
    pub pattern: Option<String>,
    /// Only resources that bear each of these tags with one of the values.
    pub tags: BTreeMap<String, Vec<String>>,
}

impl Scope {
    /// Whether `resource` falls into this scope now.
    pub fn contains(&self, resource: &Resource) -> bool {
        self.integration == resource.integration
            && self.kind.is_none_or(|kind| kind == resource.kind)
            && self.pattern.as_deref().is_none_or(|pattern| glob(pattern, &resource.native))
            && self.tags.iter().all(|(key, allowed)| {
                resource.tags.get(key).is_some_and(|value| allowed.contains(value))
            })
    }
}

/// Whether `text` fits `pattern`, where `*` stands for any run of characters and `?` for one.
/// Linear in both but for one remembered star, so that no pattern is slow.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            // The last star takes one character more and we try again from there.
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, star_t + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn bucket(native: &str, tags: &[(&str, &str)]) -> Resource {
        Resource {
            id: format!("prod/s3/{native}").parse().unwrap(),
            integration: "prod".parse().unwrap(),
            kind: ResourceKind::S3,
            native: native.to_owned(),
            tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }
    }

    fn scope() -> Scope {
        Scope {
            name: "reports".parse().unwrap(),
            integration: "prod".parse().unwrap(),
            kind: Some(ResourceKind::S3),
            pattern: Some("reports-*".to_owned()),
            tags: BTreeMap::from([("env".to_owned(), vec!["prod".to_owned(), "dr".to_owned()])]),
        }
    }

    #[test]
    fn every_condition_must_hold() {
        assert!(scope().contains(&bucket("reports-2026", &[("env", "prod")])));
        assert!(scope().contains(&bucket("reports-2026", &[("env", "dr"), ("more", "x")])));
        assert!(!scope().contains(&bucket("reports-2026", &[])));
        assert!(!scope().contains(&bucket("invoices", &[("env", "prod")])));
        let elsewhere = Scope { integration: "dev".parse().unwrap(), ..scope() };
        assert!(!elsewhere.contains(&bucket("reports-2026", &[("env", "prod")])));
        let databases = Scope { kind: Some(ResourceKind::Postgres), ..scope() };
        assert!(!databases.contains(&bucket("reports-2026", &[("env", "prod")])));
    }

    #[rstest]
    #[case("*", "", true)]
    #[case("a*c", "abbc", true)]
    #[case("a*c", "abcd", false)]
    #[case("*-prod-?", "x-prod-prod-1", true)]
    #[case("?", "", false)]
    #[case("", "a", false)]
    #[case("ab", "ab", true)]
    fn globs(#[case] pattern: &str, #[case] text: &str, #[case] fits: bool) {
        assert_eq!(glob(pattern, text), fits);
    }
}
