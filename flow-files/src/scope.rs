//! `kind: Scope`: a named selection of resources.

use ebbgate_domain::{
    names::ScopeName,
    scope::{Scope, Selector},
    tags::TagRules,
};
use ebbgate_settings::{MapReader, Mistakes, Node};

use crate::{Known, kind, tags};

/// What a flow writes for all of an integration; no scope may be called so.
pub(crate) const EVERYTHING: &str = "everything";

/// Reads one.
pub(crate) fn read(map: &mut MapReader<'_>, known: &Known<'_>) -> Option<Scope> {
    let name = map.need("name").and_then(|node| {
        let name: ScopeName = node.parse(map.mistakes)?;
        if name.as_str() == EVERYTHING {
            let taken = "'everything' stands for a whole integration in flows: choose another name";
            map.mistakes.add(node.place, taken);
        }
        Some(name)
    });
    let node = map.need("match")?;
    let place = node.place;
    let selected = selector(node, known, map.mistakes);
    if selected.as_ref().is_some_and(Selector::is_empty) {
        map.mistakes.add(
            place,
            "this selects every resource of every integration: name at least an integration, a type, \
             a name or a tag",
        );
    }
    let except = map.take("except").map_or_else(Vec::new, Node::list);
    let except = except
        .into_iter()
        .filter_map(|node| {
            let place = node.place;
            let selector = selector(node, known, map.mistakes)?;
            if selector.is_empty() {
                map.mistakes.add(place, "this takes everything out: say what to leave out");
            }
            Some(selector)
        })
        .collect();
    Some(Scope { name: name?, selector: selected?, except })
}

fn selector(node: Node, known: &Known<'_>, mistakes: &mut Mistakes) -> Option<Selector> {
    let mut map = node.map(mistakes)?;
    let mut integrations = Vec::new();
    for node in map.take("integration").map_or_else(Vec::new, Node::list) {
        integrations.extend(known.integration(&node, map.mistakes));
    }
    let mut kinds = Vec::new();
    for node in map.take("type").map_or_else(Vec::new, Node::list) {
        kinds.extend(kind(&node, map.mistakes));
    }
    let patterns = map.parsed_list("name");
    let tags =
        map.take("tags").map_or_else(TagRules::default, |node| tags::read(node, map.mistakes));
    map.finish();
    Some(Selector { integrations, kinds, patterns, tags })
}
