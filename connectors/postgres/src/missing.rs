//! Which rights a privilege role lacks in a database: only those are granted, since each grant
//! rewrites a row of the catalog that others may be changing.

use ebbgate_domain::right::Level;
use serde::Deserialize;
use sqlx::{Row as _, postgres::types::Oid, types::Json};

use crate::{
    failure::Failure,
    names::{GRANT_ROLES, GRAVEYARD, PRIVILEGE_ROLES, Privilege},
    server::Session,
    sql,
};

/// As many objects go into one statement.
const AT_ONCE: usize = 500;

/// What a privilege role lacks.
#[derive(Debug, Deserialize)]
pub(crate) struct Missing {
    /// False where the one schema that it is for does not exist.
    pub(crate) found: bool,
    /// Rights on the database.
    database: bool,
    /// Rights on schemas.
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
    /// Whether its owner is a superuser, for whom nobody should act.
    superuser: bool,
}

/// Default privileges belong to the role that makes an object, so each maker needs its own.
#[derive(Debug, Deserialize)]
struct Future {
    maker: String,
    /// TABLES, SEQUENCES or SCHEMAS.
    kind: String,
}

/// The rights that make up a level.
#[derive(Debug)]
pub(crate) struct LevelRights {
    database: &'static [&'static str],
    schemas: &'static [&'static str],
    tables: Vec<&'static str>,
    sequences: &'static [&'static str],
}

impl LevelRights {
    /// Those of `privilege`. `full` needs `nextval` of sequences for inserts and `setval` for loading
    /// data. TRIGGER is never given: a trigger runs as whoever writes to its table.
    pub(crate) fn of(privilege: &Privilege, session: &Session) -> Self {
        let level = privilege.level;
        let mut tables = vec!["SELECT"];
        if level >= Level::Full {
            tables.extend(["INSERT", "UPDATE", "DELETE"]);
        }
        if level >= Level::Ddl {
            tables.extend(["TRUNCATE", "REFERENCES"]);
            if session.is_at_least(17) {
                tables.push("MAINTAIN");
            }
        }
        let database: &[&str] = match level {
            Level::Select | Level::Full => &["CONNECT"],
            Level::Admin if privilege.schema.is_none() => &["CONNECT", "TEMPORARY", "CREATE"],
            Level::Ddl | Level::Admin => &["CONNECT", "TEMPORARY"],
        };
        Self {
            database,
            schemas: if level >= Level::Ddl { &["USAGE", "CREATE"] } else { &["USAGE"] },
            tables,
            sequences: match level {
                Level::Select => &["SELECT"],
                _ => &["SELECT", "USAGE", "UPDATE"],
            },
        }
    }
}

/// `$1` is the privilege role, `$2` and `$3` its rights on tables and sequences, `$4` to `$6` the
/// roles whose things are nobody's business: grants', privileges', the graveyard; `$7` is the schema,
/// NULL for all, `$8` and `$9` the rights on schemas and on the database.
///
/// A right counts however it was come by, also through PUBLIC or an owner. NULL means that the object
/// was dropped while the query ran.
const LOOK: &str = "
WITH strangers AS (
    SELECT oid, rolname AS owner, pg_has_role(oid, 'USAGE') AS ours, rolsuper AS superuser
    FROM pg_roles WHERE NOT (rolname LIKE $4 OR rolname ~ $5 OR rolname = $6)
),
schemas AS (
    SELECT oid, nspname AS schema, nspowner FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
      AND ($7::text IS NULL OR nspname = $7)
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
    SELECT schema, owner, ours, superuser FROM schemas s JOIN strangers o ON o.oid = s.nspowner
    WHERE EXISTS (SELECT FROM unnest($8::text[]) p WHERE NOT has_schema_privilege($1, s.oid, p))
),
lacking_relations AS (
    SELECT schema, name, owner, ours, superuser, relkind = 'S' AS sequence
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
                       ('n', 'SCHEMAS', $8::text[])) AS k (type, kind, wanted)
    WHERE (k.kind <> 'SCHEMAS' OR $7 IS NULL) AND NOT pg_has_role($1, m.oid, 'USAGE') AND EXISTS (
        SELECT FROM unnest(k.wanted) AS w (wanted)
        WHERE NOT EXISTS (
            SELECT FROM pg_default_acl d, aclexplode(d.defaclacl) a
            WHERE d.defaclrole = m.oid AND d.defaclnamespace = coalesce((SELECT oid FROM schemas WHERE schema = $7), 0)
              AND d.defaclobjtype = k.type::\"char\"
              AND a.grantee = $1 AND a.privilege_type = w.wanted))
)
SELECT json_build_object(
    'found', $7 IS NULL OR EXISTS (SELECT FROM schemas),
    'database', EXISTS (SELECT FROM unnest($9::text[]) p
                        WHERE NOT has_database_privilege($1, current_database(), p)),
    'schemas', (SELECT coalesce(json_agg(s), '[]') FROM lacking_schemas s),
    'tables', (SELECT coalesce(json_agg(r), '[]') FROM lacking_relations r WHERE NOT sequence),
    'sequences', (SELECT coalesce(json_agg(r), '[]') FROM lacking_relations r WHERE sequence),
    'future', (SELECT coalesce(json_agg(f), '[]') FROM lacking_future f)
) AS missing";

/// What the role `oid` lacks in the session's database.
pub(crate) async fn look(
    session: &mut Session,
    oid: Oid,
    privilege: &Privilege,
    rights: &LevelRights,
) -> Result<Missing, Failure> {
    let query = sqlx::query(LOOK)
        .bind(oid)
        .bind(&rights.tables)
        .bind(rights.sequences)
        .bind(GRANT_ROLES)
        .bind(PRIVILEGE_ROLES)
        .bind(GRAVEYARD)
        .bind(&privilege.schema)
        .bind(rights.schemas)
        .bind(rights.database);
    let Json(missing) = session.row(query).await?.try_get("missing")?;
    Ok(missing)
}

impl Missing {
    /// The statements that give it to the privilege's role.
    pub(crate) fn statements(&self, privilege: &Privilege, rights: &LevelRights) -> Vec<String> {
        let to = sql::identifier(&privilege.role());
        let [schemas, tables, sequences, on_database] =
            [rights.schemas, &rights.tables, rights.sequences, rights.database]
                .map(|rights| rights.join(", "));
        let mut statements = Vec::new();
        if self.database {
            let database = sql::identifier(&privilege.database);
            statements.push(format!("GRANT {on_database} ON DATABASE {database} TO {to}"));
        }
        let mut grant = |rights: &str, kind: &str, objects: &[Object]| {
            for some in objects.chunks(AT_ONCE) {
                let names: Vec<_> = some.iter().map(Object::quoted).collect();
                statements.push(format!("GRANT {rights} ON {kind} {} TO {to}", names.join(", ")));
            }
        };
        grant(&schemas, "SCHEMA", &self.schemas);
        grant(&tables, "TABLE", &self.tables);
        grant(&sequences, "SEQUENCE", &self.sequences);
        let within = match &privilege.schema {
            Some(schema) => format!("IN SCHEMA {} ", sql::identifier(schema)),
            None => String::new(),
        };
        for future in &self.future {
            let rights = match future.kind.as_str() {
                "TABLES" => &tables,
                "SEQUENCES" => &sequences,
                _ => &schemas,
            };
            statements.push(format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {} {within}GRANT {rights} ON {} TO {to}",
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
        if first.superuser {
            let kind = if first.name.is_some() { "TABLE" } else { "SCHEMA" };
            return Some(format!(
                "{name} and perhaps others belong to the superuser {}, for whom the connector may not \
                 act; as a superuser: ALTER {kind} {name} OWNER TO <a role that the connector is a \
                 member of>",
                first.owner,
                name = first.quoted(),
            ));
        }
        let mut owners: Vec<_> = objects()
            .filter(|one| !one.ours && !one.superuser)
            .map(|one| one.owner.as_str())
            .collect();
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
