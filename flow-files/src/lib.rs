//! Flow files: `kind: Scope | Permission | Schedule | AccessFlow`, one or more documents a file.
//!
//! One reader for all who read them: the broker, which decides by them, and `ebb`, which tries
//! them out on a person's machine without a broker.

mod approval;
pub mod cases;
mod condition;
pub mod diff;
pub mod document;
mod duration;
mod emergency;
mod flow;
mod justification;
mod permission;
mod resource;
mod schedule;
pub mod schema;
mod scope;
mod tags;

use std::{collections::BTreeSet, path::PathBuf};

use ebbgate_domain::{
    flow::Policies,
    inventory::ResourceKind,
    names::{IntegrationName, PermissionName, ScheduleName, ScopeName},
};
use ebbgate_settings::{Mistake, Mistakes, Node, Place, documents, nearest, suggestion};

pub use resource::{kind, resource};

/// How the names of files end that hold cases instead of flows.
pub const TEST_ENDING: &str = ".test.yaml";

/// What a flow refers to, with the place where it does, to be checked when all files are read.
#[derive(Debug, Default)]
struct References {
    scopes: Vec<(ScopeName, Place)>,
    permissions: Vec<(PermissionName, Place)>,
    schedules: Vec<(ScheduleName, Place)>,
}

/// What is known beside the files themselves.
struct Known<'a> {
    /// The integrations of the broker's settings; none where only the files are at hand.
    integrations: Option<&'a BTreeSet<IntegrationName>>,
}

impl Known<'_> {
    /// An integration by its name; a mistake where the settings have none of that name.
    fn integration(&self, node: &Node, mistakes: &mut Mistakes) -> Option<IntegrationName> {
        let name: IntegrationName = node.parse(mistakes)?;
        if let Some(known) = self.integrations
            && !known.contains(&name)
        {
            let hint = suggestion(name.as_str(), known.iter().map(IntegrationName::as_str));
            mistakes
                .add(node.place, format!("there is no integration '{name}' in the settings{hint}"));
        }
        Some(name)
    }
}

/// Reads all files' texts together, because the order of files means nothing and each may refer to
/// any other. Mistakes and warnings are added to `found`; what was read beside them is given back.
/// Whether integrations exist is checked where they are given.
pub fn read(
    files: &[(PathBuf, String)],
    integrations: Option<&BTreeSet<IntegrationName>>,
    found: &mut Vec<Mistake>,
) -> Policies {
    let known = Known { integrations };
    let mut policies = Policies::default();
    let mut open = Vec::new();
    for (file, text) in files {
        let mut mistakes = Mistakes::of(file);
        let references = read_file(text, &known, &mut policies, &mut mistakes);
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
    known: &Known<'_>,
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
                if let Some(scope) = scope::read(&mut map, known) {
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
            Some("Schedule") => {
                if let Some(schedule) = schedule::read(&mut map) {
                    let name = schedule.name.clone();
                    if policies.schedules.insert(name.clone(), schedule).is_some() {
                        map.mistakes.add(place, format!("the schedule '{name}' is defined twice"));
                    }
                }
                map.finish();
            }
            Some("AccessFlow") => {
                if let Some(flow) = flow::read(&mut map, known, &mut references) {
                    let name = flow.name.clone();
                    if policies.flows.insert(name.clone(), flow).is_some() {
                        map.mistakes.add(place, format!("the flow '{name}' is defined twice"));
                    }
                }
                map.finish();
            }
            Some(other) => {
                let known = format!(
                    "unknown kind '{other}': known are Scope, Permission, Schedule and AccessFlow"
                );
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
            let hint = suggestion(scope.as_str(), policies.scopes.keys().map(ScopeName::as_str));
            mistakes.add(*place, format!("there is no scope '{scope}'{hint}"));
        }
    }
    for (schedule, place) in &references.schedules {
        if !policies.schedules.contains_key(schedule) {
            let known = policies.schedules.keys().map(ScheduleName::as_str);
            let hint = suggestion(schedule.as_str(), known);
            mistakes.add(*place, format!("there is no schedule '{schedule}'{hint}"));
        }
    }
    for (permission, place) in &references.permissions {
        if !policies.permissions.contains_key(permission) {
            mistakes.add(*place, unknown_permission(permission, policies));
        }
    }
}

fn unknown_permission(permission: &PermissionName, policies: &Policies) -> String {
    let built_in = ResourceKind::ALL.iter().flat_map(|kind| kind.permissions().iter().copied());
    let own = policies.permissions.keys().map(PermissionName::as_str);
    if let Some(near) = nearest(permission.as_str(), built_in.chain(own)) {
        return format!("unknown permission '{permission}': did you mean '{near}'?");
    }
    let known: Vec<_> = ResourceKind::ALL
        .iter()
        .map(|kind| format!("{kind}: {}", kind.permissions().join(", ")))
        .collect();
    format!(
        "unknown permission '{permission}': built in are {}; others need a `kind: Permission`",
        known.join("; ")
    )
}

#[cfg(test)]
mod approval_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_time;
