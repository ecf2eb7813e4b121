//! What a grant leaves behind that runs with its maker's rights: views, routines, triggers, events.
//! It gets a definer who has no right, so that it neither goes on for anybody nor is in the way.
//!
//! MariaDB lets a session name its *role* as the definer. Such a thing would go on with the
//! role's rights, so what has the grant's role as its definer is treated the same.

use std::{collections::BTreeSet, fmt, sync::Arc};

use ebbgate_connector_api::{ConnectorError, ErrorKind, crash};

use crate::{
    failure::{Doing as _, Failure},
    grants,
    names::{GRAVEYARD, Role},
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
    /// Nothing can be made of it, such as of a view on what is no longer there.
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

/// Whose something is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Maker<'a> {
    pub(crate) user: &'a str,
    pub(crate) role: &'a Role,
}

/// The events of a grant: they run by themselves.
pub(crate) async fn events(
    session: &mut Session,
    maker: Maker<'_>,
) -> Result<Vec<Object>, ConnectorError> {
    find(session, maker, EVENTS.to_owned()).await
}

/// All else of a grant, in `places`; none: in all databases.
pub(crate) async fn others(
    session: &mut Session,
    maker: Maker<'_>,
    places: Option<&BTreeSet<String>>,
) -> Result<Vec<Object>, ConnectorError> {
    let mut found = find(session, maker, ROUTINES.to_owned()).await?;
    let places = match places {
        Some(places) => places.clone(),
        None => databases(session).await?,
    };
    for place in &places {
        for look in IN_DATABASE {
            found.extend(find(session, maker, format!("{look}{}", sql::literal(place))).await?);
        }
    }
    Ok(found)
}

/// The same as patterns of `GRANT`.
pub(crate) async fn open_patterns(session: &mut Session) -> Result<Vec<String>, Failure> {
    const OPEN: &str = "SELECT Db FROM mysql.db WHERE User IN ('', 'PUBLIC')
        AND 'Y' IN (Create_view_priv, Create_routine_priv, Trigger_priv, Event_priv)";
    session.column(OPEN.to_owned()).await
}

/// The databases in which everybody may make something, as in `test` on many servers.
pub(crate) async fn open_to_all(session: &mut Session) -> Result<BTreeSet<String>, ConnectorError> {
    let doing = || "look where everybody may make something".to_owned();
    let patterns = open_patterns(session).await.doing(doing)?;
    if patterns.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut all = databases(session).await?;
    all.retain(|name| patterns.iter().any(|pattern| sql::covers(pattern, name)));
    Ok(all)
}

async fn databases(session: &mut Session) -> Result<BTreeSet<String>, ConnectorError> {
    let look = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA";
    let all = session.column(look.to_owned()).await.doing(|| "list the databases".to_owned())?;
    let own = |name: &String| SYSTEM.iter().any(|system| system.eq_ignore_ascii_case(name));
    Ok(all.into_iter().filter(|name| !own(name)).collect())
}

async fn find(
    session: &mut Session,
    maker: Maker<'_>,
    look: String,
) -> Result<Vec<Object>, ConnectorError> {
    let doing = || format!("look for what {} left", maker.user);
    let rows = session.rows(look).await.doing(doing)?;
    let object = |row: Vec<Option<String>>| {
        let mut values = row.into_iter().map(Option::unwrap_or_default);
        let mut next = || values.next().unwrap_or_default();
        let (kind, database, name, definer, sql_mode) = (next(), next(), next(), next(), next());
        maker.made(&definer).then_some(Object { kind, database, name, sql_mode })
    };
    Ok(rows.into_iter().filter_map(object).collect())
}

impl Maker<'_> {
    /// A definer is `user@host`; a role is `role@` or `role`.
    fn made(self, definer: &str) -> bool {
        match definer.rsplit_once('@') {
            Some((name, "")) => self.role.is(name),
            Some((name, _)) => name == self.user,
            None => self.role.is(definer),
        }
    }
}

/// Gives an object to the graveyard. An event will not run any more.
pub(crate) async fn bury(server: &Arc<Server>, object: &Object) -> Result<Fate, ConnectorError> {
    let doing = || format!("take {object} over");
    // The database and the mode stay with the session.
    let mut session = server.fresh_session().await?;
    let graveyard = make_graveyard(&mut session).await?;
    let fate = match take_over(&mut session, object, &graveyard).await {
        Err(failure) if failure.is_missing_object() => Some(Fate::Gone),
        // Such as a view or a trigger on what is no longer there.
        Err(failure) if failure.is_hopeless() => None,
        other => other.doing(doing)?,
    };
    match fate {
        Some(fate) => Ok(fate),
        None => drop_object(server, object).await,
    }
}

/// None where nothing can be made of it.
async fn take_over(
    session: &mut Session,
    object: &Object,
    graveyard: &str,
) -> Result<Option<Fate>, Failure> {
    let (kind, name) = (object.kind.as_str(), sql::identifier(&object.name));
    session.execute(format!("USE {}", sql::identifier(&object.database))).await?;
    let mode = format!("SET SESSION sql_mode = {}", sql::literal(&object.sql_mode));
    session.execute(mode).await?;
    if kind == "EVENT" {
        let alter = format!("ALTER DEFINER = {graveyard} EVENT {name} DISABLE");
        session.execute(alter).await?;
        return Ok(Some(Fate::Buried));
    }
    // Making a package anew takes its body away.
    let body = match kind {
        "PACKAGE" => Shown::of(session, "PACKAGE BODY", &name).await?,
        _ => None,
    };
    let Some(shown) = Shown::of(session, kind, &name).await? else {
        return Ok(Some(Fate::Gone));
    };
    crash::point("mysql.definers.shown");
    match make_anew(session, kind, &name, &shown, graveyard).await {
        // It was there just now, so this is about something that it names.
        Err(failure) if failure.is_missing_object() => return Ok(None),
        made => made?,
    }
    crash::point("mysql.definers.remade");
    if let Some(body) = body {
        make_anew(session, "PACKAGE BODY", &name, &body, graveyard).await?;
    }
    Ok(Some(Fate::Buried))
}

/// What `SHOW CREATE` tells of an object.
///
/// Its text is bytes that the server read in the mode and the character set of its maker's session. In
/// another one they may mean something else: there are sets in which a backslash is a letter, or the
/// second half of one. So the text is never converted, and read again as it was read first.
struct Shown {
    text: Vec<u8>,
    /// None for a view, whose text is the server's own.
    sql_mode: Option<String>,
    character_set: String,
    collation: String,
}

impl Shown {
    /// None where there is no such object.
    async fn of(session: &mut Session, kind: &str, name: &str) -> Result<Option<Self>, Failure> {
        session.execute("SET SESSION character_set_results = NULL".to_owned()).await?;
        let rows = match session.bytes(format!("SHOW CREATE {kind} {name}")).await {
            Err(failure) if failure.is_missing_object() => return Ok(None),
            rows => rows?,
        };
        let Some(row) = rows.into_iter().next() else {
            return Ok(None);
        };
        // After the name.
        let mut values = row.into_iter().skip(1);
        let mut next = || values.next().flatten();
        let word = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let sql_mode = if kind == "VIEW" { None } else { next().map(word) };
        let text = next().ok_or(Failure::Unreadable)?;
        let mut word = || next().map(word).unwrap_or_default();
        Ok(Some(Self { text, sql_mode, character_set: word(), collation: word() }))
    }

    /// From here on the session reads statements as the maker's did.
    async fn read_as_its_maker(&self, session: &mut Session) -> Result<(), Failure> {
        let mode = self.sql_mode.as_deref().unwrap_or_default();
        session
            .execute(format!(
                "SET SESSION sql_mode = {}, character_set_client = {}, collation_connection = {}",
                sql::literal(mode),
                sql::literal(&self.character_set),
                sql::literal(&self.collation)
            ))
            .await
    }
}

/// Makes an object anew with another definer.
async fn make_anew(
    session: &mut Session,
    kind: &str,
    name: &str,
    shown: &Shown,
    definer: &str,
) -> Result<(), Failure> {
    let rest = with_definer(&shown.text, definer).unwrap_or_default();
    shown.read_as_its_maker(session).await?;
    if session.dialect().replaces(kind) {
        match run_text(session, &[b"CREATE OR REPLACE", rest.as_slice()].concat()).await {
            // MariaDB keeps a trigger's `IF NOT EXISTS`.
            Err(failure) if failure.is_wrong_usage() => {}
            other => return other,
        }
    }
    session.execute(format!("DROP {kind} IF EXISTS {name}")).await?;
    run_text(session, &[b"CREATE", rest.as_slice()].concat()).await
}

/// How many bytes of a text are sent at once.
const PIECE: usize = 128 * 1024;

/// Runs a text that somebody else has written, as *one* statement: what is prepared can't be several.
async fn run_text(session: &mut Session, text: &[u8]) -> Result<(), Failure> {
    session.execute("SET @ebbgate = X''".to_owned()).await?;
    // In pieces: a statement must not be longer than the server takes, though the text may almost be.
    for piece in text.chunks(PIECE) {
        let add = format!("SET @ebbgate = CONCAT(@ebbgate, X'{}')", hex::encode(piece));
        session.execute(add).await?;
    }
    match session.execute("PREPARE ebbgate FROM @ebbgate".to_owned()).await {
        Ok(()) => session.execute("EXECUTE ebbgate".to_owned()).await,
        // MySQL, and MariaDB before 10.6, prepare views only. These bytes were one statement in the
        // same mode and character set, and are sent as they are.
        Err(failure) if failure.is_not_prepared() => match String::from_utf8(text.to_vec()) {
            Ok(text) => session.execute(text).await,
            Err(_) => Err(failure),
        },
        Err(failure) => Err(failure),
    }
}

async fn drop_object(server: &Arc<Server>, object: &Object) -> Result<Fate, ConnectorError> {
    // A new session: the other one reads in a way of its own by now.
    let mut session = server.fresh_session().await?;
    let (database, name) = (sql::identifier(&object.database), sql::identifier(&object.name));
    let drop = format!("DROP {} IF EXISTS {database}.{name}", object.kind);
    session.execute(drop).await.doing(|| format!("drop {object}"))?;
    Ok(Fate::Dropped)
}

/// What follows `CREATE` in a `SHOW CREATE`, with another definer. Nothing that a person wrote
/// stands before the definer.
fn with_definer(create: &[u8], definer: &str) -> Option<Vec<u8>> {
    const CLAUSE: &[u8] = b"DEFINER=";
    let rest = create.strip_prefix(b"CREATE")?;
    let at = rest.windows(CLAUSE.len()).position(|window| window == CLAUSE)?;
    let (before, mut after) = (&rest[..at], &rest[at + CLAUSE.len()..]);
    loop {
        // A name of ours holds no quote.
        let (quote, name) =
            after.split_first().filter(|(first, _)| matches!(first, b'`' | b'"'))?;
        let end = name.iter().position(|byte| byte == quote)?;
        after = &name[end + 1..];
        match after.strip_prefix(b"@") {
            Some(host) => after = host,
            None => return Some([before, CLAUSE, definer.as_bytes(), after].concat()),
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
    #[case("ebb_x@%", true, true)]
    #[case("ebb_x@10.0.0.1", true, true)]
    #[case("ebbgate_admin_shop@", true, true)]
    #[case("ebbgate_admin_shop", true, true)]
    #[case("ebbgate_set_abc", false, true)]
    #[case("ebbgate_admin_shop@%", false, false)]
    #[case("ebb_xy@%", false, false)]
    #[case("ebbgate_graveyard@localhost", false, false)]
    #[case("app@ebb_x@%", false, false)]
    fn knows_whose_a_definer_is(#[case] definer: &str, #[case] named: bool, #[case] some: bool) {
        let made = |role: &Role| Maker { user: "ebb_x", role }.made(definer);
        assert_eq!(made(&Role::Named("ebbgate_admin_shop".to_owned())), named);
        assert_eq!(made(&Role::Some), some);
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
        let made = with_definer(shown.as_bytes(), "'g'@'h'").unwrap();
        assert_eq!(String::from_utf8(made).unwrap(), expected);
    }
}
