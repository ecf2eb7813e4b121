//! The live sessions, as the server shows them.
//!
//! No server of this family tells since when a session is there, only for how long it does what it
//! does. But it never gives a session's number out again before it is restarted. So a session's
//! beginning is the earliest that we have seen of it, and whether a number still means the session
//! that was told is known from when the server was started.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use ebbgate_connector_api::{ConnectorError, ErrorKind, crash};
use ebbgate_domain::{Timestamp, session::LiveSession};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::{
    failure::{Doing as _, Failure},
    hidden::{Hidden, Looks},
    names::{self, Role},
    server::{Server, Session},
};

/// What a session is called that has not said yet who it is.
const NOBODY_YET: &str = "unauthenticated user";
/// The first pause between two looks; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// A client that has not said for so long who it is, is no longer on the brink of it.
const BRINK: Duration = Duration::from_millis(500);

/// One line of the server's list.
pub(crate) struct Listed {
    pub(crate) id: u64,
    pub(crate) user: String,
    pub(crate) client: String,
    pub(crate) state: String,
    milliseconds: i64,
}

async fn list(session: &mut Session) -> Result<Vec<Listed>, Failure> {
    let rows = session.rows(session.dialect().sessions().to_owned()).await?;
    let line = |row: Vec<Option<String>>| {
        let mut values = row.into_iter().map(Option::unwrap_or_default);
        let mut next = || values.next().unwrap_or_default();
        Some(Listed {
            id: next().parse().ok()?,
            user: next(),
            client: next(),
            state: next(),
            milliseconds: next().parse().unwrap_or(0),
        })
    };
    Ok(rows.into_iter().filter_map(line).collect())
}

/// Tells a user's sessions to end until none is left, and none is on its way in. Their numbers go
/// into `ended`. What runs as the grant's role ends, too: events that name it as their definer.
///
/// A log-in that is under way reads the account once, at its beginning, so that one which began
/// before the account was locked may still succeed. It is listed from its beginning, under its user's
/// name once the server knows that. So only those of the first look matter: clients that come back
/// all the time are listed for a moment, too, but the locked account lets none of them in.
pub(crate) async fn end_all(
    server: &Arc<Server>,
    user: &str,
    role: &Role,
    ended: &mut HashSet<u64>,
) -> Result<(), ConnectorError> {
    let doing = || format!("end the sessions of {user}");
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut first: Option<HashSet<u64>> = None;
    let mut looks = Looks::default();
    // Where one that was told runs something on its way out, it may be listed under any name.
    let mut told = HashSet::new();
    loop {
        // Not held during the pauses: other grants end meanwhile.
        let mut session = server.session().await?;
        let listed = list(&mut session).await.doing(doing)?;
        let mut hidden = looks.again(&mut session, &listed).await.doing(doing)?;
        let mut theirs = HashSet::new();
        // Or who gave themselves a routine to wait in would hold up the end of all others.
        if begun.elapsed() > server.limits().sessions / 2 {
            let of_grants = hidden.extract_if(.., |one| one.runs_as_a_grant());
            theirs.extend(of_grants.map(|one| one.id));
        }
        let is_theirs = |one: &&Listed| one.user == user || role.is(&one.user);
        theirs.extend(listed.iter().filter(is_theirs).map(|one| one.id));
        theirs.extend(listed.iter().map(|one| one.id).filter(|id| told.contains(id)));
        let mut unknown = ids(&listed, &[NOBODY_YET]);
        let first = first.get_or_insert_with(|| {
            let hidden = hidden.iter().map(|one| &one.id);
            theirs.iter().chain(&unknown).chain(hidden).copied().collect()
        });
        theirs.retain(|id| first.contains(id));
        unknown.retain(|id| first.contains(id));
        let all_gone = theirs.is_empty() && hidden.is_empty();
        if all_gone && (unknown.is_empty() || begun.elapsed() > BRINK) {
            return Ok(());
        }
        if begun.elapsed() > server.limits().sessions {
            return Err(still_there(&theirs, &hidden, doing()));
        }
        for id in theirs {
            kill(&mut session, id).await.doing(doing)?;
            crash::point("mysql.sessions.told");
            ended.insert(id);
            told.insert(id);
        }
        drop(session);
        if !hidden.is_empty() {
            crash::point("mysql.hidden.watched");
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn ids(listed: &[Listed], users: &[&str]) -> HashSet<u64> {
    listed.iter().filter(|one| users.contains(&one.user.as_str())).map(|one| one.id).collect()
}

/// Whether a user who does not exist any more has a session that stays: a log-in that is being
/// refused is listed for a moment, too.
pub(crate) async fn has_any(server: &Arc<Server>, user: &str) -> Result<bool, ConnectorError> {
    let doing = || format!("look for sessions of {user}");
    let begun = Instant::now();
    let mut there: Option<HashSet<u64>> = None;
    loop {
        let mut session = server.session().await?;
        let mut now = ids(&list(&mut session).await.doing(doing)?, &[user]);
        drop(session);
        now.retain(|id| there.as_ref().is_none_or(|before| before.contains(id)));
        if now.is_empty() || begun.elapsed() > BRINK {
            return Ok(!now.is_empty());
        }
        there = Some(now);
        sleep(FIRST_PAUSE).await;
    }
}

/// The server only marks the session; it ends when it looks at that.
async fn kill(session: &mut Session, id: u64) -> Result<(), Failure> {
    match session.execute(session.dialect().kill(id)).await {
        Err(failure) if failure.is_missing_session() => Ok(()),
        other => other,
    }
}

fn still_there(sessions: &HashSet<u64>, hidden: &[Hidden], doing: String) -> ConnectorError {
    let mut ids: Vec<_> = sessions.iter().collect();
    ids.sort_unstable();
    let ids: Vec<_> = ids.into_iter().map(ToString::to_string).collect();
    let told = format!("they were told to end and are still there: {}", ids.join(", "));
    let may_be = hidden.iter().map(|one| {
        format!(
            "session {} runs something with the rights of {}, and may be theirs: it ends when that does, \
             or by KILL {}",
            one.id, one.runs_as, one.id
        )
    });
    let why: Vec<_> = (!ids.is_empty()).then_some(told).into_iter().chain(may_be).collect();
    ConnectorError::new(ErrorKind::StillPresent, doing).because(why.join("; "))
}

/// When each session was first seen.
#[derive(Default)]
pub(crate) struct Seen {
    beginnings: Mutex<HashMap<u64, Timestamp>>,
}

/// The server's clock and when it was started, to about a second.
struct Clocks {
    now: Timestamp,
    started: Timestamp,
}

impl Clocks {
    /// Whether a moment lies after the server's start, as far as that is known.
    fn may_be_of_this_run(&self, at: Timestamp) -> bool {
        let slack = jiff::SignedDuration::from_secs(2);
        self.started.checked_sub(slack).is_ok_and(|from| at >= from)
    }
}

async fn clocks(session: &mut Session) -> Result<Clocks, Failure> {
    const NOW: &str = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000 AS SIGNED)";
    let number = |values: Vec<String>| values.first().and_then(|text| text.parse::<i64>().ok());
    let now = number(session.column(NOW.to_owned()).await?);
    let rows = session.rows("SHOW GLOBAL STATUS LIKE 'Uptime'".to_owned()).await?;
    let uptime = number(rows.into_iter().flatten().flatten().skip(1).collect());
    let at = |milliseconds: i64| Timestamp::from_millisecond(milliseconds).ok();
    let clocks = now.zip(uptime).and_then(|(now, uptime)| {
        Some(Clocks { now: at(now)?, started: at(now - uptime.checked_mul(1_000)?)? })
    });
    clocks.ok_or_else(|| Failure::Connection(sqlx::Error::RowNotFound))
}

/// All sessions of grants.
pub(crate) async fn sessions(
    server: &Arc<Server>,
    seen: &Seen,
) -> Result<Vec<LiveSession>, ConnectorError> {
    let doing = || "list the grants' sessions".to_owned();
    let mut session = server.session().await?;
    let clocks = clocks(&mut session).await.doing(doing)?;
    let listed = list(&mut session).await.doing(doing)?;
    let mut beginnings = seen.beginnings.lock();
    let before = std::mem::take(&mut *beginnings);
    let sessions = listed.into_iter().filter_map(|one| {
        let grant = names::grant_of(&one.user)?;
        let since = jiff::SignedDuration::from_millis(one.milliseconds.max(0));
        let state_since = clocks.now.checked_sub(since).unwrap_or(clocks.now);
        let known = before.get(&one.id).copied().filter(|begun| clocks.may_be_of_this_run(*begun));
        let started_at = known.map_or(state_since, |known| known.min(state_since));
        beginnings.insert(one.id, started_at);
        Some(LiveSession {
            id: one.id.to_string(),
            grant,
            started_at,
            state: one.state,
            state_since: Some(state_since),
            client: Some(one.client).filter(|client| !client.is_empty()),
            application: None,
        })
    });
    Ok(sessions.collect())
}

/// Ends one session; false where it is gone.
pub(crate) async fn end(server: &Arc<Server>, told: &LiveSession) -> Result<bool, ConnectorError> {
    let doing = || format!("end session {} of {}", told.id, told.grant);
    let id: u64 = told.id.parse().map_err(|error: std::num::ParseIntError| {
        ConnectorError::new(ErrorKind::Invalid, doing()).because(error)
    })?;
    let user = names::grant_user(told.grant);
    let begun = Instant::now();
    let mut ended = false;
    loop {
        let mut session = server.session().await?;
        let clocks = clocks(&mut session).await.doing(doing)?;
        let listed = list(&mut session).await.doing(doing)?;
        // Inside a routine or trigger of somebody else it is listed under that one's name.
        let hidden = Looks::default().again(&mut session, &listed).await.doing(doing)?;
        let is_it = |one: &Listed| {
            one.id == id && (one.user == user || hidden.iter().any(|hidden| hidden.id == id))
        };
        if !clocks.may_be_of_this_run(told.started_at) || !listed.iter().any(is_it) {
            return Ok(ended);
        }
        if begun.elapsed() > server.limits().sessions {
            return Err(still_there(&HashSet::from([id]), &[], doing()));
        }
        kill(&mut session, id).await.doing(doing)?;
        ended = true;
        drop(session);
        sleep(FIRST_PAUSE * 5).await;
    }
}
