//! Flow files: `kind: Scope | Permission | AccessFlow`, one or more documents a file.

use std::collections::{BTreeMap, BTreeSet};

use ebbgate_domain::{
    duration::AccessDuration,
    flow::{
        Access, AccessFlow, ApprovalPolicy, ApproverGroup, DurationRule, JustificationRule, Need,
        Policies, Voices,
    },
    inventory::ResourceKind,
    names::{IntegrationName, PermissionName, ScopeName},
    scope::Scope,
};

use ebbgate_settings::{MapReader, Mistakes, Node, Place, documents};

use super::permissions;

/// How long a request waits for a decision where the flow says nothing: a day, in seconds.
const DEFAULT_REQUEST_TIMEOUT: u32 = 86_400;

/// What a flow refers to, with the place where it does, to be checked when all files are read.
#[derive(Debug, Default)]
pub(crate) struct References {
    scopes: Vec<(ScopeName, Place)>,
    permissions: Vec<(PermissionName, Place)>,
}

/// Reads one file's documents into `policies`.
pub(crate) fn read(
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
                if let Some(scope) = scope(&mut map, integrations) {
                    let name = scope.name.clone();
                    if policies.scopes.insert(name.clone(), scope).is_some() {
                        map.mistakes.add(place, format!("the scope '{name}' is defined twice"));
                    }
                }
                map.finish();
            }
            Some("Permission") => {
                if let Some(permission) = permissions::read(&mut map) {
                    let name = permission.name.clone();
                    if policies.permissions.insert(name.clone(), permission).is_some() {
                        let twice = format!("the permission '{name}' is defined twice");
                        map.mistakes.add(place, twice);
                    }
                }
                map.finish();
            }
            Some("AccessFlow") => {
                if let Some(flow) = flow(&mut map, &mut references) {
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
pub(crate) fn check(references: &References, policies: &Policies, mistakes: &mut Mistakes) {
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

fn scope(map: &mut MapReader<'_>, integrations: &BTreeSet<IntegrationName>) -> Option<Scope> {
    let name = map.required("name");
    let node = map.need("match")?;
    let mut inner = node.map(map.mistakes)?;
    let integration = inner.need("integration").and_then(|node| {
        let name: IntegrationName = node.parse(inner.mistakes)?;
        if !integrations.contains(&name) {
            inner
                .mistakes
                .add(node.place, format!("there is no integration '{name}' in the settings"));
        }
        Some(name)
    });
    let kind = inner.take("type").and_then(|node| kind(&node, inner.mistakes));
    let pattern = inner.optional("name");
    let mut tags = BTreeMap::new();
    if let Some(node) = inner.take("tags") {
        for (key, values) in node.entries(inner.mistakes) {
            let values =
                values.list().iter().filter_map(|value| value.parse(inner.mistakes)).collect();
            tags.insert(key, values);
        }
    }
    inner.finish();
    Some(Scope { name: name?, integration: integration?, kind, pattern, tags })
}

/// A resource kind by its name.
pub(crate) fn kind(node: &Node, mistakes: &mut Mistakes) -> Option<ResourceKind> {
    let text: String = node.parse(mistakes)?;
    let kind = ResourceKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    if kind.is_none() {
        let known = ResourceKind::ALL.map(ResourceKind::as_str).join(", ");
        mistakes.add(node.place, format!("unknown type '{text}': known are {known}"));
    }
    kind
}

fn flow(map: &mut MapReader<'_>, references: &mut References) -> Option<AccessFlow> {
    let name = map.required("name");
    let place = map.place;
    let requesters = map.parsed_list("requesters");
    if requesters.is_empty() {
        map.mistakes.add(place, "the flow has no requesters: name some, such as group:data");
    }
    let access: Vec<_> = map
        .need("access")
        .map_or_else(Vec::new, Node::list)
        .into_iter()
        .filter_map(|node| access(node, map.mistakes, references))
        .collect();
    let approval = map.need("approval").and_then(|node| approval(node, map.mistakes));
    let duration = map.need("duration").and_then(|node| duration(node, map.mistakes));
    let justification = match map.take("justification") {
        Some(node) => justification(node, map.mistakes),
        None => Some(JustificationRule::default()),
    };
    let flow = AccessFlow::new(name?, requesters, access, approval?, duration?);
    Some(AccessFlow { justification: justification?, ..flow })
}

fn access(node: Node, mistakes: &mut Mistakes, references: &mut References) -> Option<Access> {
    let mut map = node.map(mistakes)?;
    let scope = map.need("scope").and_then(|node| {
        let name: ScopeName = node.parse(map.mistakes)?;
        references.scopes.push((name.clone(), node.place));
        Some(name)
    });
    let place = map.place;
    let nodes = map.need("permissions").map_or_else(Vec::new, Node::list);
    let permissions: Vec<_> =
        nodes.iter().filter_map(|node| permission(node, map.mistakes, references)).collect();
    if permissions.is_empty() {
        map.mistakes.add(place, "no permissions: name some, such as select or read-only");
    }
    map.finish();
    Some(Access { scope: scope?, permissions })
}

fn permission(
    node: &Node,
    mistakes: &mut Mistakes,
    references: &mut References,
) -> Option<PermissionName> {
    let permission: PermissionName = node.parse(mistakes)?;
    if !ResourceKind::ALL.iter().any(|kind| kind.offers(&permission)) {
        references.permissions.push((permission.clone(), node.place));
    }
    Some(permission)
}

fn approval(node: Node, mistakes: &mut Mistakes) -> Option<ApprovalPolicy> {
    if node.text() == Some("automatic") {
        return Some(ApprovalPolicy::Automatic);
    }
    if node.text().is_some() {
        mistakes.add(node.place, "write 'automatic' or a map with approver groups");
        return None;
    }
    let mut map = node.map(mistakes)?;
    let between = map.take("between").map_or(Some(Need::All), |node| need(&node, map.mistakes));
    let place = map.place;
    let groups: Vec<_> = map
        .need("groups")
        .map_or_else(Vec::new, Node::list)
        .into_iter()
        .filter_map(|node| approver_group(node, map.mistakes))
        .collect();
    if groups.is_empty() {
        map.mistakes.add(place, "no approver groups: nobody could approve");
    }
    let request_timeout = match map.take("request_timeout") {
        Some(node) => node.parse(map.mistakes),
        None => AccessDuration::from_seconds(DEFAULT_REQUEST_TIMEOUT),
    };
    map.finish();
    Some(ApprovalPolicy::groups(between?, groups, request_timeout?))
}

fn approver_group(node: Node, mistakes: &mut Mistakes) -> Option<ApproverGroup> {
    let mut map = node.map(mistakes)?;
    let name = map.required("name");
    let need = map.take("need").map_or(Some(Need::Any), |node| need(&node, map.mistakes));
    let place = map.place;
    let of = map.parsed_list("of");
    if of.is_empty() {
        map.mistakes.add(place, "the group has no members: name some under 'of'");
    }
    map.finish();
    let need = match need? {
        Need::Any => Voices::Any,
        Need::All => Voices::All,
    };
    let name: String = name?;
    Some(ApproverGroup::new(name, need, of))
}

fn need(node: &Node, mistakes: &mut Mistakes) -> Option<Need> {
    match node.parse::<String>(mistakes)?.as_str() {
        "any" => Some(Need::Any),
        "all" => Some(Need::All),
        other => {
            mistakes.add(node.place, format!("'{other}' is neither 'any' nor 'all'"));
            None
        }
    }
}

fn duration(node: Node, mistakes: &mut Mistakes) -> Option<DurationRule> {
    let mut map = node.map(mistakes)?;
    let default: Option<AccessDuration> = map.required("default");
    let max: Option<AccessDuration> = map.required("max");
    let place = map.place;
    if let (Some(default), Some(max)) = (default, max)
        && default > max
    {
        map.mistakes.add(place, format!("the default {default} is longer than the maximum {max}"));
    }
    map.finish();
    Some(DurationRule::new(default?, max?))
}

fn justification(node: Node, mistakes: &mut Mistakes) -> Option<JustificationRule> {
    let mut map = node.map(mistakes)?;
    let required = map.optional("required").unwrap_or(false);
    let ticket = map.take("ticket").and_then(|node| {
        let pattern: String = node.parse(map.mistakes)?;
        match regex::Regex::new(&pattern) {
            Ok(_) => Some(pattern),
            Err(error) => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or("it does not compile").to_owned();
                map.mistakes
                    .add(node.place, format!("the pattern is no regular expression: {last}"));
                None
            }
        }
    });
    map.finish();
    Some(JustificationRule { required, ticket })
}
