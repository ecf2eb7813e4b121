//! Privilege roles: one for each database and level of access, with rights on the whole database. A
//! grant is a membership in one, or in a role that is a member of several.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_domain::right::Level;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    failure::{Doing as _, Failure},
    grants::{self, Entry, Object},
    names,
    server::{Server, Session},
    sql,
    wanted::{Privilege, Wanted},
};

/// For how long what was seen of a role is taken to be so.
const KNOWN_GOOD: Duration = Duration::from_secs(60);

/// The rights of a level, as `SHOW GRANTS` tells them.
///
/// What runs on behalf of others with its maker's rights (routines, triggers, events), and calling
/// such, is for `admin` only: nothing of that kind works any longer than its maker's grant.
fn rights_of(level: Level) -> &'static [&'static str] {
    const DDL: [&str; 13] = [
        "SELECT",
        "SHOW VIEW",
        "INSERT",
        "UPDATE",
        "DELETE",
        "CREATE",
        "ALTER",
        "DROP",
        "INDEX",
        "REFERENCES",
        "CREATE VIEW",
        "CREATE TEMPORARY TABLES",
        "LOCK TABLES",
    ];
    match level {
        Level::Select => &DDL[..2],
        Level::Full => &DDL[..5],
        Level::Ddl => &DDL,
        Level::Admin => &["ALL PRIVILEGES"],
    }
}

/// The roles of one server, and when each was last seen complete.
#[derive(Default)]
pub(crate) struct Rights {
    seen: Mutex<HashMap<String, Instant>>,
}

impl Rights {
    /// The one role that has all that is wanted. It is made and completed where it must be.
    pub(crate) async fn ensure(
        &self,
        server: &Arc<Server>,
        wanted: &Wanted,
    ) -> Result<String, ConnectorError> {
        let (role, roles) = role_of(wanted);
        let fresh = |at: &Instant| at.elapsed() < KNOWN_GOOD;
        if self.seen.lock().get(&role).is_some_and(fresh) {
            return Ok(role);
        }
        let begun = Instant::now();
        let mut session = server.session().await?;
        for privilege in &wanted.privileges {
            ensure_privilege(&mut session, privilege).await?;
        }
        for operators in &wanted.roles {
            allow(&mut session, operators).await?;
        }
        if !roles.contains(&role) {
            ensure_set(&mut session, &role, &roles).await?;
        }
        self.seen.lock().insert(role.clone(), begun);
        Ok(role)
    }

    /// Makes the next grant look again.
    pub(crate) fn doubt(&self, role: &str) {
        self.seen.lock().remove(role);
    }
}

/// The one role that has all that is wanted, and the roles that it is made of.
pub(crate) fn role_of(wanted: &Wanted) -> (String, Vec<String>) {
    let roles = wanted.privileges.iter().map(Privilege::role).chain(wanted.roles.iter().cloned());
    let mut roles: Vec<String> = roles.collect();
    roles.sort_unstable();
    // An operator's role is never given by itself: its sessions could name it as the definer of what
    // they make, and that could not be told from what is the operator's.
    let one = roles.first().filter(|_| roles.len() == 1 && wanted.roles.is_empty());
    let role = one.cloned().unwrap_or_else(|| names::set_role(&roles));
    (role, roles)
}

impl Privilege {
    /// The role that has it.
    fn role(&self) -> String {
        names::privilege_role(self.level, &self.database)
    }
}

async fn ensure_privilege(
    session: &mut Session,
    privilege: &Privilege,
) -> Result<(), ConnectorError> {
    let (role, database) = (privilege.role(), &privilege.database);
    let doing = || format!("give {role} its rights in database {database}");
    // GRANT would take a name for which there is no database.
    let look = format!(
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
        sql::literal(database)
    );
    if !session.column(look).await.doing(doing)?.contains(database) {
        let why = format!("there is no database {database}, or the connector may not see it");
        return Err(ConnectorError::new(ErrorKind::Refused, doing()).because(why));
    }
    let dialect = session.dialect();
    let mut has = BTreeSet::new();
    for entry in existing(session, &role).await? {
        match entry {
            Entry::Rights {
                rights,
                on: Object::Database { pattern, whole: true },
                passes_on: false,
                ..
            } if pattern == dialect.database_as_shown(database) => {
                has.extend(rights);
            }
            other => return Err(too_much(session, &role, &other)),
        }
    }
    let wanted = rights_of(privilege.level);
    if let Some(more) = has.iter().find(|right| !wanted.contains(&right.as_str())) {
        return Err(too_much(session, &role, &Entry::Other(more.clone())));
    }
    if wanted.iter().all(|right| has.contains(*right)) {
        return Ok(());
    }
    let grant = format!(
        "GRANT {} ON {}.* TO {}",
        wanted.join(", "),
        dialect.database(database),
        dialect.role(&role)
    );
    match session.execute(grant).await {
        Err(failure) if failure.is_forbidden() => {
            let error = failure.while_doing(doing());
            let cure = format!(
                "the connector's account may not pass on all rights there: GRANT ALL PRIVILEGES ON \
                 {}.* TO <the connector's account> WITH GRANT OPTION",
                dialect.database(database)
            );
            Err(ConnectorError::new(ErrorKind::Refused, doing())
                .because(format!("{}; {cure}", error.chain())))
        }
        other => other.doing(doing),
    }
}

/// What a role of ours has, without what every account has. It is made where it does not exist.
async fn existing(session: &mut Session, role: &str) -> Result<Vec<Entry>, ConnectorError> {
    let doing = || format!("make role {role}");
    let quoted = session.dialect().role(role);
    let Some(entries) = grants::of(session, &quoted).await.doing(doing)? else {
        let make = format!("CREATE ROLE IF NOT EXISTS {quoted}");
        session.execute(make).await.doing(doing)?;
        return Ok(Vec::new());
    };
    Ok(entries.into_iter().filter(|entry| !entry.is_usage()).collect())
}

fn too_much(session: &Session, role: &str, entry: &Entry) -> ConnectorError {
    let drop = format!("DROP ROLE {}", session.dialect().role(role));
    ConnectorError::new(ErrorKind::Refused, format!("use role {role}")).because(format!(
        "it has more than it should: {entry}; drop it, so that a plain one can be made: {drop}"
    ))
}

/// Whether an operator's role may be given to somebody for a time.
async fn allow(session: &mut Session, role: &str) -> Result<(), ConnectorError> {
    let doing = || format!("give somebody the role {role}");
    let refused = |kind, why: String| Err(ConnectorError::new(kind, doing()).because(why));
    let mut ahead = vec![role.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(one) = ahead.pop() {
        if !seen.insert(one.clone()) {
            continue;
        }
        let look = format!(
            "SELECT 1 FROM mysql.user WHERE User = {} AND {}",
            sql::literal(&one),
            session.dialect().only_roles()
        );
        if session.column(look).await.doing(doing)?.is_empty() {
            return refused(ErrorKind::Invalid, format!("there is no role {one} on the server"));
        }
        let quoted = session.dialect().role(&one);
        let entries = grants::of(session, &quoted).await.doing(doing)?.unwrap_or_default();
        for entry in entries {
            if let Some(why) = entry.forbids() {
                return refused(
                    ErrorKind::Refused,
                    format!("{one} is too mighty for a grant: {why}"),
                );
            }
            if let Entry::Roles { roles, .. } = entry {
                ahead.extend(roles);
            }
        }
    }
    Ok(())
}

/// Makes `set` a member of exactly `roles`.
async fn ensure_set(
    session: &mut Session,
    set: &str,
    roles: &[String],
) -> Result<(), ConnectorError> {
    let mut has = BTreeSet::new();
    for entry in existing(session, set).await? {
        match entry {
            Entry::Roles { roles: some, to, passes_on: false } if to == set => {
                if let Some(more) = some.iter().find(|one| !roles.contains(one)) {
                    return Err(too_much(session, set, &Entry::Other(more.clone())));
                }
                has.extend(some);
            }
            // What its roles have.
            Entry::Rights { to, .. } | Entry::Roles { to, .. } if to != set => {}
            other => return Err(too_much(session, set, &other)),
        }
    }
    for role in roles.iter().filter(|role| !has.contains(*role)) {
        let dialect = session.dialect();
        let grant = format!("GRANT {} TO {}", dialect.role(role), dialect.role(set));
        session
            .execute(grant)
            .await
            .map_err(|failure| may_not_pass_on(failure, &dialect.role(role)))?;
    }
    Ok(())
}

/// A failed `GRANT role TO …`, with the SQL that cures it where it was for want of a right.
pub(crate) fn may_not_pass_on(failure: Failure, role: &str) -> ConnectorError {
    let doing = format!("pass role {role} on");
    if !failure.is_forbidden() {
        return failure.while_doing(doing);
    }
    ConnectorError::new(ErrorKind::Refused, doing).because(format!(
        "the connector's account may not: GRANT {role} TO <the connector's account> WITH ADMIN OPTION"
    ))
}
