//! Owners of what a grant may change. PostgreSQL lets only its owner, or a member of that, alter or
//! drop an object: there is no right for it that could be granted. So the privilege roles for `ddl`
//! and `admin` are members of owners, of those that reach no further than the grant.

use std::collections::BTreeSet;

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_domain::right::Level;
use serde::Deserialize;
use sqlx::{Row as _, postgres::types::Oid, types::Json};

use crate::{
    danger::{self, DANGERS},
    failure::{Doing as _, Failure},
    membership,
    names::Privilege,
    server::Session,
    sql,
};

/// Somebody who owns something in the privilege's scope.
#[derive(Debug, Deserialize)]
struct Owner {
    name: String,
    /// A table or one of its kin that it owns, if it does.
    table: Option<String>,
    /// What speaks against making anybody a member of it.
    danger: Option<String>,
    /// Where else it may do something.
    outside: Option<String>,
    /// Whether the privilege role is a member of it already, in the proper way.
    joined: bool,
}

/// `$6` is the schema, NULL for all; `$7` the privilege role; `$8` whether the database's owner is
/// wanted, too. An extension's objects are not its users' to change.
///
/// Owning or having rights on something outside the scope counts against a role, since a member
/// would have that too: anything in other databases, and in other schemas where it is about one.
fn look_sql(can_refuse_set: bool) -> String {
    // The columns came with 16.
    let options = if can_refuse_set { "m.inherit_option AND NOT m.set_option" } else { "true" };
    format!(
        "WITH RECURSIVE
        here AS (SELECT oid, datdba FROM pg_database WHERE datname = current_database()),
        schemas AS (
            SELECT oid, nspname, nspowner FROM pg_namespace
            WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
              AND ($6::text IS NULL OR nspname = $6)
        ),
        things AS (
            SELECT c.relowner AS owner, s.nspname || '.' || c.relname AS \"table\"
            FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
              AND NOT EXISTS (SELECT FROM pg_depend d
                              WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                                AND d.deptype = 'e')
            UNION ALL
            SELECT p.proowner, NULL FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
            WHERE NOT EXISTS (SELECT FROM pg_depend d
                              WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                                AND d.deptype = 'e')
            UNION ALL SELECT nspowner, NULL FROM schemas
            UNION ALL SELECT datdba, NULL FROM here WHERE $8
        ),
        candidates AS (
            SELECT r.oid, r.rolname, min(t.\"table\") AS \"table\"
            FROM things t JOIN pg_roles r ON r.oid = t.owner
            WHERE NOT (rolname LIKE $1 OR rolname ~ $2 OR rolname = $3 OR rolname ~ '^pg_')
            GROUP BY 1, 2
        ),
        {DANGERS},
        outside AS (
            SELECT c.candidate, min(CASE
                WHEN d.dbid <> 0 AND d.dbid <> here.oid
                THEN 'database ' || coalesce(b.datname, '?')
                WHEN d.dbid <> 0 OR d.objid = here.oid THEN 'the rest of the database'
                ELSE 'the whole server' END) AS place
            FROM here, closure c
            JOIN pg_shdepend d ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = c.oid
                AND d.deptype IN ('o', 'a')
            LEFT JOIN pg_database b ON b.oid = d.dbid
            WHERE CASE
                WHEN d.dbid = 0 THEN d.deptype = 'o'
                    AND ($6 IS NOT NULL OR d.classid <> 'pg_database'::regclass OR d.objid <> here.oid)
                WHEN d.dbid <> here.oid THEN true
                WHEN $6 IS NULL OR d.classid = 'pg_default_acl'::regclass THEN false
                WHEN d.classid = 'pg_class'::regclass THEN NOT EXISTS (
                    SELECT FROM pg_class x JOIN schemas s ON s.oid = x.relnamespace
                    WHERE x.oid = d.objid)
                WHEN d.classid = 'pg_proc'::regclass THEN NOT EXISTS (
                    SELECT FROM pg_proc x JOIN schemas s ON s.oid = x.pronamespace
                    WHERE x.oid = d.objid)
                WHEN d.classid = 'pg_type'::regclass THEN NOT EXISTS (
                    SELECT FROM pg_type x JOIN schemas s ON s.oid = x.typnamespace
                    WHERE x.oid = d.objid)
                WHEN d.classid = 'pg_namespace'::regclass THEN d.deptype = 'o'
                    AND NOT EXISTS (SELECT FROM schemas s WHERE s.oid = d.objid)
                ELSE d.deptype = 'o' END
            GROUP BY 1
        )
        SELECT coalesce(json_agg(json_build_object(
            'name', c.rolname, 'table', c.\"table\", 'danger', d.why, 'outside', o.place,
            'joined', EXISTS (
                SELECT FROM pg_auth_members m
                WHERE m.roleid = c.oid AND m.member = $7::oid AND {options})
        ) ORDER BY c.rolname), '[]') AS owners
        FROM candidates c LEFT JOIN dangers d ON d.candidate = c.oid
        LEFT JOIN outside o ON o.candidate = c.oid"
    )
}

/// Makes the privilege role a member of exactly those owners that it should be a member of.
///
/// # Errors
/// For `ddl`, a table belongs to somebody of whom nobody is made a member: what was granted would
/// not work. `admin` gives what can be given.
pub(crate) async fn join(
    session: &mut Session,
    oid: Oid,
    privilege: &Privilege,
) -> Result<(), ConnectorError> {
    let role = privilege.role();
    let doing = || format!("make {role} a member of the owners in {}", privilege.place());
    let wants_database = privilege.level == Level::Admin && privilege.schema.is_none();
    let query = danger::bind(look_sql(session.is_at_least(16)), session)
        .bind(privilege.schema.clone())
        .bind(oid)
        .bind(wants_database);
    let row = session.row(query).await.doing(doing)?;
    let owners: Result<Json<Vec<Owner>>, _> = row.try_get("owners");
    let Json(owners) = owners.map_err(Failure::from).doing(doing)?;
    let (proper, others): (Vec<_>, Vec<_>) =
        owners.into_iter().partition(|one| one.danger.is_none() && one.outside.is_none());
    if privilege.level == Level::Ddl
        && let Some(refusal) = others.iter().find_map(|one| refusal(one, privilege))
    {
        return Err(ConnectorError::new(ErrorKind::Refused, doing()).because(refusal));
    }
    let stay: BTreeSet<String> = proper.iter().map(|one| one.name.clone()).collect();
    let left = membership::leave_others(session, &role, &stay).await.doing(doing)?;
    if !left.is_empty() {
        tracing::info!(%role, owners = ?left, "a privilege role left owners that it should not be in");
    }
    let new: Vec<&str> =
        proper.iter().filter(|one| !one.joined).map(|one| one.name.as_str()).collect();
    if new.is_empty() {
        return Ok(());
    }
    let statement = membership::join(session, &role, new.iter().copied());
    match session.execute(statement).await {
        Err(failure) if failure.is_forbidden() => {
            let owners = sql::identifiers(new);
            let cure = format!(
                "as a superuser: GRANT {owners} TO <the connector's role> WITH ADMIN OPTION"
            );
            Err(ConnectorError::new(ErrorKind::Refused, doing()).because(cure))
        }
        other => other.doing(doing),
    }
}

/// Why nobody is made a member of the owner of a table, and the way out.
fn refusal(owner: &Owner, privilege: &Privilege) -> Option<String> {
    let table = owner.table.as_ref()?;
    let name = &owner.name;
    let why = match (&owner.danger, &owner.outside) {
        (Some(danger), _) => danger.clone(),
        (None, place) => format!("it also reaches {}", place.as_deref().unwrap_or("elsewhere")),
    };
    Some(format!(
        "{table} belongs to {name}, of which nobody is made a member: {why}; only an object's owner \
         may alter or drop it, so give the tables of {} to a NOLOGIN role that owns nothing else",
        privilege.place()
    ))
}
