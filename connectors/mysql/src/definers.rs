//! What a grant leaves behind that runs with its maker's rights: views, routines, triggers, events.
//! It gets a definer who has no right, so that it neither goes on for anybody nor is in the way.
//!
//! MariaDB lets a session name its *role* as the definer. Such a thing would go on with the
//! role's rights, so what has one of our roles as its definer is treated the same.

use std::{collections::BTreeSet, fmt, sync::Arc};

use ebbgate_connector_api::{ConnectorError, ErrorKind};

use crate::{
    failure::{Doing as _, Failure},
    grants,
    names::{self, GRAVEYARD},
    server::{Server, Session},
    sql,
    wanted::SYSTEM,
};

/// Something that has a definer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    /// `VIEW`, `FUNCTION`, `PACKAGE BODY`: as `SHOW CREATE` takes it.
    kind: String,
    database: String,
    name: String,
    /// With which it was made, and in which it must be made anew.
    sql_mode: String,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}", self.kind.to_ascii_lowercase(), self.database, self.name)
    }
}

/// What became of an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its definer is the graveyard.
    Buried,
    /// A view on what is no longer there: nothing can be made of it.
    Dropped,
    /// Somebody else removed it.
    Gone,
}

/// Each kind's columns in `information_schema`: kind, database, name, definer, mode; and its table.
const EVENTS: &str = "SELECT 'EVENT', EVENT_SCHEMA, EVENT_NAME, DEFINER, SQL_MODE
    FROM information_schema.EVENTS";
const ROUTINES: &str = "SELECT ROUTINE_TYPE, ROUTINE_SCHEMA, ROUTINE_NAME, DEFINER, SQL_MODE
    FROM information_schema.ROUTINES";
/// These two read a file for each table: one database at a time.
const IN_DATABASE: [&str; 2] = [
    "SELECT 'TRIGGER', TRIGGER_SCHEMA, TRIGGER_NAME, DEFINER, SQL_MODE
     FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ",
    "SELECT 'VIEW', TABLE_SCHEMA, TABLE_NAME, DEFINER, ''
     FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ",
];

/// The events of `user` and of our roles: they run by themselves.
pub(crate) async fn events(
    session: &mut Session,
    user: &str,
) -> Result<Vec<Object>, ConnectorError> {
    find(session, user, EVENTS.to_owned()).await
}

/// All else of theirs, in `places`; none: in all databases.
pub(crate) async fn others(
    session: &mut Session,
    user: &str,
    places: Option<&BTreeSet<String>>,
) -> Result<Vec<Object>, ConnectorError> {
    let mut found = find(session, user, ROUTINES.to_owned()).await?;
    let places = match places {
        Some(places) => places.clone(),
        None => databases(session).await?,
    };
    for place in &places {
        for look in IN_DATABASE {
            found.extend(find(session, user, format!("{look}{}", sql::literal(place))).await?);
        }
    }
    Ok(found)
}

async fn databases(session: &mut Session) -> Result<BTreeSet<String>, ConnectorError> {
    let look = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA";
    let all = session.column(look.to_owned()).await.doing(|| "list the databases".to_owned())?;
    let own = |name: &String| SYSTEM.iter().any(|system| system.eq_ignore_ascii_case(name));
    Ok(all.into_iter().filter(|name| !own(name)).collect())
}

async fn find(
    session: &mut Session,
    user: &str,
    look: String,
) -> Result<Vec<Object>, ConnectorError> {
    let doing = || format!("look for what {user} left");
    let rows = session.rows(look).await.doing(doing)?;
    let object = |row: Vec<Option<String>>| {
        let mut values = row.into_iter().map(Option::unwrap_or_default);
        let mut next = || values.next().unwrap_or_default();
        let (kind, database, name, definer, sql_mode) = (next(), next(), next(), next(), next());
        is_theirs(&definer, user).then_some(Object { kind, database, name, sql_mode })
    };
    Ok(rows.into_iter().filter_map(object).collect())
}

/// A definer is `user@host`; a role is `role@` or `role`.
fn is_theirs(definer: &str, user: &str) -> bool {
    match definer.rsplit_once('@') {
        Some((name, "")) => names::is_privilege_role(name),
        Some((name, _)) => name == user,
        None => names::is_privilege_role(definer),
    }
}

/// Gives an object to the graveyard. An event will not run any more.
pub(crate) async fn bury(server: &Arc<Server>, object: &Object) -> Result<Fate, ConnectorError> {
    let doing = || format!("take {object} over");
    // The database and the mode stay with the session.
    let mut session = server.fresh_session().await?;
    let name = sql::identifier(&object.name);
    let graveyard = make_graveyard(&mut session).await?;
    for prepare in [
        format!("USE {}", sql::identifier(&object.database)),
        format!("SET SESSION sql_mode = {}", sql::literal(&object.sql_mode)),
    ] {
        match session.execute(prepare).await {
            Err(failure) if failure.is_missing_object() => return Ok(Fate::Gone),
            other => other.doing(doing)?,
        }
    }
    if object.kind == "EVENT" {
        let alter = format!("ALTER DEFINER = {graveyard} EVENT {name} DISABLE");
        return match session.execute(alter).await {
            Err(failure) if failure.is_missing_object() => Ok(Fate::Gone),
            other => other.doing(doing).map(|()| Fate::Buried),
        };
    }
    // Making a package anew takes its body away.
    let body = match object.kind.as_str() {
        "PACKAGE" => show_create(&mut session, "PACKAGE BODY", &name).await,
        _ => Ok(None),
    };
    let body = body.doing(doing)?.and_then(|text| with_definer(&text, &graveyard));
    let rows = match session.rows(format!("SHOW CREATE {} {name}", object.kind)).await {
        Err(failure) if failure.is_missing_object() => return Ok(Fate::Gone),
        Err(failure) if object.kind == "VIEW" && failure.is_broken_view() => {
            return drop_view(&mut session, object).await;
        }
        other => other.doing(doing)?,
    };
    let column = if object.kind == "VIEW" { 1 } else { 2 };
    let shown = rows.into_iter().next().and_then(|row| row.into_iter().nth(column).flatten());
    let Some(create) = shown.as_deref().and_then(|text| with_definer(text, &graveyard)) else {
        return Err(ConnectorError::new(ErrorKind::Refused, doing()).because(
            "the connector's account may not read its definition: it needs all rights on that \
             database",
        ));
    };
    let mut statements = session.dialect().make_anew(&object.kind, &object.name, &create);
    if let Some(body) = body {
        statements.extend(session.dialect().make_anew("PACKAGE BODY", &object.name, &body));
    }
    for statement in statements {
        match session.execute(statement).await {
            Err(failure) if object.kind == "VIEW" && failure.is_broken_view() => {
                return drop_view(&mut session, object).await;
            }
            other => other.doing(doing)?,
        }
    }
    Ok(Fate::Buried)
}

/// The definition of a routine; none where it does not exist or may not be read.
async fn show_create(
    session: &mut Session,
    kind: &str,
    name: &str,
) -> Result<Option<String>, Failure> {
    match session.rows(format!("SHOW CREATE {kind} {name}")).await {
        Err(failure) if failure.is_missing_object() => Ok(None),
        rows => Ok(rows?.into_iter().next().and_then(|row| row.into_iter().nth(2).flatten())),
    }
}

async fn drop_view(session: &mut Session, object: &Object) -> Result<Fate, ConnectorError> {
    let drop = format!("DROP VIEW IF EXISTS {}", sql::identifier(&object.name));
    session.execute(drop).await.doing(|| format!("drop {object}"))?;
    Ok(Fate::Dropped)
}

/// What follows `CREATE` in a `SHOW CREATE`, with another definer. Nothing that a person wrote
/// stands before the definer.
fn with_definer(create: &str, definer: &str) -> Option<String> {
    const CLAUSE: &str = "DEFINER=";
    let rest = create.strip_prefix("CREATE")?;
    let at = rest.find(CLAUSE)?;
    let (before, mut after) = (&rest[..at], &rest[at + CLAUSE.len()..]);
    loop {
        // A name of ours holds no quote.
        let quote = after.chars().next().filter(|first| matches!(first, '`' | '"'))?;
        let end = after[1..].find(quote)? + 2;
        after = &after[end..];
        match after.strip_prefix('@') {
            Some(host) => after = host,
            None => return Some(format!("{before}{CLAUSE}{definer}{after}")),
        }
    }
}

/// The graveyard exists and can do nothing. Answers with its account.
async fn make_graveyard(session: &mut Session) -> Result<String, ConnectorError> {
    let (user, host) = GRAVEYARD;
    let account = sql::account(user, host);
    let doing = || format!("make the account {account}");
    let entries = match grants::of(session, &account).await.doing(doing)? {
        Some(entries) => entries,
        None => {
            let nobody = session.dialect().identified_by_nobody();
            let make = format!("CREATE USER IF NOT EXISTS {account} {nobody} ACCOUNT LOCK");
            session.execute(make).await.doing(doing)?;
            Vec::new()
        }
    };
    match entries.iter().find(|entry| !entry.is_usage()) {
        None => Ok(account),
        Some(entry) => Err(ConnectorError::new(ErrorKind::Refused, doing()).because(format!(
            "it has {entry}, and what grants leave behind would run with that: DROP USER {account}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("ebb_x@%", true)]
    #[case("ebb_x@10.0.0.1", true)]
    #[case("ebbgate_admin_shop@", true)]
    #[case("ebbgate_set_abc", true)]
    #[case("ebbgate_admin_shop@%", false)]
    #[case("ebb_xy@%", false)]
    #[case("ebbgate_graveyard@localhost", false)]
    #[case("app@ebb_x@%", false)]
    fn knows_whose_a_definer_is(#[case] definer: &str, #[case] theirs: bool) {
        assert_eq!(is_theirs(definer, "ebb_x"), theirs);
    }

    #[rstest]
    #[case(
        "CREATE ALGORITHM=UNDEFINED DEFINER=`ebb_x`@`%` SQL SECURITY DEFINER VIEW `v` AS select 1",
        " ALGORITHM=UNDEFINED DEFINER='g'@'h' SQL SECURITY DEFINER VIEW `v` AS select 1"
    )]
    #[case(
        "CREATE DEFINER=`ebbgate_admin_shop` PROCEDURE `p`()\nselect 'DEFINER=`root`@`%`'",
        " DEFINER='g'@'h' PROCEDURE `p`()\nselect 'DEFINER=`root`@`%`'"
    )]
    #[case("CREATE DEFINER=\"ebb_x\"@\"%\" FUNCTION \"f\"()", " DEFINER='g'@'h' FUNCTION \"f\"()")]
    fn another_definer(#[case] shown: &str, #[case] expected: &str) {
        assert_eq!(with_definer(shown, "'g'@'h'").as_deref(), Some(expected));
    }
}
