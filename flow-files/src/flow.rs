//! `kind: AccessFlow`: who may ask for what.

use ebbgate_domain::{
    flow::{Access, AccessFlow, Activation, JustificationRule, OnChange},
    inventory::ResourceKind,
    names::{PermissionName, ScopeName},
};
use ebbgate_settings::{MapReader, Mistakes, Node};

use crate::{References, approval, duration, emergency, justification};

/// Reads one.
pub(crate) fn read(map: &mut MapReader<'_>, references: &mut References) -> Option<AccessFlow> {
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
    let approval = map.need("approval").and_then(|node| approval::read(node, map.mistakes));
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
    let break_glass = map.take("break_glass").map(|node| {
        emergency::break_glass(node, duration.as_ref(), activation, map.mistakes)
    });
    let on_change = match map.take("on_change") {
        Some(node) => emergency::on_change(&node, map.mistakes),
        None => Some(OnChange::default()),
    };
    let notify = map.parsed_list("notify");
    let flow = AccessFlow::new(name?, requesters, access, approval?, duration?);
    Some(AccessFlow {
        activation: activation?,
        justification: justification?,
        // A flow whose emergency part cannot be read is no ordinary one.
        break_glass: match break_glass {
            Some(part) => Some(part?),
            None => None,
        },
        on_change: on_change?,
        notify,
        ..flow
    })
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
