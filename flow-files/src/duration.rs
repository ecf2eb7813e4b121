//! `duration`: for how long, and `activation`: from when.

use std::collections::BTreeMap;

use ebbgate_domain::{
    duration::AccessDuration,
    flow::{Activation, DurationRule},
    names::PermissionName,
    terms::default_warning,
};
use ebbgate_settings::{Mistakes, Node};

/// Reads `duration`. `offered` are the permissions that the flow offers.
pub(crate) fn read(
    node: Node,
    offered: &[&PermissionName],
    mistakes: &mut Mistakes,
) -> Option<DurationRule> {
    let mut map = node.map(mistakes)?;
    let default: Option<AccessDuration> = map.required("default");
    let max: Option<AccessDuration> = map.required("max");
    let place = map.place;
    if let (Some(default), Some(max)) = (default, max)
        && default > max
    {
        map.mistakes.add(place, format!("the default {default} is longer than the maximum {max}"));
    }
    let per_permission = match map.take("per_permission") {
        Some(node) => per_permission(node, max, offered, map.mistakes),
        None => BTreeMap::new(),
    };
    let extend = map.optional("extend").unwrap_or(false);
    let warn = match map.take("warn") {
        Some(node) => warning(&node, map.mistakes),
        None => Some(default_warning()),
    };
    map.finish();
    Some(DurationRule { default: default?, max: max?, per_permission, extend, warn: warn? })
}

fn per_permission(
    node: Node,
    max: Option<AccessDuration>,
    offered: &[&PermissionName],
    mistakes: &mut Mistakes,
) -> BTreeMap<PermissionName, AccessDuration> {
    let mut longest = BTreeMap::new();
    for (key, value) in node.entries(mistakes) {
        let name = key.parse::<PermissionName>().map_err(|error| mistakes.add(value.place, error));
        let Some(length) = value.parse::<AccessDuration>(mistakes) else { continue };
        let Ok(name) = name else { continue };
        if !offered.contains(&&name) {
            mistakes.add(value.place, format!("the flow does not offer the permission '{name}'"));
        }
        if max.is_some_and(|max| length > max) {
            mistakes.add(value.place, format!("{length} is longer than the flow's maximum"));
        }
        longest.insert(name, length);
    }
    longest
}

/// A time, or `off`, which YAML may take for false.
fn warning(node: &Node, mistakes: &mut Mistakes) -> Option<Option<AccessDuration>> {
    match node.parse::<String>(mistakes)?.as_str() {
        "off" | "false" => Some(None),
        _ => node.parse(mistakes).map(Some),
    }
}

/// Reads `activation`: `at-approval` or `{by: requester, within: 12h}`.
pub(crate) fn activation(node: Node, mistakes: &mut Mistakes) -> Option<Activation> {
    if let Some(text) = node.text() {
        if text == "at-approval" {
            return Some(Activation::AtApproval);
        }
        mistakes.add(node.place, "write 'at-approval' or {by: requester, within: 12h}");
        return None;
    }
    let mut map = node.map(mistakes)?;
    if let Some(by) = map.need("by")
        && by.text() != Some("requester")
    {
        map.mistakes.add(by.place, "only the requester can activate: write 'by: requester'");
    }
    let within = map.required("within");
    map.finish();
    Some(Activation::ByRequester { within: within? })
}
