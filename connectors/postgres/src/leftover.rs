//! What still stands against dropping a grant's role after `DROP OWNED`.
//!
//! That command takes back only what an object's owner has granted. A right that was passed on by
//! somebody with the grant option stays, even where a superuser runs it; and where nobody lets us act
//! for the owner, as with a superuser's schema `public` before PostgreSQL 15, so does the owner's. The
//! first is taken back in the name of whoever granted it; for the second the server gives us no way,
//! and an operator is told what to do.

use serde::Deserialize;
use sqlx::{AssertSqlSafe, Row as _, types::Json};

use crate::{failure::Failure, names::GRAVEYARD, server::Session, sql};

/// One thing that binds the role.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Leftover {
    /// As the server describes it: `schema public`.
    object: String,
    /// Where it is a right on that: what takes it back, in the name of its grantor.
    revoke: Option<String>,
    /// Who granted it.
    grantor: Option<String>,
    /// Whether we may act for the grantor.
    ours: bool,
}

/// Every kind of object that has rights: its catalog, how GRANT names it, the column where the rights
/// are on one, and the rights.
const KINDS: &str = "
    SELECT 'pg_class'::regclass::oid AS classid, oid AS objid,
           CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || oid::regclass AS name,
           '' AS part, relacl AS acl
    FROM pg_class WHERE oid IN (SELECT objid FROM bound)
    UNION ALL SELECT 'pg_class'::regclass, attrelid, 'TABLE ' || attrelid::regclass,
                     format(' (%I)', attname), attacl
    FROM pg_attribute WHERE attrelid IN (SELECT objid FROM bound) AND attacl IS NOT NULL
    UNION ALL SELECT 'pg_namespace'::regclass, oid, format('SCHEMA %I', nspname), '', nspacl
    FROM pg_namespace
    UNION ALL SELECT 'pg_proc'::regclass, oid, 'ROUTINE ' || oid::regprocedure, '', proacl
    FROM pg_proc WHERE oid IN (SELECT objid FROM bound)
    UNION ALL SELECT 'pg_type'::regclass, oid, 'TYPE ' || oid::regtype, '', typacl
    FROM pg_type WHERE oid IN (SELECT objid FROM bound)
    UNION ALL SELECT 'pg_language'::regclass, oid, format('LANGUAGE %I', lanname), '', lanacl
    FROM pg_language
    UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid,
                     format('FOREIGN DATA WRAPPER %I', fdwname), '', fdwacl
    FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'pg_foreign_server'::regclass, oid, format('FOREIGN SERVER %I', srvname), '', srvacl
    FROM pg_foreign_server
    UNION ALL SELECT 'pg_largeobject'::regclass, oid, 'LARGE OBJECT ' || oid, '', lomacl
    FROM pg_largeobject_metadata WHERE oid IN (SELECT objid FROM bound)
    UNION ALL SELECT 'pg_database'::regclass, oid, format('DATABASE %I', datname), '', datacl
    FROM pg_database
    UNION ALL SELECT 'pg_tablespace'::regclass, oid, format('TABLESPACE %I', spcname), '', spcacl
    FROM pg_tablespace";

/// Since PostgreSQL 15.
const PARAMETERS: &str = "
    UNION ALL SELECT 'pg_parameter_acl'::regclass, oid, 'PARAMETER ' || parname, '', paracl
    FROM pg_parameter_acl";

/// What binds `role` in the session's database, and in what all databases share.
pub(crate) async fn look(session: &mut Session, role: &str) -> Result<Vec<Leftover>, Failure> {
    let parameters = if session.is_at_least(15) { PARAMETERS } else { "" };
    // Who may take another's identity is told apart from who has its rights since 16.
    let may = if session.is_at_least(16) { "SET" } else { "MEMBER" };
    let look = format!(
        "WITH role AS (SELECT oid FROM pg_roles WHERE rolname = $1),
        bound AS (
            SELECT DISTINCT d.classid, d.objid
            FROM role JOIN pg_shdepend d
                ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = role.oid
            WHERE d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
        ),
        kinds AS ({KINDS} {parameters}),
        rights AS (
            SELECT k.classid, k.objid, r.oid AS grantor, r.rolname,
                   string_agg(a.privilege_type || k.part, ', ') || ' ON ' || k.name AS what
            FROM role, kinds k CROSS JOIN aclexplode(k.acl) a JOIN pg_roles r ON r.oid = a.grantor
            WHERE a.grantee = role.oid
            GROUP BY k.classid, k.objid, k.name, r.oid, r.rolname
        )
        SELECT coalesce(json_agg(json_build_object(
            'object', pg_describe_object(b.classid, b.objid, 0),
            'revoke', 'REVOKE ' || r.what || format(' FROM %I CASCADE', $1::text),
            'grantor', r.rolname,
            'ours', coalesce(pg_has_role(r.grantor, '{may}'), false))), '[]') AS left
        FROM bound b LEFT JOIN rights r ON r.classid = b.classid AND r.objid = b.objid"
    );
    let Json(left) =
        session.row(sqlx::query(AssertSqlSafe(look)).bind(role)).await?.try_get("left")?;
    Ok(left)
}

impl Leftover {
    /// What it is and what an operator does about it, in the database where it is.
    fn cure(&self, role: &str) -> String {
        let object = &self.object;
        match (&self.grantor, &self.revoke) {
            (Some(grantor), Some(revoke)) => format!(
                "a right on {object}, which {grantor} granted: SET ROLE {}; {revoke}; RESET ROLE",
                sql::identifier(grantor)
            ),
            _ => format!(
                "{object}: REASSIGN OWNED BY {role} TO {}; DROP OWNED BY {role}",
                sql::identifier(GRAVEYARD),
                role = sql::identifier(role),
            ),
        }
    }
}

/// What binds `role` in `database`, with the SQL that frees it.
pub(crate) fn explain(role: &str, database: &str, left: &[Leftover]) -> String {
    let cures: Vec<_> = left.iter().map(|one| one.cure(role)).collect();
    format!("as a superuser, in database {database}, about {}", cures.join("; about "))
}

/// Takes back, in the session's database, what `role` was granted by somebody for whom we may act.
pub(crate) async fn take_back(session: &mut Session, role: &str) -> Result<(), Failure> {
    for left in look(session, role).await? {
        if let (Some(grantor), Some(revoke), true) = (left.grantor, left.revoke, left.ours) {
            let grantor = sql::identifier(&grantor);
            session.execute(format!("SET ROLE {grantor}; {revoke}; SET ROLE none")).await?;
        }
    }
    Ok(())
}
