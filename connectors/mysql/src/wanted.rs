//! What a grant is for, if this integration can give it.

use std::collections::BTreeSet;

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_domain::{
    inventory::ResourceKind,
    names::IntegrationName,
    order::GrantSpec,
    right::{Level, Right},
};

/// The server's own, in which who may read can become anybody.
pub(crate) const SYSTEM: [&str; 4] = ["mysql", "sys", "performance_schema", "information_schema"];

/// MySQL's longest name of a database in characters.
const LONGEST: usize = 64;

/// A level of access to a database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Privilege {
    pub(crate) level: Level,
    pub(crate) database: String,
}

/// Everything that one grant gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) privileges: BTreeSet<Privilege>,
    /// Roles that an operator made.
    pub(crate) roles: BTreeSet<String>,
}

impl Wanted {
    /// What `grant` is for.
    pub(crate) fn of(
        grant: &GrantSpec,
        integration: &IntegrationName,
    ) -> Result<Self, ConnectorError> {
        let invalid = |why: String| {
            let doing = format!("carry out an order for {}", grant.grant);
            ConnectorError::new(ErrorKind::Invalid, doing).because(why)
        };
        if grant.integration != *integration || grant.kind != ResourceKind::Mysql {
            return Err(invalid(format!("{} is no database of {integration}", grant.resource)));
        }
        let mut wanted = Self { privileges: BTreeSet::new(), roles: BTreeSet::new() };
        if grant.rights.is_empty() {
            let level = grant.permission.as_str().parse().map_err(|_| {
                invalid(format!(
                    "a database has the permissions select, full, ddl and admin, not {}, unless an \
                     operator defines what that consists of",
                    grant.permission
                ))
            })?;
            let database = usable(&grant.native).map_err(invalid)?;
            wanted.privileges.insert(Privilege { level, database });
        }
        for right in &grant.rights {
            match right {
                Right::Level { schema: Some(schema), .. } => {
                    return Err(invalid(format!(
                        "schema {schema}: MySQL and MariaDB have none within a database; leave it \
                         out"
                    )));
                }
                Right::Level { database, schema: None, level } => {
                    let database =
                        database.as_ref().map_or(grant.native.as_str(), |name| name.as_str());
                    let database = usable(database).map_err(invalid)?;
                    wanted.privileges.insert(Privilege { level: *level, database });
                }
                Right::Role { name } => {
                    let name = name.as_str();
                    if name.to_ascii_lowercase().starts_with("ebb") {
                        return Err(invalid(format!(
                            "role {name}: names that begin with ebb are the connector's own"
                        )));
                    }
                    wanted.roles.insert(name.to_owned());
                }
            }
        }
        Ok(wanted)
    }

    /// Where a grant may have left something behind; none: anywhere.
    pub(crate) fn could_create_in(&self) -> Option<BTreeSet<String>> {
        if !self.roles.is_empty() {
            return None;
        }
        let creators = self.privileges.iter().filter(|privilege| privilege.level >= Level::Ddl);
        Some(creators.map(|privilege| privilege.database.clone()).collect())
    }
}

fn usable(database: &str) -> Result<String, String> {
    let usual = (1..=LONGEST).contains(&database.chars().count())
        && !database.chars().any(char::is_control)
        && !database.ends_with(' ');
    if !usual {
        return Err("a database's name has 1 to 64 characters, none of them a control character, \
                    and no space at its end"
            .to_owned());
    }
    if SYSTEM.iter().any(|system| system.eq_ignore_ascii_case(database)) {
        return Err(format!(
            "{database} is the server's own: who may use it can become anybody there"
        ));
    }
    Ok(database.to_owned())
}
