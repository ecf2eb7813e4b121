//! Scopes: named selections of the inventory, evaluated when asked, so that a new resource falls
//! into them by its tags.

use serde::{Deserialize, Serialize};

use crate::{
    inventory::{Resource, ResourceKind},
    names::{IntegrationName, ScopeName},
    tags::TagRules,
};

/// A named selection of resources: what its selector fits, less what an exception fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Its name, by which flows refer to it.
    pub name: ScopeName,
    /// What it selects.
    pub selector: Selector,
    /// What it leaves out all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<Selector>,
}

/// Conditions on a resource. Every one that is given must hold; without any, everything fits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selector {
    /// Only resources of one of these integrations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub integrations: Vec<IntegrationName>,
    /// Only resources of one of these kinds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<ResourceKind>,
    /// Only resources whose native name fits one of these patterns (`*` and `?`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<String>,
    /// Only resources whose tags fit.
    #[serde(skip_serializing_if = "TagRules::is_empty")]
    pub tags: TagRules,
}

impl Scope {
    /// Everything that `selector` fits, without exceptions.
    pub fn new(name: ScopeName, selector: Selector) -> Self {
        Self { name, selector, except: Vec::new() }
    }

    /// Whether `resource` falls into this scope now.
    pub fn contains(&self, resource: &Resource) -> bool {
        self.selector.fits(resource) && !self.except.iter().any(|except| except.fits(resource))
    }
}

impl Selector {
    /// All resources of one integration.
    pub fn integration(name: IntegrationName) -> Self {
        Self { integrations: vec![name], ..Self::default() }
    }

    /// Whether it asks for nothing, so that everything fits.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether every condition that is given holds for `resource`.
    pub fn fits(&self, resource: &Resource) -> bool {
        (self.integrations.is_empty() || self.integrations.contains(&resource.integration))
            && (self.kinds.is_empty() || self.kinds.contains(&resource.kind))
            && (self.patterns.is_empty()
                || self.patterns.iter().any(|pattern| glob(pattern, &resource.native)))
            && self.tags.fit(&resource.tags)
    }
}

/// Whether `text` fits `pattern`, where `*` stands for any run of characters and `?` for one.
/// Names of resources are ASCII. Linear in both but for one remembered star, so that no pattern is
/// slow, and nothing is allocated: one request may ask thousands of scopes.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == text[t]) {
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
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::tags::TagRule;

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
        let selector = Selector {
            integrations: vec!["prod".parse().unwrap()],
            kinds: vec![ResourceKind::S3],
            patterns: vec!["reports-*".to_owned()],
            tags: rules("env", TagRule::OneOf(vec!["prod".to_owned(), "dr".to_owned()])),
        };
        Scope::new("reports".parse().unwrap(), selector)
    }

    fn rules(key: &str, rule: TagRule) -> TagRules {
        TagRules([(key.to_owned(), rule)].into())
    }

    #[test]
    fn every_condition_must_hold() {
        assert!(scope().contains(&bucket("reports-2026", &[("env", "prod")])));
        assert!(scope().contains(&bucket("reports-2026", &[("env", "dr"), ("more", "x")])));
        assert!(!scope().contains(&bucket("reports-2026", &[])));
        assert!(!scope().contains(&bucket("invoices", &[("env", "prod")])));
        let mut elsewhere = scope();
        elsewhere.selector.integrations = vec!["dev".parse().unwrap()];
        assert!(!elsewhere.contains(&bucket("reports-2026", &[("env", "prod")])));
        let mut databases = scope();
        databases.selector.kinds = vec![ResourceKind::Postgres];
        assert!(!databases.contains(&bucket("reports-2026", &[("env", "prod")])));
    }

    #[test]
    fn one_of_several_is_enough() {
        let mut scope = scope();
        scope.selector.integrations.push("dev".parse().unwrap());
        scope.selector.kinds.push(ResourceKind::Mysql);
        scope.selector.patterns.push("invoices".to_owned());
        assert!(scope.contains(&bucket("invoices", &[("env", "prod")])));
        assert!(scope.contains(&bucket("reports-1", &[("env", "prod")])));
        assert!(!scope.contains(&bucket("payroll", &[("env", "prod")])));
    }

    #[test]
    fn an_exception_takes_out_what_the_selector_fits() {
        let pii = rules("data", TagRule::OneOf(vec!["pii".to_owned()]));
        let unlabelled = rules("owner", TagRule::Present(false));
        let except = [pii, unlabelled].map(|tags| Selector { tags, ..Selector::default() });
        let scope = Scope { except: except.to_vec(), ..scope() };
        let check = |tags: &[(&str, &str)]| scope.contains(&bucket("reports-1", tags));
        assert!(check(&[("env", "prod"), ("owner", "ana")]));
        assert!(!check(&[("env", "prod"), ("owner", "ana"), ("data", "pii")]));
        assert!(!check(&[("env", "prod")]));
    }

    #[test]
    fn an_empty_selector_fits_everything() {
        assert!(Selector::default().is_empty());
        assert!(Selector::default().fits(&bucket("x", &[])));
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
