//! The sessions that run under grants, for people to see, and the end of a single one. What is asked
//! for in them is nobody's business here: no query is read.

use std::{sync::Arc, time::Duration};

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_domain::{Timestamp, session::LiveSession};
use serde::Deserialize;
use sqlx::{Row as _, types::Json};
use tokio::time::{Instant, sleep};

use crate::{
    failure::{Doing as _, Failure},
    names::{self, GRANT_ROLES},
    server::{Server, Session},
};

/// The pause between two looks at a session that was told to end.
const PAUSE: Duration = Duration::from_millis(10);

/// One session as the server shows it; what we may not see is none.
#[derive(Debug, Deserialize)]
struct Row {
    pid: i32,
    role: String,
    /// Microseconds since 1970, which is what the server keeps.
    started: Option<i64>,
    state: Option<String>,
    state_since: Option<i64>,
    client: Option<String>,
    application: Option<String>,
}

/// Sessions of grants' roles `g`, and of those who were made members of them: before PostgreSQL 15
/// a role may do that by itself. Superusers and CREATEROLE need no such favour. `SET ROLE` does not
/// change who logged in.
const UNDER_GRANTS: &str = "
    WITH RECURSIVE users AS (
        SELECT oid, rolname AS role FROM pg_roles WHERE rolname LIKE $1
        UNION
        SELECT d.oid, u.role
        FROM users u JOIN pg_auth_members m ON m.roleid = u.oid JOIN pg_roles d ON d.oid = m.member
        WHERE NOT (d.rolsuper OR d.rolcreaterole)
    ),
    sessions AS (
        SELECT a.pid, u.role, a.state, a.application_name AS application,
               coalesce(host(a.client_addr),
                        CASE WHEN a.client_port = -1 THEN 'local' END) AS client,
               (extract(epoch FROM a.backend_start) * 1000000)::int8 AS started,
               (extract(epoch FROM a.state_change) * 1000000)::int8 AS state_since
        FROM users u JOIN pg_stat_activity a ON a.usesysid = u.oid
        WHERE coalesce(a.backend_type, 'client backend') = 'client backend'
    )";

/// All of them, the oldest of each server first. One on a replica says so in its id.
pub(crate) async fn list(
    server: &Arc<Server>,
    replicas: &[Arc<Server>],
) -> Result<Vec<LiveSession>, ConnectorError> {
    let mut all = list_on(server).await?;
    for replica in replicas {
        let mut more = list_on(replica).await?;
        more.iter_mut().for_each(|one| one.id = format!("{}@{}", one.id, replica.address()));
        all.append(&mut more);
    }
    Ok(all)
}

async fn list_on(server: &Arc<Server>) -> Result<Vec<LiveSession>, ConnectorError> {
    let doing = || format!("list the sessions under grants on {}", server.address());
    let sql = format!(
        "{UNDER_GRANTS}
         SELECT coalesce(json_agg(s ORDER BY started, pid), '[]') AS sessions FROM sessions s"
    );
    let mut session = server.session().await?;
    let row = session.row(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(GRANT_ROLES)).await;
    let rows: Result<Json<Vec<Row>>, _> = row.doing(doing)?.try_get("sessions");
    let Json(rows) = rows.map_err(Failure::from).doing(doing)?;
    rows.into_iter().filter_map(|row| told(row).transpose()).collect()
}

/// None for a role that only looks like a grant's.
fn told(row: Row) -> Result<Option<LiveSession>, ConnectorError> {
    let Some(grant) = names::grant_of(&row.role) else {
        return Ok(None);
    };
    let time = |micros: i64| {
        Timestamp::from_microsecond(micros).map_err(|cause| {
            let doing = format!("read the times of session {}", row.pid);
            ConnectorError::new(ErrorKind::Invalid, doing).because(cause)
        })
    };
    let Some(started) = row.started else {
        let doing = format!("look at session {} of {}", row.pid, row.role);
        return Err(ConnectorError::new(ErrorKind::Refused, doing).because(
            "the server shows nothing of it; as a superuser: \
             GRANT pg_read_all_stats TO <the connector's role>",
        ));
    };
    Ok(Some(LiveSession {
        id: row.pid.to_string(),
        grant,
        started_at: time(started)?,
        state: row.state.unwrap_or_else(|| "starting".to_owned()),
        state_since: row.state_since.map(time).transpose()?,
        client: row.client,
        application: row.application.filter(|name| !name.is_empty()),
    }))
}

/// Ends the one that is told, if it is still the same, and waits until it is gone.
pub(crate) async fn end(
    server: &Arc<Server>,
    replicas: &[Arc<Server>],
    wanted: &LiveSession,
) -> Result<bool, ConnectorError> {
    let doing = || format!("end session {} of {}", wanted.id, wanted.grant);
    let invalid = |why: &'static str| ConnectorError::new(ErrorKind::Invalid, doing()).because(why);
    let (pid, server) = match wanted.id.split_once('@') {
        None => (wanted.id.as_str(), server),
        Some((pid, address)) => {
            let replica = replicas.iter().find(|replica| replica.address() == address);
            (pid, replica.ok_or_else(|| invalid("the integration has no such replica"))?)
        }
    };
    let pid = pid.parse().map_err(|_| invalid("a session's id is its process's number"))?;
    let mut session = server.session().await?;
    if !tell_to_end(&mut session, pid, wanted, true).await.doing(doing)? {
        return Ok(false);
    }
    let begun = Instant::now();
    while tell_to_end(&mut session, pid, wanted, false).await.doing(doing)? {
        if begun.elapsed() > server.limits().sessions {
            return Err(ConnectorError::new(ErrorKind::StillPresent, doing())
                .because("it was told to end and is still there"));
        }
        sleep(PAUSE).await;
    }
    Ok(true)
}

/// Whether it is there; with `end` it is told to end at that.
async fn tell_to_end(
    session: &mut Session,
    pid: i32,
    wanted: &LiveSession,
    end: bool,
) -> Result<bool, Failure> {
    let sql = format!(
        "{UNDER_GRANTS}
         SELECT CASE WHEN $5 THEN pg_terminate_backend(pid) END FROM sessions
         WHERE pid = $2 AND role = $3 AND started = $4"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(GRANT_ROLES)
        .bind(pid)
        .bind(names::grant_role(wanted.grant))
        .bind(wanted.started_at.as_microsecond())
        .bind(end);
    Ok(!session.rows(query).await?.is_empty())
}
