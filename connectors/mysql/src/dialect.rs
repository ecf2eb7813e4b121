//! Where MySQL differs from MariaDB, and Amazon's RDS from both. MariaDB's side is tested against
//! the real server; MySQL's and RDS's follow their manuals and were never run, for want of one.

use ebbgate_domain::mysql_verifier::MysqlVerifiers;

use crate::{names, sql};

/// Which kind of server this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    maker: Maker,
    /// Amazon's: even its administrator ends sessions through a procedure only.
    rds: bool,
    /// MySQL's `partial_revokes`: `GRANT … ON` takes a database's name as it stands.
    literal_databases: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    Mariadb,
    Oracle,
}

/// How to tell a server's kind: its version, whether it has RDS's procedure, and then a look at
/// `partial_revokes`, which only MySQL has.
pub(crate) const LOOK: [&str; 2] = [
    "SELECT VERSION(), EXISTS (SELECT 1 FROM information_schema.ROUTINES
                               WHERE ROUTINE_SCHEMA = 'mysql' AND ROUTINE_NAME = 'rds_kill')",
    "SHOW GLOBAL VARIABLES LIKE 'partial_revokes'",
];

/// What nobody's password has as its hash, since it is no hash of anything.
const NOBODYS_NATIVE: &str = "*0000000000000000000000000000000000000000";
const NOBODYS_SHA2: &str = "$A$005$....................0000000000000000000000000000000000000000000";

impl Dialect {
    /// From what [`LOOK`] told.
    pub(crate) fn of(version: &str, rds: bool, partial_revokes: bool) -> Self {
        let mariadb = version.to_ascii_lowercase().contains("mariadb");
        Self {
            maker: if mariadb { Maker::Mariadb } else { Maker::Oracle },
            rds,
            literal_databases: partial_revokes,
        }
    }

    /// The modes of our sessions. Without NO_AUTO_CREATE_USER, which MySQL 8 no longer has, a GRANT
    /// to a role that was dropped just now would make a user without a password.
    pub(crate) fn sql_mode(self) -> &'static str {
        match self.maker {
            Maker::Mariadb => "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_CREATE_USER",
            Maker::Oracle => "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
        }
    }

    /// Where accounts are kept, roles among them. MariaDB's `mysql.user` is a view on this, and slow.
    pub(crate) fn accounts(self) -> &'static str {
        match self.maker {
            Maker::Mariadb => "mysql.global_priv",
            Maker::Oracle => "mysql.user",
        }
    }

    /// The session's own time limit for a statement; MySQL has one for SELECT only.
    pub(crate) fn statement_limit(self, milliseconds: u128) -> String {
        match self.maker {
            Maker::Mariadb => {
                format!("max_statement_time = {}.{:03}", milliseconds / 1000, milliseconds % 1000)
            }
            Maker::Oracle => format!("max_execution_time = {milliseconds}"),
        }
    }

    /// An account whose password nobody has.
    pub(crate) fn identified_by_nobody(self) -> String {
        match self.maker {
            Maker::Mariadb => via("mysql_native_password", NOBODYS_NATIVE),
            Maker::Oracle => with("caching_sha2_password", NOBODYS_SHA2),
        }
    }

    /// An account with a password, by the best plugin among those that are active.
    pub(crate) fn identified_by(self, verifiers: &MysqlVerifiers, active: &[String]) -> String {
        match self.maker {
            Maker::Mariadb if active.iter().any(|plugin| plugin == "ed25519") => {
                via("ed25519", verifiers.ed25519())
            }
            Maker::Mariadb => via("mysql_native_password", verifiers.native()),
            Maker::Oracle => with("caching_sha2_password", verifiers.caching_sha2()),
        }
    }

    /// An account's default role.
    pub(crate) fn set_default_role(self, role: &str, account: &str) -> String {
        let role = self.role(role);
        match self.maker {
            Maker::Mariadb => format!("SET DEFAULT ROLE {role} FOR {account}"),
            Maker::Oracle => format!("SET DEFAULT ROLE {role} TO {account}"),
        }
    }

    /// A role, quoted: on MySQL it is an account of any host.
    pub(crate) fn role(self, name: &str) -> String {
        match self.maker {
            Maker::Mariadb => sql::identifier(name),
            Maker::Oracle => sql::account(name, "%"),
        }
    }

    /// Among accounts, which are roles: MySQL's are locked accounts like any other.
    pub(crate) fn only_roles(self) -> &'static str {
        match self.maker {
            Maker::Mariadb => "is_role = 'Y'",
            Maker::Oracle => "account_locked = 'Y' AND Host = '%'",
        }
    }

    /// A database in `GRANT … ON`.
    pub(crate) fn database(self, name: &str) -> String {
        if self.literal_databases { sql::identifier(name) } else { sql::database_pattern(name) }
    }

    /// The same as `SHOW GRANTS` tells it, unquoted.
    pub(crate) fn database_as_shown(self, name: &str) -> String {
        if self.literal_databases { name.to_owned() } else { sql::escaped(name) }
    }

    /// The sessions but our own: number, user, client, what they do, and for how many milliseconds.
    pub(crate) fn sessions(self) -> &'static str {
        match self.maker {
            Maker::Mariadb => {
                "SELECT ID, USER, HOST, COMMAND, CAST(TIME_MS AS SIGNED)
                 FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID()"
            }
            Maker::Oracle => {
                "SELECT ID, USER, HOST, COMMAND, TIME * 1000 FROM performance_schema.processlist
                 WHERE ID <> CONNECTION_ID()"
            }
        }
    }

    /// Ends a session and its statement.
    pub(crate) fn kill(self, session: u64) -> String {
        match self.maker {
            _ if self.rds => format!("CALL mysql.rds_kill({session})"),
            Maker::Mariadb => format!("KILL HARD CONNECTION {session}"),
            Maker::Oracle => format!("KILL CONNECTION {session}"),
        }
    }

    /// Where rights of accounts are kept, besides `mysql.user`.
    pub(crate) fn tables_of_rights(self) -> &'static [(&'static str, &'static str)] {
        match self.maker {
            Maker::Mariadb => &[
                ("db", "User"),
                ("tables_priv", "User"),
                ("columns_priv", "User"),
                ("procs_priv", "User"),
                ("proxies_priv", "User"),
                ("roles_mapping", "User"),
            ],
            Maker::Oracle => &[
                ("db", "User"),
                ("tables_priv", "User"),
                ("columns_priv", "User"),
                ("procs_priv", "User"),
                ("proxies_priv", "User"),
                ("role_edges", "TO_USER"),
                ("default_roles", "USER"),
                ("global_grants", "USER"),
            ],
        }
    }

    /// Whether `CREATE OR REPLACE` takes that kind of object. Else it is gone for a moment.
    pub(crate) fn replaces(self, kind: &str) -> bool {
        self.maker == Maker::Mariadb || kind == "VIEW"
    }

    /// Whether the list of sessions names, for one that is inside a routine or trigger, whoever that
    /// runs as in place of whoever logged in.
    pub(crate) fn lists_definers(self) -> bool {
        self.maker == Maker::Mariadb
    }

    /// The role that claims a server for `owner`. MariaDB's name tells it in full where it fits.
    pub(crate) fn claim(self, owner: &str) -> String {
        /// MariaDB's longest name of a role in characters.
        const LONGEST: usize = 128;
        let full = format!("{}{owner}", names::OWNER);
        if self.maker == Maker::Mariadb && full.chars().count() <= LONGEST {
            return full;
        }
        names::fitting(names::OWNER, owner)
    }

    /// What makes the claim. MySQL's hashed name is explained by a comment.
    pub(crate) fn make_claim(self, claim: &str, owner: &str) -> String {
        match self.maker {
            Maker::Mariadb => format!("CREATE ROLE IF NOT EXISTS {}", self.role(claim)),
            Maker::Oracle => format!(
                "CREATE USER IF NOT EXISTS {} {} ACCOUNT LOCK COMMENT {}",
                self.role(claim),
                self.identified_by_nobody(),
                sql::literal(owner)
            ),
        }
    }

    /// All claims: their names, and whose they are where a comment tells.
    pub(crate) fn claims(self) -> String {
        let owner = match self.maker {
            Maker::Mariadb => "NULL",
            Maker::Oracle => "User_attributes ->> '$.metadata.comment'",
        };
        let claims = sql::literal(&format!("{}%", sql::escaped(names::OWNER)));
        format!("SELECT User, {owner} FROM {} WHERE User LIKE {claims}", self.accounts())
    }

    /// What the connector's account needs on the whole server.
    pub(crate) fn needed_globally(self) -> &'static [Need] {
        match self.maker {
            Maker::Mariadb => {
                const {
                    &[
                        Need::new("CREATE USER", "make and drop users"),
                        Need::new("PROCESS", "see sessions"),
                        Need::new("CONNECTION ADMIN", "end sessions"),
                        Need::new("SET USER", "take over what a grant leaves behind"),
                    ]
                }
            }
            Maker::Oracle if self.rds => {
                const {
                    &[
                        Need::new("CREATE USER", "make and drop users"),
                        Need::new("PROCESS", "see sessions"),
                        Need::new("ROLE_ADMIN", "grant roles"),
                    ]
                }
            }
            Maker::Oracle => {
                const {
                    &[
                        Need::new("CREATE USER", "make and drop users"),
                        Need::new("PROCESS", "see sessions"),
                        Need::new("CONNECTION_ADMIN", "end sessions"),
                        Need::new("ROLE_ADMIN", "grant roles"),
                        Need::or(
                            "SET_ANY_DEFINER",
                            "SET_USER_ID",
                            "take over what a grant leaves behind",
                        ),
                    ]
                }
            }
        }
    }

    /// What it needs on the system database.
    pub(crate) fn needed_on_mysql(self) -> &'static [Need] {
        match self.maker {
            Maker::Mariadb => {
                const {
                    &[
                        Need::new("SELECT", "see users and roles"),
                        Need::new("UPDATE", "set a user's default role, for which MariaDB asks it"),
                    ]
                }
            }
            Maker::Oracle => const { &[Need::new("SELECT", "see users and roles")] },
        }
    }

    /// How an operator has statements logged where nothing does.
    pub(crate) fn audit_cure(self) -> &'static str {
        match self.maker {
            Maker::Mariadb => "INSTALL SONAME 'server_audit'; SET GLOBAL server_audit_logging = ON",
            Maker::Oracle => "SET GLOBAL general_log = ON, or install an audit plugin",
        }
    }

    /// What people call it.
    pub(crate) fn server_name(self) -> &'static str {
        match self.maker {
            Maker::Mariadb => "MariaDB",
            Maker::Oracle => "MySQL",
        }
    }
}

/// A right, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) right: &'static str,
    /// Another name of it, on older servers.
    pub(crate) or: Option<&'static str>,
    pub(crate) to: &'static str,
}

impl Need {
    const fn new(right: &'static str, to: &'static str) -> Self {
        Self { right, or: None, to }
    }

    const fn or(right: &'static str, or: &'static str, to: &'static str) -> Self {
        Self { right, or: Some(or), to }
    }
}

/// MariaDB's words (manual, "CREATE USER").
fn via(plugin: &str, hash: &str) -> String {
    format!("IDENTIFIED VIA {plugin} USING {}", sql::literal(hash))
}

/// MySQL's words (manual, "CREATE USER Statement").
fn with(plugin: &str, hash: &str) -> String {
    format!("IDENTIFIED WITH {plugin} AS {}", sql::literal(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARIADB: &str = "10.11.19-MariaDB-0+deb12u1-log";

    fn verifiers() -> MysqlVerifiers {
        MysqlVerifiers::new(
            "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19",
            NOBODYS_SHA2,
            "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY",
        )
        .unwrap()
    }

    #[test]
    fn takes_the_plugin_that_the_server_offers() {
        let mariadb = Dialect::of(MARIADB, false, false);
        let offer = |plugins: &[&str]| {
            let plugins: Vec<_> = plugins.iter().map(|plugin| (*plugin).to_owned()).collect();
            mariadb.identified_by(&verifiers(), &plugins)
        };
        assert!(offer(&["mysql_native_password", "ed25519"]).starts_with("IDENTIFIED VIA ed25519"));
        assert!(offer(&["mysql_native_password"]).contains("VIA mysql_native_password USING '*2"));
        let mysql = Dialect::of("9.1.0", false, false);
        assert!(
            mysql
                .identified_by(&verifiers(), &[])
                .starts_with("IDENTIFIED WITH caching_sha2_password AS '$A$005$")
        );
    }

    #[test]
    fn writes_each_makers_words() {
        let (mariadb, mysql) =
            (Dialect::of(MARIADB, false, false), Dialect::of("8.4.3", false, true));
        assert_eq!(mariadb.set_default_role("r", "a"), "SET DEFAULT ROLE `r` FOR a");
        assert_eq!(mysql.set_default_role("r", "a"), "SET DEFAULT ROLE 'r'@'%' TO a");
        assert_eq!(
            (mariadb.database("s_1"), mysql.database("s_1")),
            ("`s\\_1`".into(), "`s_1`".into())
        );
        assert_eq!(mariadb.kill(7), "KILL HARD CONNECTION 7");
        assert_eq!(mysql.kill(7), "KILL CONNECTION 7");
        assert_eq!(Dialect::of(MARIADB, true, false).kill(7), "CALL mysql.rds_kill(7)");
        assert_eq!(mariadb.statement_limit(1_500), "max_statement_time = 1.500");
    }

    #[test]
    fn a_claim_tells_its_owner_where_it_fits() {
        let (mariadb, mysql) =
            (Dialect::of(MARIADB, false, false), Dialect::of("8.4.3", false, false));
        let owner = format!("{}/orders", "3f".repeat(16));
        assert_eq!(mariadb.claim(&owner), format!("ebbgate_owner_{owner}"));
        assert_eq!(mysql.claim(&owner).len(), 32);
        assert_eq!(mariadb.claim(&"x".repeat(200)).len(), 32);
    }
}
