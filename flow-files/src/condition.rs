//! `when`: the condition of an approval rule.

use std::collections::BTreeSet;

use ebbgate_domain::{
    condition::Condition,
    zone::{Day, Hours},
};
use ebbgate_settings::{Mistakes, Node};

use crate::{References, flow::permission, tags};

/// Reads one. Nothing where a part cannot be read: the rest would hold more often than was meant.
pub(crate) fn read(
    node: Node,
    mistakes: &mut Mistakes,
    references: &mut References,
) -> Option<Condition> {
    let mut map = node.map(mistakes)?;
    let duration_at_most = map.take("duration_at_most").map(|node| node.parse(map.mistakes));
    let duration_over = map.take("duration_over").map(|node| node.parse(map.mistakes));
    let permissions: Option<Vec<_>> = map
        .take("permissions")
        .map_or_else(Vec::new, Node::list)
        .iter()
        .map(|node| permission(node, map.mistakes, references))
        .collect();
    let tags = map.take("tags").map(|node| tags::read(node, map.mistakes)).unwrap_or_default();
    let inside = map.take("hours").map(|node| hours(node, map.mistakes));
    let outside = map.take("outside_hours").map(|node| hours(node, map.mistakes));
    map.finish();
    Some(Condition {
        duration_at_most: all_or_none(duration_at_most)?,
        duration_over: all_or_none(duration_over)?,
        permissions: permissions?,
        tags,
        hours: all_or_none(inside)?,
        outside_hours: all_or_none(outside)?,
    })
}

/// Whether it holds always.
pub(crate) fn is_always(condition: &Condition) -> bool {
    condition.is_empty()
}

/// Nothing was written, or what was written could be read.
fn all_or_none<T>(part: Option<Option<T>>) -> Option<Option<T>> {
    match part {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

fn hours(node: Node, mistakes: &mut Mistakes) -> Option<Hours> {
    let mut map = node.map(mistakes)?;
    let place = map.place;
    let mut days = BTreeSet::new();
    for node in map.need("days").map_or_else(Vec::new, Node::list) {
        days.extend(range(&node, map.mistakes));
    }
    if days.is_empty() {
        map.mistakes.add(place, "no days: name some, such as mon-fri");
    }
    let from = map.required("from");
    let to = map.required("to");
    let zone = map.required("zone");
    map.finish();
    Some(Hours { days, from: from?, to: to?, zone: zone? })
}

/// `mon`, or `mon-fri`.
fn range(node: &Node, mistakes: &mut Mistakes) -> Vec<Day> {
    let Some(text) = node.parse::<String>(mistakes) else { return Vec::new() };
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    match (first.parse::<Day>(), last.parse::<Day>()) {
        (Ok(first), Ok(last)) => {
            let length = (last.after_monday() + 7 - first.after_monday()) % 7 + 1;
            Day::ALL
                .into_iter()
                .cycle()
                .skip(first.after_monday().into())
                .take(length.into())
                .collect()
        }
        (Err(error), _) | (_, Err(error)) => {
            mistakes.add(node.place, error);
            Vec::new()
        }
    }
}
