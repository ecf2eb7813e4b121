//! What the server shows of a grant's role.

use serde::Deserialize;
use sqlx::{Row as _, postgres::types::Oid, types::Json};

use crate::{failure::Failure, names::PRIVILEGE_ROLES, server::Session};

/// Everything that a teardown must know, seen at one moment.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Look {
    /// The role's oid; none where the role is gone and its oid was never known.
    pub(crate) oid: Option<u32>,
    /// Whether the role exists.
    pub(crate) exists: bool,
    /// The privilege roles it is a member of.
    pub(crate) privileges: Vec<String>,
    /// Who was made a member of it, directly or not.
    pub(crate) delegates: Vec<String>,
    /// Who is logged in by it.
    pub(crate) sessions: Vec<Backend>,
    /// Transactions that were prepared by it, or under one of its privilege roles.
    pub(crate) prepared: Vec<Prepared>,
    /// Where it has a right or owns something, or its privilege roles own something.
    pub(crate) holdings: Vec<Holding>,
    /// Whether we are a superuser.
    pub(crate) superuser: bool,
}

/// A server process of the role, or of one of its delegates.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Backend {
    pub(crate) pid: i32,
    /// The oid of the role that logged in.
    pub(crate) user: u32,
    /// False for parallel workers, which end with their leader.
    pub(crate) client: bool,
}

/// A prepared transaction: it holds its locks, and its effects can be committed, without a session.
#[derive(Debug, Deserialize)]
pub(crate) struct Prepared {
    pub(crate) gid: String,
    pub(crate) database: String,
    pub(crate) owner: String,
}

/// Something that stands against dropping a role.
#[derive(Debug, Deserialize)]
pub(crate) struct Holding {
    pub(crate) database: String,
    pub(crate) role: String,
    /// Whether it is the grant's own role, not a privilege role.
    pub(crate) own: bool,
}

/// `$1` is the role's name, `$2` its oid where it is known already, `$3` the privilege roles' names,
/// `$4` until when a delegate's session counts as one of the grant,
/// `$5` the privilege roles that it was seen to have before.
///
/// - A session of a role that no longer exists, where ours doesn't either, may be one of ours.
/// - Before PostgreSQL 15 a role may make others members of itself. Who does so, and any member's
///   `SET ROLE`, would go on after the role is gone. Superusers and CREATEROLE need no such favour.
/// - What we may not see of a session (`pg_read_all_stats`) is taken for the worse.
/// - Under `SET ROLE` to a privilege role, what is prepared and made belongs to that. Privilege roles
///   never own anything else. Default privileges for what they make, and user mappings, are no
///   objects that could be given away: anybody who has the privilege may leave some behind, and they
///   give nobody anything.
const LOOK: &str = "
WITH RECURSIVE
role AS (
    SELECT coalesce($2::oid, (SELECT oid FROM pg_roles WHERE rolname = $1)) AS oid
),
privileges AS (
    SELECT p.oid, p.rolname
    FROM role JOIN pg_auth_members m ON m.member = role.oid JOIN pg_roles p ON p.oid = m.roleid
    WHERE p.rolname ~ $3
    UNION SELECT oid, rolname FROM pg_roles WHERE rolname = ANY($5::text[])
),
delegates AS (
    SELECT d.oid, d.rolname
    FROM role JOIN pg_auth_members m ON m.roleid = role.oid JOIN pg_roles d ON d.oid = m.member
    WHERE NOT (d.rolsuper OR d.rolcreaterole)
    UNION
    SELECT d.oid, d.rolname
    FROM delegates JOIN pg_auth_members m ON m.roleid = delegates.oid
    JOIN pg_roles d ON d.oid = m.member
    WHERE NOT (d.rolsuper OR d.rolcreaterole)
),
sessions AS (
    SELECT a.pid, a.usesysid::int8 AS \"user\", coalesce(a.backend_type, 'client backend') = 'client backend' AS client
    FROM pg_stat_activity a, role
    WHERE a.usesysid = role.oid
       OR ($4 IS NOT NULL AND a.usesysid IN (SELECT oid FROM delegates)
           AND coalesce(a.backend_start <= $4::timestamptz, true))
       OR (role.oid IS NULL AND a.usesysid IS NOT NULL
           AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = a.usesysid))
),
prepared AS (
    SELECT p.gid, b.datname AS database, coalesce(o.rolname, $1) AS owner
    FROM role JOIN pg_prepared_xact() p
        ON p.ownerid = role.oid OR p.ownerid IN (SELECT oid FROM privileges)
    JOIN pg_database b ON b.oid = p.dbid
    LEFT JOIN pg_roles o ON o.oid = p.ownerid
),
holdings AS (
    SELECT DISTINCT coalesce(b.datname, current_database()) AS database, r.rolname AS role,
           d.refobjid = role.oid AS own
    FROM role
    JOIN pg_shdepend d ON d.refclassid = 'pg_authid'::regclass
        AND (d.refobjid = role.oid
             OR (d.deptype = 'o' AND d.refobjid IN (SELECT oid FROM privileges)
                 AND d.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)))
    JOIN pg_roles r ON r.oid = d.refobjid
    LEFT JOIN pg_database b ON b.oid = d.dbid
    WHERE d.dbid = 0 OR b.oid IS NOT NULL
)
SELECT json_build_object(
    'oid', (SELECT oid::int8 FROM role),
    'exists', EXISTS (SELECT FROM pg_roles WHERE rolname = $1),
    'privileges', (SELECT coalesce(json_agg(rolname), '[]') FROM privileges),
    'delegates', (SELECT coalesce(json_agg(rolname), '[]') FROM delegates),
    'sessions', (SELECT coalesce(json_agg(s), '[]') FROM sessions s),
    'prepared', (SELECT coalesce(json_agg(p), '[]') FROM prepared p),
    'holdings', (SELECT coalesce(json_agg(h), '[]') FROM holdings h),
    'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
) AS look";

/// Looks at the role of that name; `oid` and `privileges` where they are known from before,
/// `delegates_until` as [`now`] said it.
pub(crate) async fn look(
    session: &mut Session,
    role: &str,
    oid: Option<u32>,
    privileges: &[String],
    delegates_until: Option<&str>,
) -> Result<Look, Failure> {
    let query = sqlx::query(LOOK)
        .bind(role)
        .bind(oid.map(Oid))
        .bind(PRIVILEGE_ROLES)
        .bind(delegates_until)
        .bind(privileges);
    let Json(look) = session.row(query).await?.try_get("look")?;
    Ok(look)
}

/// The server's clock, as text.
pub(crate) async fn now(session: &mut Session) -> Result<String, Failure> {
    let query = sqlx::query("SELECT clock_timestamp()::text AS now");
    Ok(session.row(query).await?.try_get("now")?)
}

/// How far the server's log is on disk, as text: a standby that has replayed this far has what was
/// committed before.
pub(crate) async fn position(session: &mut Session) -> Result<String, Failure> {
    let query = sqlx::query("SELECT pg_current_wal_flush_lsn()::text AS position");
    Ok(session.row(query).await?.try_get("position")?)
}

/// Whether a standby has replayed the primary's log up to `position`; none where it is no standby.
pub(crate) async fn has_replayed(
    session: &mut Session,
    position: &str,
) -> Result<Option<bool>, Failure> {
    const LOOK: &str = "
        SELECT CASE WHEN pg_is_in_recovery()
               THEN coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false) END AS replayed";
    Ok(session.row(sqlx::query(LOOK).bind(position)).await?.try_get("replayed")?)
}

/// A server process that is about to start a session: it holds locks and is in no list of sessions.
#[derive(Debug, Deserialize)]
pub(crate) struct Starting {
    pub(crate) pid: i32,
    /// Whether it has been let in: only after that it locks its database.
    pub(crate) admitted: bool,
}

/// Who is about to start a session.
///
/// A log-in is admitted some time before it is listed as a session. Who looks at the list just
/// after a role lost LOGIN may therefore see nobody while somebody is on the way in. What helps is
/// that all of it happens in one transaction of the new process, whose locks are shown.
pub(crate) async fn starting(session: &mut Session) -> Result<Vec<Starting>, Failure> {
    const LOOK: &str = "
        SELECT coalesce(json_agg(s), '[]') AS starting
        FROM (
            SELECT l.pid,
                   bool_or(l.locktype = 'object' AND l.classid = 'pg_database'::regclass) AS admitted
            FROM pg_locks l
            WHERE l.pid <> pg_backend_pid()
              AND NOT EXISTS (
                  SELECT FROM pg_stat_activity a
                  WHERE a.pid = l.pid
                    AND (a.usesysid IS NOT NULL
                         OR coalesce(a.backend_type, 'hidden') <> 'client backend'))
            GROUP BY l.pid
        ) s";
    let Json(starting) = session.row(sqlx::query(LOOK)).await?.try_get("starting")?;
    Ok(starting)
}

/// Tells the sessions to end that are still whose they were. Where `role_known` is false, they are
/// taken for ours only because their role does not exist, so that is looked at again: a role that
/// was made a moment ago was not in the first look.
pub(crate) async fn terminate(
    session: &mut Session,
    sessions: &[Backend],
    role_known: bool,
) -> Result<(), Failure> {
    const TERMINATE: &str = "
        SELECT pg_terminate_backend(a.pid)
        FROM unnest($1::int4[], $2::oid[]) AS told (pid, login)
        JOIN pg_stat_activity a ON a.pid = told.pid AND a.usesysid = told.login
        WHERE $3 OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = a.usesysid)";
    let pids: Vec<i32> = sessions.iter().map(|live| live.pid).collect();
    let users: Vec<Oid> = sessions.iter().map(|live| Oid(live.user)).collect();
    let query = sqlx::query(TERMINATE).bind(pids).bind(users).bind(role_known);
    session.rows(query).await.map(drop)
}
