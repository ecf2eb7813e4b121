//! Flow files: `kind: Scope | Permission | AccessFlow`, one or more documents a file.
//!
//! One reader for all who read them: the broker, which decides by them, and `ebb`, which tries
//! them out on a person's machine without a broker.

mod approval;
mod duration;
mod emergency;
mod flow;
mod justification;
mod permission;
mod scope;

use std::{collections::BTreeSet, path::PathBuf};

use ebbgate_domain::{
    flow::Policies,
    inventory::ResourceKind,
    names::{IntegrationName, PermissionName, ScopeName},
};
use ebbgate_settings::{Mistake, Mistakes, Node, Place, documents};

/// What a flow refers to, with the place where it does, to be checked when all files are read.
#[derive(Debug, Default)]
struct References {
    scopes: Vec<(ScopeName, Place)>,
    permissions: Vec<(PermissionName, Place)>,
}

/// Reads all files' texts together, because the order of files means nothing and each may refer to
/// any other. Mistakes are added to `found`; what was read beside them is given back.
pub fn read(
    files: &[(PathBuf, String)],
    integrations: &BTreeSet<IntegrationName>,
    found: &mut Vec<Mistake>,
) -> Policies {
    let mut policies = Policies::default();
    let mut open = Vec::new();
    for (file, text) in files {
        let mut mistakes = Mistakes::of(file);
        let references = read_file(text, integrations, &mut policies, &mut mistakes);
        open.push((references, mistakes));
    }
    for (references, mut mistakes) in open {
        check(&references, &policies, &mut mistakes);
        found.extend(mistakes.into_vec());
    }
    policies
}

/// Reads one file's documents into `policies`.
fn read_file(
    text: &str,
    integrations: &BTreeSet<IntegrationName>,
    policies: &mut Policies,
    mistakes: &mut Mistakes,
) -> References {
    let mut references = References::default();
    for document in documents(text, mistakes) {
        let Some(mut map) = document.map(mistakes) else {
            continue;
        };
        let place = map.place;
        let Some(kind) = map.need("kind") else { continue };
        match kind.parse::<String>(map.mistakes).as_deref() {
            Some("Scope") => {
                if let Some(scope) = scope::read(&mut map, integrations) {
                    let name = scope.name.clone();
                    if policies.scopes.insert(name.clone(), scope).is_some() {
                        map.mistakes.add(place, format!("the scope '{name}' is defined twice"));
                    }
                }
                map.finish();
            }
            Some("Permission") => {
                if let Some(permission) = permission::read(&mut map) {
                    let name = permission.name.clone();
                    if policies.permissions.insert(name.clone(), permission).is_some() {
                        let twice = format!("the permission '{name}' is defined twice");
                        map.mistakes.add(place, twice);
                    }
                }
                map.finish();
            }
            Some("AccessFlow") => {
                if let Some(flow) = flow::read(&mut map, &mut references) {
                    let name = flow.name.clone();
                    if policies.flows.insert(name.clone(), flow).is_some() {
                        map.mistakes.add(place, format!("the flow '{name}' is defined twice"));
                    }
                }
                map.finish();
            }
            Some(other) => {
                let known =
                    format!("unknown kind '{other}': known are Scope, Permission and AccessFlow");
                map.mistakes.add(kind.place, known);
            }
            None => {}
        }
    }
    references
}

/// Reports scopes and permissions that no file defines. Called when all files are read, because the order of files
/// means nothing.
fn check(references: &References, policies: &Policies, mistakes: &mut Mistakes) {
    for (scope, place) in &references.scopes {
        if !policies.scopes.contains_key(scope) {
            mistakes.add(*place, format!("there is no scope '{scope}'"));
        }
    }
    for (permission, place) in &references.permissions {
        if !policies.permissions.contains_key(permission) {
            let known: Vec<_> = ResourceKind::ALL
                .iter()
                .map(|kind| format!("{kind}: {}", kind.permissions().join(", ")))
                .collect();
            let known = known.join("; ");
            mistakes.add(
                *place,
                format!(
                    "unknown permission '{permission}': built in are {known}; \
                     others need a `kind: Permission`"
                ),
            );
        }
    }
}

/// A resource kind by its name.
pub fn kind(node: &Node, mistakes: &mut Mistakes) -> Option<ResourceKind> {
    let text: String = node.parse(mistakes)?;
    let kind = ResourceKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    if kind.is_none() {
        let known = ResourceKind::ALL.map(ResourceKind::as_str).join(", ");
        mistakes.add(node.place, format!("unknown type '{text}': known are {known}"));
    }
    kind
}

#[cfg(test)]
mod tests_of_time;
