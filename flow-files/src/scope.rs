//! `kind: Scope`: a named selection of resources.

use std::collections::{BTreeMap, BTreeSet};

use ebbgate_domain::{names::IntegrationName, scope::Scope};
use ebbgate_settings::MapReader;

use crate::kind;

/// Reads one.
pub(crate) fn read(
    map: &mut MapReader<'_>,
    integrations: &BTreeSet<IntegrationName>,
) -> Option<Scope> {
    let name = map.required("name");
    let node = map.need("match")?;
    let mut inner = node.map(map.mistakes)?;
    let integration = inner.need("integration").and_then(|node| {
        let name: IntegrationName = node.parse(inner.mistakes)?;
        if !integrations.contains(&name) {
            inner
                .mistakes
                .add(node.place, format!("there is no integration '{name}' in the settings"));
        }
        Some(name)
    });
    let kind = inner.take("type").and_then(|node| kind(&node, inner.mistakes));
    let pattern = inner.optional("name");
    let mut tags = BTreeMap::new();
    if let Some(node) = inner.take("tags") {
        for (key, values) in node.entries(inner.mistakes) {
            let values =
                values.list().iter().filter_map(|value| value.parse(inner.mistakes)).collect();
            tags.insert(key, values);
        }
    }
    inner.finish();
    Some(Scope { name: name?, integration: integration?, kind, pattern, tags })
}
