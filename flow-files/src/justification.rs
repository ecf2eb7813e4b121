//! `justification`: what must be said.

use ebbgate_domain::flow::{JustificationRule, Saying};
use ebbgate_settings::{Mistakes, Node};

/// Longer than this, no reason is taken: see the API's limit.
const LONGEST_REASON: u32 = 2_000;

/// Reads it: `off`, `optional`, `required`, or a map.
pub(crate) fn read(node: Node, mistakes: &mut Mistakes) -> Option<JustificationRule> {
    if !node.is_map() {
        let mode = mode(&node, mistakes)?;
        return Some(JustificationRule { mode, ..JustificationRule::default() });
    }
    let mut map = node.map(mistakes)?;
    let place = map.place;
    let required: Option<bool> = map.optional("required");
    let named = map.take("mode").map(|node| mode(&node, map.mistakes));
    let least = map.take("min_length");
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
    let mode = match (named, required) {
        (Some(_), Some(_)) => {
            map.mistakes.add(place, "write either 'mode' or 'required', not both");
            None
        }
        (Some(mode), None) => mode,
        (None, Some(true)) => Some(Saying::Required),
        (None, _) => Some(Saying::Optional),
    };
    let mut min_length = 0;
    if let Some(node) = least {
        min_length = node.parse(map.mistakes).unwrap_or(0);
        if min_length > LONGEST_REASON {
            map.mistakes.add(node.place, format!("a reason has at most {LONGEST_REASON} letters"));
        }
        if mode == Some(Saying::Off) {
            map.mistakes.add(node.place, "nobody is asked for a reason where the mode is 'off'");
        }
    }
    map.finish();
    Some(JustificationRule { mode: mode?, min_length, ticket })
}

/// `off`, which YAML may take for false, `optional` or `required`.
fn mode(node: &Node, mistakes: &mut Mistakes) -> Option<Saying> {
    match node.parse::<String>(mistakes)?.as_str() {
        "off" | "false" => Some(Saying::Off),
        "optional" => Some(Saying::Optional),
        "required" => Some(Saying::Required),
        other => {
            mistakes.add(
                node.place,
                format!("'{other}' is neither 'off' nor 'optional' nor 'required'"),
            );
            None
        }
    }
}
