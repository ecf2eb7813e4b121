//! `justification`: what must be said.

use ebbgate_domain::flow::JustificationRule;
use ebbgate_settings::{Mistakes, Node};

/// Reads it.
pub(crate) fn read(node: Node, mistakes: &mut Mistakes) -> Option<JustificationRule> {
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
