//! `approval`: who must approve.

use ebbgate_domain::{
    duration::AccessDuration,
    flow::{ApprovalPolicy, ApproverGroup, Need, Voices},
};
use ebbgate_settings::{Mistakes, Node};

/// How long a request waits for a decision where the flow says nothing: a day, in seconds.
const DEFAULT_REQUEST_TIMEOUT: u32 = 86_400;

/// Reads `automatic` or a map with approver groups.
pub(crate) fn read(node: Node, mistakes: &mut Mistakes) -> Option<ApprovalPolicy> {
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
