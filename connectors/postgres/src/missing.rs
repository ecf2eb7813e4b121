//! Which rights a privilege role lacks in a database: only those are granted, since each grant
//! rewrites a row of the catalog that others may be changing.

use serde::Deserialize;
use sqlx::{Row as _, postgres::types::Oid, types::Json};

use crate::{
    failure::Failure,
    names::{GRANT_ROLES, GRAVEYARD, Level, PRIVILEGE_ROLES, Privilege},
    server::Session,
    sql,
};

/// As many objects go into one statement.
const AT_ONCE: usize = 500;

/// What a privilege role lacks.
#[derive(Debug, Deserialize)]
pub(crate) struct Missing {
    /// CONNECT on the database.
    connect: bool,
    /// USAGE on schemas.
    schemas: Vec<Object>,
    /// Rights on tables, views and their kin.
    tables: Vec<Object>,
    /// Rights on sequences.
    sequences: Vec<Object>,
    /// Rights on what some role will make.
    future: Vec<Future>,
}

/// A schema, or something in one.
#[derive(Debug, Deserialize)]
struct Object {
    schema: String,
    name: Option<String>,
    owner: String,
    /// Whether we may act as its owner.
    ours: bool,
}

/// Default privileges belong to the role that makes an object, so each maker needs its own.
#[derive(Debug, Deserialize)]
struct Future {
    maker: String,
    /// TABLES, SEQUENCES or SCHEMAS.
    kind: String,
}

/// Rights on tables.
fn on_tables(level: Level) -> &'static [&'static str] {
    match level {
        Level::Select => &["SELECT"],
        Level::Full => &["SELECT", "INSERT", "UPDATE", "DELETE"],
    }
}

/// Rights on sequences: `full` needs `nextval` for inserts and `setval` for loading data.
fn on_sequences(level: Level) -> &'static [&'static str] {
    match level {
        Level::Select => &["SELECT"],
        Level::Full => &["SELECT", "USAGE", "UPDATE"],
    }
}

/// `$1` is the privilege role, `$2` and `$3` its rights on tables and sequences, `$4` to `$6` the
/// roles whose things are nobody's business: grants', privileges', the graveyard.
///
/// A right counts however it was come by, also through PUBLIC. NULL means that the object was
/// dropped while the query ran.
const LOOK: &str = "
WITH strangers AS (
    SELECT oid, rolname AS owner, pg_has_role(oid, 'USAGE') AS ours
    FROM pg_roles WHERE NOT (rolname LIKE $4 OR rolname ~ $5 OR rolname = $6)
),
schemas AS (
    SELECT oid, nspname AS schema, nspowner FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
),
relations AS (
    SELECT c.oid, s.schema, c.relname AS name, c.relkind, c.relowner
    FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
),
makers AS (
    SELECT relowner AS oid FROM relations
    UNION SELECT nspowner FROM schemas
    UNION SELECT datdba FROM pg_database WHERE datname = current_database()
    UNION SELECT oid FROM pg_roles WHERE rolname = current_user
),
lacking_schemas AS (
    SELECT schema, owner, ours FROM schemas s JOIN strangers o ON o.oid = s.nspowner
    WHERE NOT has_schema_privilege($1, s.oid, 'USAGE')
),
lacking_relations AS (
    SELECT schema, name, owner, ours, relkind = 'S' AS sequence
    FROM relations r JOIN strangers o ON o.oid = r.relowner
    WHERE CASE relkind
        WHEN 'S' THEN EXISTS (
            SELECT FROM unnest($3::text[]) p WHERE NOT has_sequence_privilege($1, r.oid, p))
        ELSE EXISTS (
            SELECT FROM unnest($2::text[]) p WHERE NOT has_table_privilege($1, r.oid, p))
    END
),
lacking_future AS (
    SELECT o.owner AS maker, k.kind
    FROM makers m JOIN strangers o ON o.oid = m.oid AND o.ours AND o.owner !~ '^pg_'
    CROSS JOIN (VALUES ('r', 'TABLES', $2::text[]), ('S', 'SEQUENCES', $3::text[]),
                       ('n', 'SCHEMAS', ARRAY['USAGE'])) AS k (type, kind, wanted)
    WHERE EXISTS (
        SELECT FROM unnest(k.wanted) AS w (wanted)
        WHERE NOT EXISTS (
            SELECT FROM pg_default_acl d, aclexplode(d.defaclacl) a
            WHERE d.defaclrole = m.oid AND d.defaclnamespace = 0
              AND d.defaclobjtype = k.type::\"char\"
              AND a.grantee = $1 AND a.privilege_type = w.wanted))
)
SELECT json_build_object(
    'connect', NOT has_database_privilege($1, current_database(), 'CONNECT'),
    'schemas', (SELECT coalesce(json_agg(s), '[]') FROM lacking_schemas s),
    'tables', (SELECT coalesce(json_agg(r), '[]') FROM lacking_relations r WHERE NOT sequence),
    'sequences', (SELECT coalesce(json_agg(r), '[]') FROM lacking_relations r WHERE sequence),
    'future', (SELECT coalesce(json_agg(f), '[]') FROM lacking_future f)
) AS missing";

/// What the role `oid` lacks in the session's database.
pub(crate) async fn look(
    session: &mut Session,
    oid: Oid,
    level: Level,
) -> Result<Missing, Failure> {
    let query = sqlx::query(LOOK)
        .bind(oid)
        .bind(on_tables(level))
        .bind(on_sequences(level))
        .bind(GRANT_ROLES)
        .bind(PRIVILEGE_ROLES)
        .bind(GRAVEYARD);
    let Json(missing) = session.row(query).await?.try_get("missing")?;
    Ok(missing)
}

impl Missing {
    /// The statements that give it to `role`.
    pub(crate) fn statements(&self, role: &str, privilege: &Privilege) -> Vec<String> {
        let to = sql::identifier(role);
        let tables = on_tables(privilege.level).join(", ");
        let sequences = on_sequences(privilege.level).join(", ");
        let mut statements = Vec::new();
        if self.connect {
            let database = sql::identifier(&privilege.database);
            statements.push(format!("GRANT CONNECT ON DATABASE {database} TO {to}"));
        }
        let mut grant = |rights: &str, kind: &str, objects: &[Object]| {
            for some in objects.chunks(AT_ONCE) {
                let names: Vec<_> = some.iter().map(Object::quoted).collect();
                statements.push(format!("GRANT {rights} ON {kind} {} TO {to}", names.join(", ")));
            }
        };
        grant("USAGE", "SCHEMA", &self.schemas);
        grant(&tables, "TABLE", &self.tables);
        grant(&sequences, "SEQUENCE", &self.sequences);
        for future in &self.future {
            let rights = match future.kind.as_str() {
                "TABLES" => &tables,
                "SEQUENCES" => &sequences,
                _ => "USAGE",
            };
            statements.push(format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT {rights} ON {} TO {to}",
                sql::identifier(&future.maker),
                future.kind,
            ));
        }
        statements
    }

    /// What helps when a right to grant these is missing.
    pub(crate) fn cure(&self) -> Option<String> {
        let objects = || self.schemas.iter().chain(&self.tables).chain(&self.sequences);
        let first = objects().find(|object| !object.ours)?;
        let mut owners: Vec<_> =
            objects().filter(|object| !object.ours).map(|object| object.owner.as_str()).collect();
        owners.sort_unstable();
        owners.dedup();
        Some(format!(
            "{} and perhaps others belong to roles that the connector may not act for; as a \
             superuser: GRANT {} TO <the connector's role>",
            first.quoted(),
            sql::identifiers(owners),
        ))
    }
}

impl Object {
    fn quoted(&self) -> String {
        match &self.name {
            Some(name) => sql::qualified(&self.schema, name),
            None => sql::identifier(&self.schema),
        }
    }
}
