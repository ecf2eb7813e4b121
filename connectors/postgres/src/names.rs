//! What is made on a server is named here. A grant's role derives its name from the grant's id
//! (I4), and the name is the mark by which it is found again (I7).

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_domain::{
    ids::GrantId,
    inventory::ResourceKind,
    names::IntegrationName,
    order::GrantSpec,
    right::{DatabaseName, InvalidRight, Level, Right},
};

/// The longest name in bytes (`NAMEDATALEN` - 1); PostgreSQL cuts longer ones without a word.
const LONGEST: usize = 63;

/// Owns what grants leave behind. It has no right whatever, so that a function which runs as its
/// owner gains nobody anything.
pub(crate) const GRAVEYARD: &str = "ebbgate_graveyard";

/// Roles of grants, as a pattern for LIKE.
pub(crate) const GRANT_ROLES: &str = r"ebb\_grt\_%";

/// Privilege roles, as a regular expression.
pub(crate) const PRIVILEGE_ROLES: &str = "^ebbgate_(select|full|ddl|admin)[_:]";

/// The role of a grant: `ebb_grt_` and 32 hexadecimal digits.
pub(crate) fn grant_role(grant: GrantId) -> String {
    format!("ebb_{grant}")
}

/// The grant whose role this is, if it is one.
pub(crate) fn grant_of(role: &str) -> Option<GrantId> {
    role.strip_prefix("ebb_")?.parse().ok()
}

/// A level of access to a database, or to one schema of it. A role of its own has these rights, and
/// a grant is a membership in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Privilege {
    pub(crate) level: Level,
    pub(crate) database: String,
    /// None: all schemas.
    pub(crate) schema: Option<String>,
}

impl Privilege {
    /// The role that has these rights. A colon after the level marks those for one schema. Where a
    /// name is cut, or two parts of it could be divided in two ways, a hash tells them apart: a name
    /// for a whole database has exactly 63 bytes when it ends in one, else fewer.
    pub(crate) fn role(&self) -> String {
        let level = self.level;
        let (plain, hashed) = match &self.schema {
            None => (format!("ebbgate_{level}_{}", self.database), self.database.clone()),
            Some(schema) => (
                format!("ebbgate_{level}:{}.{schema}", self.database),
                format!("{}\0{schema}", self.database),
            ),
        };
        if self.schema.is_none() && plain.len() < LONGEST {
            return plain;
        }
        let hash = hex::encode(digest(&SHA256, hashed.as_bytes()));
        let kept = plain.floor_char_boundary(LONGEST - 17);
        let mut name = format!("{}_{hash}", &plain[..kept]);
        name.truncate(if self.schema.is_none() { LONGEST } else { kept + 17 });
        name
    }

    /// Where it is, for messages.
    pub(crate) fn place(&self) -> String {
        match &self.schema {
            None => format!("database {}", self.database),
            Some(schema) => format!("schema {schema} of database {}", self.database),
        }
    }
}

/// What a grant consists of: memberships.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// In privilege roles.
    pub(crate) privileges: Vec<Privilege>,
    /// In roles that the operator has made.
    pub(crate) roles: Vec<String>,
}

impl Wanted {
    /// What `grant` is for, if this integration can give it.
    pub(crate) fn of(
        grant: &GrantSpec,
        integration: &IntegrationName,
    ) -> Result<Self, ConnectorError> {
        let invalid = |why: String| {
            let doing = format!("carry out an order for {}", grant.grant);
            ConnectorError::new(ErrorKind::Invalid, doing).because(why)
        };
        if grant.integration != *integration || grant.kind != ResourceKind::Postgres {
            return Err(invalid(format!("{} is no database of {integration}", grant.resource)));
        }
        let native: DatabaseName =
            grant.native.parse().map_err(|error: InvalidRight| invalid(error.to_string()))?;
        let built_in = || -> Result<Right, ConnectorError> {
            let level = grant.permission.as_str().parse();
            let level = level.map_err(|error: InvalidRight| invalid(error.to_string()))?;
            Ok(Right::Level { database: None, schema: None, level })
        };
        let rights = match grant.rights.as_slice() {
            [] => vec![built_in()?],
            custom => custom.to_vec(),
        };
        let (mut privileges, mut roles) = (Vec::new(), Vec::new());
        for right in rights {
            match right {
                Right::Level { database, schema, level } => {
                    let database = database.as_ref().unwrap_or(&native).as_str().to_owned();
                    let schema = schema.map(String::from);
                    let privilege = Privilege { level, database, schema };
                    if !privileges.contains(&privilege) {
                        privileges.push(privilege);
                    }
                }
                Right::Role { name } => roles.push(name.into()),
            }
        }
        Ok(Self { privileges, roles })
    }

    /// The roles of which the grant's role is a member.
    pub(crate) fn memberships(&self) -> BTreeSet<String> {
        self.privileges.iter().map(Privilege::role).chain(self.roles.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn role(database: &str) -> String {
        Privilege { level: Level::Select, database: database.to_owned(), schema: None }.role()
    }

    fn role_in(database: &str, schema: &str) -> String {
        let (database, schema) = (database.to_owned(), Some(schema.to_owned()));
        Privilege { level: Level::Ddl, database, schema }.role()
    }

    #[test]
    fn a_grants_role_is_found_by_its_name() {
        let grant: GrantId = "grt_0190a6f4c1de7000aaaaaaaaaaaaaaaa".parse().unwrap();
        assert_eq!(grant_role(grant), "ebb_grt_0190a6f4c1de7000aaaaaaaaaaaaaaaa");
        assert_eq!(grant_of(&grant_role(grant)), Some(grant));
        assert_eq!(grant_of("ebb_grt_somebody"), None);
        assert_eq!(grant_of("postgres"), None);
    }

    #[test]
    fn a_long_database_name_is_cut_with_a_hash() {
        assert_eq!(role("shop"), "ebbgate_select_shop");
        let longest = "d".repeat(63);
        assert_eq!(role(&longest).len(), 63);
        assert!(role(&longest).starts_with("ebbgate_select_ddd"));
        // Somebody who names a database after the cut name gets another role.
        let posing = role(&longest).replacen("ebbgate_select_", "", 1);
        assert_ne!(role(&posing), role(&longest));
    }

    #[test]
    fn a_schemas_role_is_told_from_every_other() {
        let regular = role_in("shop", "sales");
        assert!(regular.starts_with("ebbgate_ddl:shop.sales_"), "{regular}");
        assert_ne!(role_in("a.b", "c"), role_in("a", "b.c"));
        assert_eq!(role_in(&"d".repeat(63), &"s".repeat(63)).len(), 63);
        let database = Privilege { level: Level::Ddl, database: "shop.sales".into(), schema: None };
        assert_eq!(database.role(), "ebbgate_ddl_shop.sales");
    }

    proptest! {
        #[test]
        fn every_database_has_a_role_of_its_own(names in proptest::collection::hash_set("[a-cé]{30,63}", 2..20)) {
            let names: HashSet<_> = names.into_iter().filter(|name| name.len() <= 63).collect();
            let roles: HashSet<_> = names.iter().map(|name| role(name)).collect();
            prop_assert_eq!(roles.len(), names.len());
            prop_assert!(roles.iter().all(|role| role.len() <= 63));
        }
    }
}
