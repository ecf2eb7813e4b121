//! Rules over tags: `env: prod`, `env: [prod, dr]`, `data: {"!=": [pii]}`, `owner: {present: true}`.

use std::collections::BTreeMap;

use ebbgate_domain::tags::{TagRule, TagRules};
use ebbgate_settings::{Mistakes, Node};

/// Reads a map of tags with what each must be.
pub(crate) fn read(node: Node, mistakes: &mut Mistakes) -> TagRules {
    let mut rules = BTreeMap::new();
    for (key, node) in node.entries(mistakes) {
        if let Some(rule) = rule(node, mistakes) {
            rules.insert(key, rule);
        }
    }
    TagRules(rules)
}

fn rule(node: Node, mistakes: &mut Mistakes) -> Option<TagRule> {
    let place = node.place;
    if !node.is_map() {
        let values: Vec<String> =
            node.list().iter().filter_map(|value| value.parse(mistakes)).collect();
        if values.is_empty() {
            mistakes
                .add(place, "no values: name some, or write {present: true} or {present: false}");
        }
        return Some(TagRule::OneOf(values));
    }
    let mut map = node.map(mistakes)?;
    let values: Vec<String> = map.parsed_list("!=");
    let present: Option<bool> = map.optional("present");
    map.finish();
    match (values.is_empty(), present) {
        (false, None) => Some(TagRule::NoneOf { values }),
        (true, Some(present)) => Some(TagRule::Present(present)),
        _ => {
            mistakes.add(place, "write {\"!=\": [VALUE, …]} or {present: true|false}, one of them");
            None
        }
    }
}
