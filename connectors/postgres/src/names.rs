//! What is made on a server is named here. A grant's role derives its name from the grant's id
//! (I4), and the name is the mark by which it is found again (I7).

use aws_lc_rs::digest::{SHA256, digest};
use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_domain::{
    ids::GrantId, inventory::ResourceKind, names::IntegrationName, order::GrantSpec,
};

/// The longest name in bytes (`NAMEDATALEN` - 1); PostgreSQL cuts longer ones without a word.
const LONGEST: usize = 63;

/// Owns what grants leave behind. It has no right whatever, so that a function which runs as its
/// owner gains nobody anything.
pub(crate) const GRAVEYARD: &str = "ebbgate_graveyard";

/// Roles of grants, as a pattern for LIKE.
pub(crate) const GRANT_ROLES: &str = r"ebb\_grt\_%";

/// Privilege roles, as a regular expression.
pub(crate) const PRIVILEGE_ROLES: &str = "^ebbgate_(select|full)_";

/// The role of a grant: `ebb_grt_` and 32 hexadecimal digits.
pub(crate) fn grant_role(grant: GrantId) -> String {
    format!("ebb_{grant}")
}

/// The grant whose role this is, if it is one.
pub(crate) fn grant_of(role: &str) -> Option<GrantId> {
    role.strip_prefix("ebb_")?.parse().ok()
}

/// A level of access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Level {
    /// Read.
    Select,
    /// Read and write, but no DDL.
    Full,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Full => "full",
        }
    }
}

/// What is granted: a level of access to a database. A role of its own has these rights, and a
/// grant is a membership in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Privilege {
    pub(crate) level: Level,
    pub(crate) database: String,
}

impl Privilege {
    /// What `grant` is for, if this integration can give it.
    pub(crate) fn of(
        grant: &GrantSpec,
        integration: &IntegrationName,
    ) -> Result<Self, ConnectorError> {
        let invalid = |why: String| {
            ConnectorError::new(
                ErrorKind::Invalid,
                format!("carry out an order for {}", grant.grant),
            )
            .because(why)
        };
        if grant.integration != *integration || grant.kind != ResourceKind::Postgres {
            return Err(invalid(format!("{} is no database of {integration}", grant.resource)));
        }
        let level = match grant.permission.as_str() {
            "select" => Level::Select,
            "full" => Level::Full,
            other => {
                return Err(invalid(format!(
                    "a PostgreSQL database has the permissions select and full, not {other}"
                )));
            }
        };
        let database = grant.native.clone();
        if database.is_empty() || database.len() > LONGEST || database.contains('\0') {
            return Err(invalid("a database's name has 1 to 63 bytes and no NUL".to_owned()));
        }
        Ok(Self { level, database })
    }

    /// The role that has these rights. A name that would be too long ends in a hash and has exactly
    /// 63 bytes; one that fits has fewer. So the two never meet.
    pub(crate) fn role(&self) -> String {
        let plain = format!("ebbgate_{}_{}", self.level.as_str(), self.database);
        if plain.len() < LONGEST {
            return plain;
        }
        let hash = hex::encode(digest(&SHA256, self.database.as_bytes()));
        let kept = plain.floor_char_boundary(LONGEST - 17);
        let mut name = format!("{}_{hash}", &plain[..kept]);
        name.truncate(LONGEST);
        name
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn role(database: &str) -> String {
        Privilege { level: Level::Select, database: database.to_owned() }.role()
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
