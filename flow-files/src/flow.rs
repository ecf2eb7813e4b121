//! `kind: AccessFlow`: who may ask for what.

use ebbgate_domain::{
    flow::{Access, AccessFlow, Activation, JustificationRule, OnChange, Reviewed, ScopeRef},
    inventory::ResourceKind,
    names::{IntegrationName, PermissionName, ScopeName},
    principal::{EVERYONE, Subject},
};
use ebbgate_settings::{MapReader, Mistakes, Node};

use crate::{Known, References, approval, duration, emergency, justification, scope::EVERYTHING};

/// Reads one.
pub(crate) fn read(
    map: &mut MapReader<'_>,
    known: &Known<'_>,
    references: &mut References,
) -> Option<AccessFlow> {
    let name = map.required("name");
    let place = map.place;
    let requesters = requesters(map);
    if requesters.is_empty() {
        map.mistakes.add(place, "the flow has no requesters: name some, such as group:data");
    }
    let except = map.parsed_list("except");
    let access: Vec<_> = map
        .need("access")
        .map_or_else(Vec::new, Node::list)
        .into_iter()
        .filter_map(|node| access(node, map.mistakes, known, references))
        .collect();
    let approval =
        map.need("approval").and_then(|node| approval::read(node, map.mistakes, references));
    let offered: Vec<_> = access.iter().flat_map(|access| &access.permissions).collect();
    let duration =
        map.need("duration").and_then(|node| duration::read(node, &offered, map.mistakes));
    let activation = match map.take("activation") {
        Some(node) => duration::activation(node, map.mistakes),
        None => Some(Activation::default()),
    };
    let justification = match map.take("justification") {
        Some(node) => justification::read(node, map.mistakes),
        None => Some(JustificationRule::default()),
    };
    let break_glass = map
        .take("break_glass")
        .map(|node| emergency::break_glass(node, duration.as_ref(), activation, map.mistakes));
    let on_change = match map.take("on_change") {
        Some(node) => emergency::on_change(&node, map.mistakes),
        None => Some(OnChange::default()),
    };
    let notify = map.parsed_list("notify");
    let reviewed = map.take("reviewed").and_then(|node| reviewed(node, map.mistakes));
    let approval = approval?;
    let flow = AccessFlow::new(name?, requesters, access, approval.policy, duration?);
    Some(AccessFlow {
        rules: approval.rules,
        except,
        activation: activation?,
        justification: justification?,
        // A flow whose emergency part cannot be read is no ordinary one.
        break_glass: match break_glass {
            Some(part) => Some(part?),
            None => None,
        },
        on_change: on_change?,
        notify,
        reviewed,
        ..flow
    })
}

/// Who may ask. Everybody is possible, and almost always too many.
fn requesters(map: &mut MapReader<'_>) -> Vec<Subject> {
    let mut requesters = Vec::new();
    for node in map.take("requesters").map_or_else(Vec::new, Node::list) {
        let broad = [EVERYONE, "group:everyone", "group:all"];
        if node.text().is_some_and(|text| broad.contains(&text)) {
            let advice = "this flow is for everybody: name the groups that need it";
            map.mistakes.warn(node.place, advice);
        }
        if node.text() == Some(EVERYONE) {
            requesters.push(Subject::Everyone);
        } else {
            requesters.extend(node.parse::<Subject>(map.mistakes));
        }
    }
    requesters
}

fn reviewed(node: Node, mistakes: &mut Mistakes) -> Option<Reviewed> {
    let mut map = node.map(mistakes)?;
    let by = map.required("by");
    let on = map.need("on").and_then(|node| {
        let text: String = node.parse(map.mistakes)?;
        let day = text.parse().ok();
        if day.is_none() {
            let message = format!("'{text}' is no day: write it like 2026-09-30");
            map.mistakes.add(node.place, message);
        }
        day
    });
    map.finish();
    Some(Reviewed { by: by?, on: on? })
}

fn access(
    node: Node,
    mistakes: &mut Mistakes,
    known: &Known<'_>,
    references: &mut References,
) -> Option<Access> {
    let mut map = node.map(mistakes)?;
    let scope = scope(&mut map, known, references);
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

/// `scope: NAME`, or `integration: NAME, scope: everything`.
fn scope(
    map: &mut MapReader<'_>,
    known: &Known<'_>,
    references: &mut References,
) -> Option<ScopeRef> {
    let place = map.place;
    let integration = map.take("integration");
    let at = integration.as_ref().map(|node| node.place);
    let integration: Option<IntegrationName> =
        integration.and_then(|node| known.integration(&node, map.mistakes));
    let Some(node) = map.take("scope") else {
        let message = match &integration {
            Some(integration) => format!(
                "without a scope this flow reaches all of {integration}: name a scope, or write \
                 `scope: {EVERYTHING}` if that is meant"
            ),
            None => "the key 'scope' is missing".to_owned(),
        };
        map.mistakes.add(place, message);
        return None;
    };
    if node.text() == Some(EVERYTHING) {
        if at.is_none() {
            map.mistakes.add(node.place, "everything of which integration? Name it beside this");
        }
        return integration.map(|everything| ScopeRef::Everything { everything });
    }
    if let Some(at) = at {
        let message = "a scope says by itself which integrations it is about: leave this out";
        map.mistakes.add(at, message);
    }
    let name: ScopeName = node.parse(map.mistakes)?;
    references.scopes.push((name.clone(), node.place));
    Some(ScopeRef::Named(name))
}

pub(crate) fn permission(
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
