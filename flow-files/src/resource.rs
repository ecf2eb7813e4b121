//! Resources and their types, as settings and test files write them.

use std::collections::BTreeMap;

use ebbgate_domain::{
    inventory::{Resource, ResourceKind},
    names::IntegrationName,
};
use ebbgate_settings::{MapReader, Mistakes, Node, nearest};

/// A resource kind by its name.
pub fn kind(node: &Node, mistakes: &mut Mistakes) -> Option<ResourceKind> {
    let text: String = node.parse(mistakes)?;
    let kind = ResourceKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    if kind.is_none() {
        let known = ResourceKind::ALL.map(ResourceKind::as_str);
        let hint = match nearest(&text, known) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("known are {}", known.join(", ")),
        };
        mistakes.add(node.place, format!("unknown type '{text}': {hint}"));
    }
    kind
}

/// `{type, name, tags}` of an integration; the type may be left out where the integration has only
/// resources of one, which is `fixed`. Ends the map.
pub fn resource(
    mut map: MapReader<'_>,
    integration: &IntegrationName,
    fixed: Option<ResourceKind>,
) -> Option<Resource> {
    let place = map.place;
    let kind = match (map.take("type"), fixed) {
        (Some(node), _) => kind(&node, map.mistakes),
        (None, Some(kind)) => Some(kind),
        (None, None) => {
            map.mistakes.add(place, "the key 'type' is missing");
            None
        }
    };
    let native: Option<String> = map.required("name");
    let tags = map.take("tags").map_or_else(BTreeMap::new, |node| {
        node.entries(map.mistakes)
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.parse::<String>(map.mistakes)?)))
            .collect()
    });
    let resource = kind.zip(native).and_then(|(kind, native)| {
        let id = format!("{integration}/{kind}/{native}");
        let id = id.parse().map_err(|error| map.mistakes.add(place, error)).ok()?;
        Some(Resource { id, integration: integration.clone(), kind, native, tags })
    });
    map.finish();
    resource
}
