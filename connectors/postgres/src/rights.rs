//! Privilege roles: one for each database, schema and level of access, with rights on what is in
//! there. A grant is a membership in some: grants on tables for each person would overflow the
//! tables' ACLs and fail with 'tuple concurrently updated' when they come in parallel.

use std::{collections::HashMap, sync::Arc};

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_connector_sql::Patience;
use ebbgate_domain::right::Level;
use parking_lot::Mutex;
use sqlx::{Row as _, postgres::types::Oid};

use crate::{
    failure::{Doing as _, Failure},
    memo::Memo,
    missing::{self, Missing},
    names::Privilege,
    owners,
    server::{Server, Session},
    sql,
};

/// Serialises those who change rights in one database: an arbitrary number ('ebbr'), the same in
/// every agent.
const LOCK: i64 = 0x6562_6272;

/// The privilege roles of one server, and when each was last seen complete.
#[derive(Default)]
pub(crate) struct Rights {
    seen: Mutex<HashMap<Privilege, Arc<Memo>>>,
}

impl Rights {
    /// Makes sure that the privilege's role exists with all its rights.
    pub(crate) async fn ensure(
        &self,
        server: &Server,
        privilege: &Privilege,
    ) -> Result<(), ConnectorError> {
        let memo = Arc::clone(self.seen.lock().entry(privilege.clone()).or_default());
        let doing = || format!("use role {}", privilege.role());
        memo.ensure(doing, refresh_patiently(server, privilege)).await
    }

    /// Makes the next grant look again.
    pub(crate) fn doubt(&self, privilege: &Privilege) {
        self.seen.lock().remove(privilege);
    }
}

async fn refresh_patiently(server: &Server, privilege: &Privilege) -> Result<(), ConnectorError> {
    let mut patience = Patience::new(privilege.database.as_bytes());
    loop {
        match refresh(server, privilege).await {
            Err(error) if patience.allows(&error).await => {}
            other => return other,
        }
    }
}

/// Looks into the catalog and grants what is missing, in one transaction.
async fn refresh(server: &Server, privilege: &Privilege) -> Result<(), ConnectorError> {
    let role = privilege.role();
    let database = &privilege.database;
    let doing = || format!("give {role} its rights in {}", privilege.place());
    let mut session = server.session_in(database).await?;
    match session.execute(format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})")).await {
        // Anybody who can log in may hold that lock. It only spares us clashes with other agents.
        Err(failure) if failure.is_lock_timeout() => {
            tracing::warn!(%database, "somebody holds the advisory lock {LOCK} there");
            session.execute("ROLLBACK; BEGIN".to_owned()).await.doing(doing)?;
        }
        other => other.doing(doing)?,
    }
    let joins_owners = privilege.level >= Level::Ddl;
    let oid = ensure_role(&mut session, &role, joins_owners).await?;
    if joins_owners {
        owners::join(&mut session, oid, privilege).await?;
    }
    let rights = missing::LevelRights::of(privilege, &session);
    let missing = missing::look(&mut session, oid, privilege, &rights).await.doing(doing)?;
    if !missing.found {
        let why = format!("there is no {}", privilege.place());
        return Err(ConnectorError::new(ErrorKind::Refused, doing()).because(why));
    }
    for statement in missing.statements(privilege, &rights) {
        if let Err(failure) = session.execute(statement).await {
            return Err(explain(failure, &missing, doing()));
        }
    }
    session.execute("COMMIT".to_owned()).await.doing(doing)
}

/// The role's oid; it is made where it does not exist. One that can do more than it should is not
/// given to anybody.
async fn ensure_role(
    session: &mut Session,
    role: &str,
    may_be_member: bool,
) -> Result<Oid, ConnectorError> {
    let doing = || format!("make role {role}");
    if let Some(oid) = plain_role(session, role, may_be_member).await? {
        return Ok(oid);
    }
    session.execute(format!("CREATE ROLE {} NOLOGIN", sql::identifier(role))).await.doing(doing)?;
    plain_role(session, role, may_be_member).await?.ok_or_else(|| {
        ConnectorError::new(ErrorKind::Throttled, doing()).because("it vanished at once")
    })
}

/// The oid of a role that may neither log in nor do anything by itself; none where it does not exist.
///
/// # Errors
/// The role has an attribute that ours never have, or is a member of another role and may not be.
pub(crate) async fn plain_role(
    session: &mut Session,
    role: &str,
    may_be_member: bool,
) -> Result<Option<Oid>, ConnectorError> {
    const LOOK: &str = "
        SELECT oid,
               rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication
               OR rolbypassrls
               OR (NOT $2 AND EXISTS (
                   SELECT FROM pg_auth_members WHERE member = pg_roles.oid)) AS powerful
        FROM pg_roles WHERE rolname = $1";
    let doing = || format!("look at role {role}");
    let row = session
        .optional_row(sqlx::query(LOOK).bind(role).bind(may_be_member))
        .await
        .doing(doing)?;
    let Some(row) = row else {
        return Ok(None);
    };
    let powerful: bool = row.try_get("powerful").map_err(Failure::from).doing(doing)?;
    if powerful {
        return Err(ConnectorError::new(ErrorKind::Refused, format!("use role {role}")).because(
            "it may log in, has an attribute such as CREATEROLE, or is a member of another role; \
             drop or rename it, so that a plain one can be made",
        ));
    }
    row.try_get("oid").map(Some).map_err(Failure::from).doing(doing)
}

/// An object that was dropped meanwhile is reason to look again; a right that we lack is told with
/// the SQL that gives it.
fn explain(failure: Failure, missing: &Missing, doing: String) -> ConnectorError {
    if failure.is_missing_object() {
        return ConnectorError::new(ErrorKind::Throttled, doing)
            .because("an object in the database was dropped just now");
    }
    match missing.cure() {
        Some(cure) if failure.is_forbidden() => {
            ConnectorError::new(ErrorKind::Refused, doing).because(cure)
        }
        _ => failure.while_doing(doing),
    }
}
