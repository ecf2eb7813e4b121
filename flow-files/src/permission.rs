//! Permissions that an operator defines: `kind: Permission` in a flow file.

use ebbgate_domain::{
    flow::Permission,
    inventory::ResourceKind,
    names::PermissionName,
    right::{DatabaseName, Level, Right},
};
use ebbgate_settings::{MapReader, Mistakes, Node};

use crate::kind;

/// Reads one.
pub(crate) fn read(map: &mut MapReader<'_>) -> Option<Permission> {
    let place = map.place;
    let name: Option<PermissionName> = map.required("name");
    if let Some(name) = &name
        && ResourceKind::ALL.iter().any(|kind| kind.offers(name))
    {
        map.mistakes.add(place, format!("'{name}' is built in: choose another name"));
    }
    let kind = map.need("type").and_then(|node| {
        let found = kind(&node, map.mistakes)?;
        let databases = matches!(found, ResourceKind::Postgres | ResourceKind::Mysql);
        if !databases {
            map.mistakes.add(node.place, "permissions can be defined for postgres and mysql");
        }
        databases.then_some(found)
    });
    let nodes = map.need("rights").map_or_else(Vec::new, Node::list);
    let count = nodes.len();
    let rights: Vec<Right> =
        nodes.into_iter().filter_map(|node| right(node, kind, map.mistakes)).collect();
    if count == 0 {
        map.mistakes
            .add(place, "no rights: name some, such as {level: select} or {role: reporting}");
    }
    if rights.len() < count || count == 0 {
        return None;
    }
    Some(Permission { name: name?, kind: kind?, rights })
}

/// `{level, database, schema}` or `{role}`.
fn right(node: Node, kind: Option<ResourceKind>, mistakes: &mut Mistakes) -> Option<Right> {
    let mut map = node.map(mistakes)?;
    let place = map.place;
    let role: Option<DatabaseName> = map.optional("role");
    let level: Option<Level> = map.optional("level");
    let database: Option<DatabaseName> = map.optional("database");
    let schema: Option<DatabaseName> = map.optional("schema");
    map.finish();
    if kind == Some(ResourceKind::Mysql) && schema.is_some() {
        mistakes.add(place, "MySQL and MariaDB have no schemas inside a database: leave it out");
        return None;
    }
    match (level, role) {
        (Some(level), None) => Some(Right::Level { database, schema, level }),
        (None, Some(name)) if database.is_none() && schema.is_none() => Some(Right::Role { name }),
        _ => {
            mistakes.add(place, "write {level: …, database: …, schema: …} or {role: …}, not both");
            None
        }
    }
}
