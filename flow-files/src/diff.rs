//! What a new set of files would change: document by document, field by field.

use std::collections::{BTreeMap, BTreeSet};

use ebbgate_domain::flow::Policies;
use serde::Serialize;
use serde_json::Value;

/// One document that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `Scope`, `Permission`, `Schedule` or `AccessFlow`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What would become of it.
    pub what: What,
    /// Which fields differ, where it stays.
    pub fields: Vec<FieldChange>,
}

/// What would become of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It is new.
    Added,
    /// Something in it differs.
    Changed,
    /// It goes.
    Removed,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Which: `duration.max`.
    pub field: String,
    /// What it was; none where it is new.
    pub old: Option<String>,
    /// What it would be; none where it goes.
    pub new: Option<String>,
}

/// What would change if `new` took the place of `old`, in the order of kinds and names.
pub fn diff(old: &Policies, new: &Policies) -> Vec<Change> {
    let mut changes = documents("Scope", &old.scopes, &new.scopes);
    changes.extend(documents("Permission", &old.permissions, &new.permissions));
    changes.extend(documents("Schedule", &old.schedules, &new.schedules));
    changes.extend(documents("AccessFlow", &old.flows, &new.flows));
    changes
}

fn documents<K: Ord + ToString, T: Serialize + PartialEq>(
    kind: &'static str,
    old: &BTreeMap<K, T>,
    new: &BTreeMap<K, T>,
) -> Vec<Change> {
    let names: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    let change = |name: &&K| {
        let (what, fields) = match (old.get(*name), new.get(*name)) {
            (Some(old), Some(new)) if old == new => return None,
            (Some(old), Some(new)) => (What::Changed, fields(old, new)),
            (None, _) => (What::Added, Vec::new()),
            (_, None) => (What::Removed, Vec::new()),
        };
        Some(Change { kind, name: name.to_string(), what, fields })
    };
    names.iter().filter_map(change).collect()
}

fn fields(old: &impl Serialize, new: &impl Serialize) -> Vec<FieldChange> {
    // Trees of strings, numbers and lists always serialise.
    let tree = |value: Result<Value, _>| value.unwrap_or_default();
    let mut found = Vec::new();
    compare(
        "",
        Some(&tree(serde_json::to_value(old))),
        Some(&tree(serde_json::to_value(new))),
        &mut found,
    );
    found
}

fn compare(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<FieldChange>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (old, new) {
        _ if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                compare(&below(key), old.get(key), new.get(key), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            let (old, new) = (named(old), named(new));
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                compare(
                    &format!("{path}[{key}]"),
                    old.get(key).copied(),
                    new.get(key).copied(),
                    found,
                );
            }
        }
        _ => found.push(FieldChange {
            field: path.to_owned(),
            old: old.map(words),
            new: new.map(words),
        }),
    }
}

/// A list's items by what tells them apart: their name, themselves where they are plain, else
/// where they stand. So an item more at the beginning is one item more, and not all of them.
fn named(items: &[Value]) -> BTreeMap<String, &Value> {
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let name = item.get("name").and_then(Value::as_str).map(ToOwned::to_owned);
            let name =
                name.or_else(|| (!item.is_object() && !item.is_array()).then(|| words(item)));
            (name.unwrap_or_else(|| index.to_string()), item)
        })
        .collect()
}

fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "\
kind: Scope
name: pii
match: {integration: prod, tags: {data: pii}}
---
kind: AccessFlow
name: data-pii
requesters: [group:data]
access: [{scope: pii, permissions: [select]}]
approval:
  groups:
    - {name: DBAs, of: [group:dba]}
    - {name: Security, of: [group:security]}
duration: {default: 30m, max: 1h}
";

    fn policies(text: &str) -> Policies {
        let mut found = Vec::new();
        let policies = crate::read(&[("f.yaml".into(), text.to_owned())], None, &mut found);
        assert!(found.is_empty(), "{found:?}");
        policies
    }

    /// Each changed field as `field: old -> new`.
    fn changed(old: &str, new: &str) -> Vec<String> {
        let changes = diff(&policies(OLD), &policies(&OLD.replacen(old, new, 1)));
        let fields = changes.iter().flat_map(|change| &change.fields);
        let none = || "nothing".to_owned();
        fields
            .map(|f| {
                let old = f.old.clone().unwrap_or_else(none);
                format!("{}: {old} -> {}", f.field, f.new.clone().unwrap_or_else(none))
            })
            .collect()
    }

    #[test]
    fn the_same_changes_nothing() {
        assert_eq!(diff(&policies(OLD), &policies(&format!("# more words\n{OLD}"))), []);
    }

    #[test]
    fn a_field_is_told_with_both_values() {
        assert_eq!(changed("max: 1h", "max: 2h"), ["duration.max: 1h -> 2h"]);
        assert_eq!(
            changed("[group:data]", "[group:sre, group:data]"),
            ["requesters[group:sre]: nothing -> group:sre"]
        );
        assert_eq!(
            changed("name: Security, of: [group:security]", "name: Security, of: [group:ciso]"),
            [
                "approval.groups[Security].of[group:ciso]: nothing -> group:ciso",
                "approval.groups[Security].of[group:security]: group:security -> nothing",
            ]
        );
    }

    #[test]
    fn documents_come_and_go() {
        let other = OLD.replace("data-pii", "data-private");
        let changes = diff(&policies(OLD), &policies(&other));
        let told: Vec<_> =
            changes.iter().map(|change| (change.name.as_str(), change.what)).collect();
        assert_eq!(told, [("data-pii", What::Removed), ("data-private", What::Added)]);
    }
}
