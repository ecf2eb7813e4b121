//! The role that owns what grants leave behind. It has no right whatever, and nothing that is left
//! behind runs as its owner any more: what one person left would open what another did. Its comment
//! says whose server this is.

use ebbgate_connector_api::ConnectorError;
use sqlx::Row as _;

use crate::{failure::Failure, names::GRAVEYARD, rights, server::Session, sql};

/// It exists and can do nothing.
pub(crate) async fn make(session: &mut Session) -> Result<(), ConnectorError> {
    if rights::plain_role(session, GRAVEYARD, false).await?.is_some() {
        return Ok(());
    }
    let made = session.execute(format!("CREATE ROLE {} NOLOGIN", sql::identifier(GRAVEYARD))).await;
    match made {
        Err(failure) if !failure.is_duplicate() => {
            Err(Failure::while_doing(failure, format!("make role {GRAVEYARD}")))
        }
        _ => Ok(()),
    }
}

/// What surrounds the statements that give it something.
#[derive(Debug, Default)]
pub(crate) struct HandingOver {
    /// Comes first.
    pub(crate) before: Vec<String>,
    /// Comes last.
    pub(crate) after: Vec<String>,
    /// Why it can't be done, and the SQL that cures it.
    pub(crate) barred: Option<String>,
}

/// The statements that give it what `roles` own in the session's database, where we are no superuser.
///
/// Tables can be handed to anybody. The new owner of a function, and of other things that live in a
/// schema, must be allowed to create there, and that of a publication in the database; so it is, for
/// as long as this transaction takes.
pub(crate) async fn hand_over(
    session: &mut Session,
    roles: &[&str],
) -> Result<HandingOver, Failure> {
    const LOOK: &str = "
        WITH owners AS (SELECT oid FROM pg_roles WHERE rolname = ANY($1::text[])),
        owned AS (
            SELECT pronamespace AS schema, proowner AS owner FROM pg_proc
            UNION SELECT oprnamespace, oprowner FROM pg_operator
            UNION SELECT opcnamespace, opcowner FROM pg_opclass
            UNION SELECT opfnamespace, opfowner FROM pg_opfamily
            UNION SELECT collnamespace, collowner FROM pg_collation
            UNION SELECT connamespace, conowner FROM pg_conversion
            UNION SELECT cfgnamespace, cfgowner FROM pg_ts_config
            UNION SELECT dictnamespace, dictowner FROM pg_ts_dict
            UNION SELECT stxnamespace, stxowner FROM pg_statistic_ext
        )
        SELECT DISTINCT format('SCHEMA %I', n.nspname) AS place, n.nspowner::regrole::text AS owner,
               pg_has_role(n.nspowner, 'USAGE')
               OR has_schema_privilege(n.oid, 'CREATE WITH GRANT OPTION') AS ours
        FROM owned o JOIN owners w ON w.oid = o.owner JOIN pg_namespace n ON n.oid = o.schema
        WHERE NOT has_schema_privilege($2::name, n.oid, 'CREATE')
        UNION ALL
        SELECT format('DATABASE %I', datname), datdba::regrole::text,
               pg_has_role(datdba, 'USAGE')
               OR has_database_privilege(oid, 'CREATE WITH GRANT OPTION')
        FROM pg_database
        WHERE datname = current_database() AND EXISTS (SELECT FROM pg_publication JOIN owners w ON w.oid = pubowner)
          AND NOT has_database_privilege($2::name, datname, 'CREATE')";
    let rows = session.rows(sqlx::query(LOOK).bind(roles).bind(GRAVEYARD)).await?;
    let graveyard = sql::identifier(GRAVEYARD);
    let mut handing_over = HandingOver::default();
    for row in rows {
        let (place, owner): (String, String) = (row.try_get("place")?, row.try_get("owner")?);
        if !row.try_get::<bool, _>("ours")? {
            handing_over.barred = Some(format!(
                "what was made in {place} can't be given to {GRAVEYARD}: that belongs to {owner}, for \
                 whom the connector may not act; as a superuser: ALTER {place} OWNER TO <a role that \
                 the connector is a member of>"
            ));
        }
        handing_over.before.push(format!("GRANT CREATE ON {place} TO {graveyard}"));
        handing_over.after.push(format!("REVOKE CREATE ON {place} FROM {graveyard}"));
    }
    Ok(handing_over)
}

/// The statements by which functions and views that `roles` own in the session's database, and that
/// run as their owner, run as whoever calls them from now on. Before 15 views cannot.
pub(crate) async fn disarm(session: &mut Session, roles: &[&str]) -> Result<Vec<String>, Failure> {
    // Under our search_path the names come with their schemas.
    const LOOK: &str = "
        WITH owners AS (SELECT oid FROM pg_roles WHERE rolname = ANY($1::text[]))
        SELECT format('ALTER ROUTINE %s SECURITY INVOKER', p.oid::regprocedure) AS statement
        FROM pg_proc p JOIN owners w ON w.oid = p.proowner WHERE p.prosecdef
        UNION ALL
        SELECT format('ALTER VIEW %s SET (security_invoker = true)', c.oid::regclass)
        FROM pg_class c JOIN owners w ON w.oid = c.relowner WHERE c.relkind = 'v' AND $2";
    let query = sqlx::query(LOOK).bind(roles).bind(session.is_at_least(15));
    let rows = session.rows(query).await?;
    rows.iter().map(|row| Ok(row.try_get("statement")?)).collect()
}
