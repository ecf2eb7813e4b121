//! The end of a grant, in the only order that holds: no new log-in, no live session, no prepared
//! transaction, nothing owned, no role; then a look whether that is so.
//!
//! Any other order leaves something behind. Dropping the role first leaves its sessions working,
//! above all those under `SET ROLE`; ending sessions first lets their clients come straight back; a
//! prepared transaction survives even its role. Each step may be done again, so a teardown that
//! broke off is begun anew.

mod crowd;
mod replicas;
mod sessions;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_connector_sql::Patience;
use sqlx::Row as _;
use tokio::sync::oneshot;

use crate::{
    failure::{Doing as _, Failure},
    graveyard::{self, HandingOver},
    leftover,
    look::{self, Backend, Holding, Look, Prepared},
    names::GRAVEYARD,
    server::{Server, Session},
    sql,
    survey::{Asked, Sight},
};
pub(crate) use crowd::Crowd;

/// One teardown, through all its attempts.
struct Teardown {
    server: Arc<Server>,
    replicas: Arc<[Arc<Server>]>,
    role: String,
    oid: Option<u32>,
    existed: bool,
    /// The privilege roles it was a member of.
    privileges: BTreeSet<String>,
    /// The processes that were told to end and did, each with its server.
    ended: BTreeSet<(String, i32)>,
    rolled_back: usize,
    /// The databases in which something went to the graveyard or rights were taken.
    cleared: BTreeSet<String>,
    delegates: BTreeSet<String>,
}

impl Teardown {
    fn new(server: Arc<Server>, replicas: Arc<[Arc<Server>]>, role: String) -> Self {
        Self {
            server,
            replicas,
            role,
            oid: None,
            existed: false,
            privileges: BTreeSet::new(),
            ended: BTreeSet::new(),
            rolled_back: 0,
            cleared: BTreeSet::new(),
            delegates: BTreeSet::new(),
        }
    }

    /// Tears down, verifies, and tells what it saw in one sentence. `closed` hears how many sessions
    /// were ended, at the moment when none is left and none can come.
    async fn run(
        mut self,
        mut closed: Option<oneshot::Sender<u32>>,
    ) -> Result<String, ConnectorError> {
        let mut patience = Patience::new(self.role.as_bytes());
        loop {
            match self.attempt(&mut closed).await {
                Err(error) if patience.allows(&error).await => {}
                other => return other,
            }
        }
    }

    async fn attempt(
        &mut self,
        closed: &mut Option<oneshot::Sender<u32>>,
    ) -> Result<String, ConnectorError> {
        let existed = self.close_log_in().await?;
        self.existed |= existed;
        let found = self.end_sessions().await?;
        self.end_sessions_on_replicas().await?;
        if let Some(closed) = closed.take() {
            // Nobody listens any more where the caller was dropped; the work goes on.
            let _ = closed.send(self.sessions_ended());
        }
        if existed {
            self.roll_back(&found).await?;
            self.clear(&found).await?;
            self.drop_role().await?;
        }
        self.verify().await
    }

    /// Step 3: prepared transactions are rolled back, each in its own database.
    async fn roll_back(&mut self, found: &Look) -> Result<(), ConnectorError> {
        let mut by_database: BTreeMap<&str, Vec<&Prepared>> = BTreeMap::new();
        for prepared in &found.prepared {
            by_database.entry(&prepared.database).or_default().push(prepared);
        }
        for (database, all) in by_database {
            let owners: BTreeSet<&str> = all.iter().map(|one| one.owner.as_str()).collect();
            let mut session = self.server.session_in(database).await?;
            self.join(&mut session, found, owners).await?;
            for prepared in all {
                let doing = || format!("roll back transaction {} in {database}", prepared.gid);
                if !found.superuser {
                    // Only its owner and a superuser may.
                    let owner = sql::identifier(&prepared.owner);
                    session.execute(format!("SET ROLE {owner}")).await.doing(doing)?;
                }
                let rolled_back = session
                    .execute(format!("ROLLBACK PREPARED {}", sql::literal(&prepared.gid)))
                    .await;
                match rolled_back {
                    Ok(()) => self.rolled_back += 1,
                    // Somebody else ended it.
                    Err(failure) if failure.is_missing_object() => {}
                    Err(failure) => return Err(failure.while_doing(doing())),
                }
            }
        }
        Ok(())
    }

    /// Step 4: what it owns goes to the graveyard, and the rights it has end, in every database.
    async fn clear(&mut self, found: &Look) -> Result<(), ConnectorError> {
        let mut by_database: BTreeMap<&str, Vec<&Holding>> = BTreeMap::new();
        for holding in &found.holdings {
            by_database.entry(&holding.database).or_default().push(holding);
        }
        for (database, holdings) in by_database {
            let doing = || format!("clear what {} left in database {database}", self.role);
            let mut session = self.server.session_in(database).await?;
            graveyard::make(&mut session).await?;
            let roles = holdings.iter().map(|holding| holding.role.as_str()).chain([GRAVEYARD]);
            self.join(&mut session, found, roles).await?;
            let roles: Vec<&str> = holdings.iter().map(|one| one.role.as_str()).collect();
            let handing_over = match found.superuser {
                true => HandingOver::default(),
                false => graveyard::hand_over(&mut session, &roles).await.doing(doing)?,
            };
            if let Some(barred) = handing_over.barred {
                let why = format!("{barred} (in database {database})");
                return Err(ConnectorError::new(ErrorKind::Refused, doing()).because(why));
            }
            let mut statements = handing_over.before;
            statements.extend(graveyard::disarm(&mut session, &roles).await.doing(doing)?);
            for holding in &holdings {
                let role = sql::identifier(&holding.role);
                let graveyard = sql::identifier(GRAVEYARD);
                statements.push(format!("REASSIGN OWNED BY {role} TO {graveyard}"));
                if holding.own {
                    statements.push(format!("DROP OWNED BY {role}"));
                }
            }
            statements.extend(handing_over.after);
            session.execute(statements.join("; ")).await.doing(doing)?;
            leftover::take_back(&mut session, &self.role).await.doing(doing)?;
            self.cleared.insert(database.to_owned());
        }
        Ok(())
    }

    /// Without being a superuser we act for other roles only as their member.
    async fn join<'a>(
        &self,
        session: &mut Session,
        found: &Look,
        roles: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), ConnectorError> {
        const LOOK: &str = "
            SELECT rolname::text FROM pg_roles
            WHERE rolname = ANY($1::text[])
              AND EXISTS (SELECT FROM unnest($2::text[]) p WHERE NOT pg_has_role(oid, p))";
        if found.superuser {
            return Ok(());
        }
        let is_16 = session.is_at_least(16);
        let wanted: &[&str] = if is_16 { &["USAGE", "SET"] } else { &["USAGE"] };
        let roles: Vec<_> = roles.into_iter().collect();
        let all = sql::identifiers(roles.iter().copied());
        let doing = || format!("act for {all}");
        let rows = session.rows(sqlx::query(LOOK).bind(roles).bind(wanted)).await.doing(doing)?;
        let lacking: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
        let lacking = lacking.map_err(Failure::from).doing(doing)?;
        if lacking.is_empty() {
            return Ok(());
        }
        let lacking = sql::identifiers(lacking.iter().map(String::as_str));
        let options = if is_16 { " WITH INHERIT TRUE, SET TRUE" } else { "" };
        match session.execute(format!("GRANT {lacking} TO CURRENT_USER{options}")).await {
            Err(failure) if failure.is_forbidden() => {
                Err(ConnectorError::new(ErrorKind::Refused, doing()).because(format!(
                    "as a superuser: GRANT {lacking} TO <the connector's role>{options}"
                )))
            }
            other => other.doing(doing),
        }
    }

    /// Step 5.
    async fn drop_role(&self) -> Result<(), ConnectorError> {
        let doing = || format!("drop role {}", self.role);
        let mut session = self.server.session().await?;
        let drop_role = format!("DROP ROLE IF EXISTS {}", sql::identifier(&self.role));
        let Err(failure) = session.execute(drop_role).await else {
            return Ok(());
        };
        drop(session);
        if !failure.is_dependent() {
            return Err(failure.while_doing(doing()));
        }
        let bound = self.what_binds_it().await?;
        if bound.is_empty() {
            return Err(failure.while_doing(doing()));
        }
        let why = format!(
            "nobody can log in by it, but something binds it that the connector may not undo; {}",
            bound.join("; ")
        );
        Err(ConnectorError::new(ErrorKind::StillPresent, doing()).because(why))
    }

    /// What keeps the role from being dropped, for an operator.
    async fn what_binds_it(&self) -> Result<Vec<String>, ConnectorError> {
        let doing = || format!("see what binds role {}", self.role);
        let mut session = self.server.session().await?;
        let found = look::look(&mut session, &self.role, self.oid, &[], None).await.doing(doing)?;
        drop(session);
        let own = found.holdings.iter().filter(|holding| holding.own);
        let databases: BTreeSet<&str> = own.map(|holding| holding.database.as_str()).collect();
        let mut bound = Vec::new();
        for database in databases {
            let mut session = self.server.session_in(database).await?;
            let left = leftover::look(&mut session, &self.role).await.doing(doing)?;
            if !left.is_empty() {
                bound.push(leftover::explain(&self.role, database, &left));
            }
        }
        Ok(bound)
    }

    /// Looks whether it is so (I6).
    async fn verify(&self) -> Result<String, ConnectorError> {
        let doing = || format!("verify that {} is gone", self.role);
        let mut session = self.server.session().await?;
        let found = look::look(&mut session, &self.role, self.oid, &[], None).await.doing(doing)?;
        let on_replicas = self.sessions_on_replicas().await?;
        let left = [
            (found.exists, "the role"),
            (!found.sessions.is_empty(), "a session"),
            (on_replicas, "a session on a replica"),
            (!found.prepared.is_empty(), "a prepared transaction"),
            (!found.holdings.is_empty(), "an object or a right"),
        ];
        let left: Vec<_> =
            left.into_iter().filter(|(there, _)| *there).map(|(_, what)| what).collect();
        if left.is_empty() {
            return Ok(self.summary());
        }
        Err(ConnectorError::new(ErrorKind::StillPresent, doing())
            .because(format!("still there: {}", left.join(", "))))
    }

    fn sessions_ended(&self) -> u32 {
        u32::try_from(self.ended.len()).unwrap_or(u32::MAX)
    }

    /// What a look at many must know of this one.
    fn asked(&self) -> Asked<'_> {
        let privileges = self.privileges.iter().map(String::as_str).collect();
        Asked { role: &self.role, oid: self.oid, privileges }
    }

    /// Keeps what later looks could no longer tell.
    fn learn(&mut self, seen: &Sight) {
        self.oid = self.oid.or(seen.oid);
        self.existed |= seen.exists;
        self.privileges.extend(seen.privileges.iter().cloned());
    }

    fn note_ended(&mut self, place: &str, sessions: &[Backend]) {
        let clients = sessions.iter().filter(|one| one.client);
        self.ended.extend(clients.map(|one| (place.to_owned(), one.pid)));
    }

    fn summary(&self) -> String {
        let role = &self.role;
        let mut text = if self.existed {
            format!("role {role} is gone, no session, no prepared transaction, no object")
        } else {
            format!("role {role} was gone already, no session")
        };
        match self.replicas.len() {
            0 => {}
            1 => text += ", on the server and its replica",
            more => text += &format!(", on the server and its {more} replicas"),
        }
        if self.rolled_back > 0 {
            text += &format!("; {} prepared transactions rolled back", self.rolled_back);
        }
        if !self.cleared.is_empty() {
            let databases: Vec<_> = self.cleared.iter().map(String::as_str).collect();
            text += &format!("; what it left in {} was cleared away", databases.join(", "));
        }
        if !self.delegates.is_empty() {
            let members: Vec<_> = self.delegates.iter().map(String::as_str).collect();
            text += &format!("; it had members, whose sessions were ended: {}", members.join(", "));
        }
        text
    }
}
