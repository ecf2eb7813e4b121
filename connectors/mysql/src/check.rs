//! Whether the connector's own account can do what it must, and if not, the SQL that cures it.

use std::{collections::BTreeSet, sync::Arc};

use ebbgate_connector_api::{ConnectorError, Lack};

use crate::{
    definers,
    dialect::{Dialect, Need},
    failure::{Doing as _, Failure},
    grants::{self, Entry, Object},
    owner::Owner,
    server::{Server, Session},
    sql,
};

/// As `SHOW GRANTS` tells it.
const ALL: &str = "ALL PRIVILEGES";

/// What the server says of us and of itself.
#[derive(Debug, Clone)]
struct Standing {
    dialect: Dialect,
    account: String,
    /// Rights on the whole server.
    on_server: BTreeSet<String>,
    /// Rights on the system database.
    on_mysql: BTreeSet<String>,
    /// Databases on which we have all rights, as patterns.
    whole: BTreeSet<String>,
    read_only: bool,
    /// A password must be told in clear, so that the server can judge it.
    refuses_hashes: bool,
}

/// Logs in anew and looks at our rights.
pub(crate) async fn check(
    server: &Arc<Server>,
    owner: &Owner,
) -> Result<Vec<Lack>, ConnectorError> {
    let doing = || "look at the rights of the connector's account".to_owned();
    let mut session = server.fresh_session().await?;
    let standing = look(&mut session).await.doing(doing)?;
    let mut lacks = standing.lacks();
    // Without that right, neither accounts nor claims can be seen.
    if !lacks.iter().any(|lack| lack.what.contains("SELECT")) {
        lacks.extend(anonymous(&mut session).await.doing(doing)?);
        let open = definers::open_patterns(&mut session).await.doing(doing)?;
        lacks.extend(open.iter().filter_map(|pattern| standing.lack_in_open(pattern)));
        match owner.respect(server).await {
            Ok(()) => {}
            Err(error) if error.may_pass() => return Err(error),
            Err(error) => lacks.push(Lack {
                what: error.chain(),
                cure: "give each integration a server of its own".to_owned(),
            }),
        }
    }
    Ok(lacks)
}

async fn look(session: &mut Session) -> Result<Standing, Failure> {
    // Not on MySQL, where it is a component's business and a hash is taken anyway.
    const HASHES: &str = "SELECT 1 FROM information_schema.PLUGINS
        WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE'";
    let account = session.column("SELECT CURRENT_USER()".to_owned()).await?.concat();
    let mut on_server = BTreeSet::new();
    let (mut on_mysql, mut whole) = (BTreeSet::new(), BTreeSet::new());
    for line in session.column("SHOW GRANTS".to_owned()).await? {
        let Some(Entry::Rights { rights, on, .. }) = grants::entry(&line) else {
            continue;
        };
        match on {
            Object::Server => on_server.extend(rights),
            Object::Database { pattern, whole: true } => {
                let all = rights.iter().any(|right| right == ALL);
                if sql::covers(&pattern, "mysql") {
                    on_mysql.extend(rights);
                }
                if all {
                    whole.insert(pattern);
                }
            }
            Object::Database { .. } => {}
        }
    }
    let validates = !session.column(HASHES.to_owned()).await?.is_empty();
    let strict = variable(session, "strict_password_validation").await? == Some("ON".to_owned());
    Ok(Standing {
        dialect: session.dialect(),
        account,
        on_server,
        on_mysql,
        whole,
        read_only: variable(session, "read_only").await?.is_some_and(|value| value != "OFF"),
        refuses_hashes: validates && strict,
    })
}

/// Accounts without a name take in whoever comes from there and has none of their own for just that
/// host: a grant's person, too, and under any name also when the grant is over.
async fn anonymous(session: &mut Session) -> Result<Vec<Lack>, Failure> {
    let look = format!("SELECT Host FROM {} WHERE User = ''", session.dialect().accounts());
    let lack = |host: String| {
        let account = sql::account("", &host);
        Lack {
            what: format!("the account {account} lets everybody in from there, under any name"),
            cure: format!("DROP USER {account}"),
        }
    };
    Ok(session.column(look).await?.into_iter().map(lack).collect())
}

async fn variable(session: &mut Session, name: &str) -> Result<Option<String>, Failure> {
    let look = format!("SHOW GLOBAL VARIABLES LIKE {}", sql::literal(&sql::escaped(name)));
    Ok(session
        .rows(look)
        .await?
        .into_iter()
        .next()
        .and_then(|row| row.into_iter().nth(1).flatten()))
}

impl Standing {
    fn account(&self) -> String {
        match self.account.rsplit_once('@') {
            Some((user, host)) => sql::account(user, host),
            None => sql::literal(&self.account),
        }
    }

    /// Where everybody may make something, a grant may leave something.
    fn lack_in_open(&self, pattern: &str) -> Option<Lack> {
        if self.on_server.contains(ALL) || self.whole.contains(pattern) {
            return None;
        }
        let (account, place) = (self.account(), sql::identifier(pattern));
        Some(Lack {
            what: format!(
                "everybody may make something in {place}, and {account} may not take over what a \
                 grant leaves there"
            ),
            cure: format!("GRANT {ALL} ON {place}.* TO {account}"),
        })
    }

    fn lacks(&self) -> Vec<Lack> {
        let mut lacks = Vec::new();
        let account = self.account();
        let mut ask = |needs: &[Need], has: &[&BTreeSet<String>], on: &str| {
            let has = |right: &str| has.iter().any(|has| has.contains(right));
            for need in needs {
                let met = has(ALL) || has(need.right) || need.or.is_some_and(has);
                if !met {
                    lacks.push(Lack {
                        what: format!("{account} lacks {} on {on} to {}", need.right, need.to),
                        cure: format!("GRANT {} ON {on} TO {account}", need.right),
                    });
                }
            }
        };
        ask(self.dialect.needed_globally(), &[&self.on_server], "*.*");
        ask(self.dialect.needed_on_mysql(), &[&self.on_server, &self.on_mysql], "mysql.*");
        if self.read_only {
            lacks.push(Lack {
                what: "the server is read-only".to_owned(),
                cure: "let the URL name the primary, or SET GLOBAL read_only = OFF".to_owned(),
            });
        }
        if self.refuses_hashes {
            lacks.push(Lack {
                what: format!(
                    "{} takes no password's hash while a password validation plugin is active",
                    self.dialect.server_name()
                ),
                cure: "SET GLOBAL strict_password_validation = OFF".to_owned(),
            });
        }
        lacks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(on_server: &[&str], on_mysql: &[&str]) -> Standing {
        let set = |rights: &[&str]| rights.iter().map(|right| (*right).to_owned()).collect();
        Standing {
            dialect: Dialect::of("10.11.19-MariaDB", false, false),
            account: "ebbgate@%".to_owned(),
            on_server: set(on_server),
            on_mysql: set(on_mysql),
            whole: set(&[r"lobby\_%"]),
            read_only: false,
            refuses_hashes: false,
        }
    }

    #[test]
    fn root_needs_nothing_more() {
        assert!(standing(&["ALL PRIVILEGES"], &[]).lacks().is_empty());
    }

    #[test]
    fn names_the_sql_that_cures_each_lack() {
        let lacks = standing(&["PROCESS", "SET USER"], &["SELECT"]).lacks();
        let cures: Vec<_> = lacks.iter().map(|lack| lack.cure.as_str()).collect();
        assert_eq!(
            cures,
            [
                "GRANT CREATE USER ON *.* TO 'ebbgate'@'%'",
                "GRANT CONNECTION ADMIN ON *.* TO 'ebbgate'@'%'",
                "GRANT UPDATE ON mysql.* TO 'ebbgate'@'%'",
            ]
        );
        assert_eq!(lacks[1].what, "'ebbgate'@'%' lacks CONNECTION ADMIN on *.* to end sessions");
    }

    #[test]
    fn where_everybody_may_make_something_all_rights_are_needed() {
        let standing = standing(&["PROCESS"], &[]);
        assert_eq!(standing.lack_in_open(r"lobby\_%"), None);
        let lack = standing.lack_in_open("test").unwrap();
        assert_eq!(lack.cure, "GRANT ALL PRIVILEGES ON `test`.* TO 'ebbgate'@'%'");
    }

    #[test]
    fn older_mysql_has_another_name_for_a_right() {
        let rights = ["CREATE USER", "PROCESS", "CONNECTION_ADMIN", "ROLE_ADMIN", "SET_USER_ID"];
        let mysql = Dialect::of("8.0.36", false, false);
        assert!(Standing { dialect: mysql, ..standing(&rights, &["SELECT"]) }.lacks().is_empty());
    }

    #[test]
    fn a_replica_and_a_strict_server_are_told_as_such() {
        let standing = Standing {
            read_only: true,
            refuses_hashes: true,
            ..standing(&["ALL PRIVILEGES"], &[])
        };
        assert_eq!(standing.lacks().len(), 2);
    }
}
