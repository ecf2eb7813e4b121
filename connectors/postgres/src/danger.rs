//! Which roles nobody is made a member of, because whoever is one could do more than was granted, or
//! could go on after the grant's end.
//!
//! - One that may log in: its members may change or replace its functions, which run as itself, and
//!   so set its password. Before PostgreSQL 16 `SET ROLE` is enough for that.
//! - One with an attribute such as CREATEROLE, for the same reason.
//! - The owner of the database from which roles are managed: it could shut us out of it.
//! - A predefined one, but for a few that only show how the server fares.
//! - Our own, and those that we made.
//! - Any that is itself a member of such a role, at any distance.

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use serde::Deserialize;
use sqlx::{AssertSqlSafe, Row as _, types::Json};

use crate::{
    failure::{Doing as _, Failure},
    names::{GRANT_ROLES, GRAVEYARD, PRIVILEGE_ROLES},
    server::{BoundQuery, Session},
};

/// What only shows how the server fares. `pg_read_all_data` is not among them: it reads the
/// verifiers of all passwords.
const HARMLESS: [&str; 5] = [
    "pg_monitor",
    "pg_read_all_settings",
    "pg_read_all_stats",
    "pg_stat_scan_tables",
    "pg_checkpoint",
];

/// For the roles `candidates (oid)`: `closure (candidate, oid)` with all that each is, and
/// `dangers (candidate, why)`. It takes the parameters that [`bind`] binds, from `$1` to `$5`, and
/// needs `WITH RECURSIVE`.
pub(crate) const DANGERS: &str = "
closure AS (
    SELECT oid AS candidate, oid FROM candidates
    UNION
    SELECT c.candidate, m.roleid FROM closure c JOIN pg_auth_members m ON m.member = c.oid
),
dangers AS (
    SELECT candidate, min(
        CASE WHEN candidate = r.oid THEN 'it ' ELSE 'it is a member of ' || rolname || ', which ' END
        || CASE
            WHEN rolname = current_user THEN 'is the connector''s own role'
            WHEN rolsuper THEN 'is a superuser'
            WHEN rolcreaterole THEN 'may create roles'
            WHEN rolcreatedb THEN 'may create databases'
            WHEN rolreplication THEN 'may replicate'
            WHEN rolbypassrls THEN 'bypasses row-level security'
            WHEN rolname ~ '^pg_' THEN 'reaches beyond any one database'
            WHEN rolcanlogin THEN 'may log in'
            WHEN h.datdba IS NOT NULL THEN 'owns the database from which roles are managed'
            ELSE 'is managed by Ebbgate'
        END) AS why
    FROM closure c JOIN pg_roles r USING (oid)
    LEFT JOIN pg_database h ON h.datdba = r.oid AND h.datname = $5
    WHERE rolname = current_user OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication
       OR rolbypassrls OR rolcanlogin
       OR (rolname ~ '^pg_' AND NOT rolname = ANY($4::text[]))
       OR rolname LIKE $1 OR rolname ~ $2 OR rolname = $3 OR h.datdba IS NOT NULL
    GROUP BY candidate
)";

/// Binds the first five parameters.
pub(crate) fn bind(sql: String, session: &Session) -> BoundQuery<'static> {
    sqlx::query(AssertSqlSafe(sql))
        .bind(GRANT_ROLES)
        .bind(PRIVILEGE_ROLES)
        .bind(GRAVEYARD)
        .bind(HARMLESS.as_slice())
        .bind(session.home_database().to_owned())
}

#[derive(Debug, Deserialize)]
struct Candidate {
    name: String,
    exists: bool,
    why: Option<String>,
}

/// Refuses any of `roles` that is dangerous or does not exist.
pub(crate) async fn refuse(session: &mut Session, roles: &[String]) -> Result<(), ConnectorError> {
    if roles.is_empty() {
        return Ok(());
    }
    let doing = || format!("make the grant a member of {}", roles.join(", "));
    let look = format!(
        "WITH RECURSIVE candidates AS (SELECT oid FROM pg_roles WHERE rolname = ANY($6::text[])),
         {DANGERS}
         SELECT coalesce(json_agg(json_build_object(
             'name', name, 'exists', r.oid IS NOT NULL, 'why', d.why)), '[]') AS roles
         FROM unnest($6::text[]) AS wanted (name)
         LEFT JOIN pg_roles r ON r.rolname = name LEFT JOIN dangers d ON d.candidate = r.oid"
    );
    let row = session.row(bind(look, session).bind(roles)).await.doing(doing)?;
    let found: Result<Json<Vec<Candidate>>, _> = row.try_get("roles");
    let Json(found) = found.map_err(Failure::from).doing(doing)?;
    for Candidate { name, exists, why } in found {
        let why = match why {
            _ if !exists => format!("there is no role {name} on the server: make it, NOLOGIN"),
            Some(why) => {
                format!("{name} can't be granted: {why}; name a NOLOGIN role without such powers")
            }
            None => continue,
        };
        return Err(ConnectorError::new(ErrorKind::Refused, doing()).because(why));
    }
    Ok(())
}
