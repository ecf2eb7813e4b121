//! The end of a grant, in the only order that holds: no new log-in, no live session, nothing that
//! runs on its behalf, no user; then a look whether that is so.
//!
//! Any other order leaves something behind: dropping a user, locking it, and taking its rights away
//! all leave its sessions working, and ending sessions first lets their clients come straight back.
//! Each step may be done again, so a teardown that broke off is begun anew.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_connector_sql::Patience;
use tokio::sync::oneshot;

use crate::{
    definers::{self, Fate, Object},
    failure::Doing as _,
    live,
    names::GRAVEYARD,
    server::Server,
    sql,
};

/// Where the grant may have made something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Places {
    /// In these databases.
    In(BTreeSet<String>),
    /// In any.
    Anywhere,
}

/// One teardown, through all its attempts.
pub(crate) struct Teardown {
    server: Arc<Server>,
    user: String,
    places: Places,
    existed: bool,
    /// The sessions that were told to end and did.
    ended: HashSet<u64>,
    buried: Vec<String>,
    dropped: Vec<String>,
}

impl Teardown {
    pub(crate) fn new(server: Arc<Server>, user: String, places: Places) -> Self {
        Self {
            server,
            user,
            places,
            existed: false,
            ended: HashSet::new(),
            buried: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// Tears down, verifies, and tells what it saw in one sentence. `closed` hears how many sessions
    /// were ended, at the moment when none is left and none can come.
    pub(crate) async fn run(
        mut self,
        closed: oneshot::Sender<u32>,
    ) -> Result<String, ConnectorError> {
        let mut closed = Some(closed);
        let mut patience = Patience::new(self.user.as_bytes());
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
        self.lock().await?;
        self.end_sessions().await?;
        if self.may_have_made_something() && self.stop_events().await? {
            // One may have been running.
            self.end_sessions().await?;
        }
        if let Some(closed) = closed.take() {
            // Nobody listens any more where the caller was dropped; the work goes on.
            let _ = closed.send(u32::try_from(self.ended.len()).unwrap_or(u32::MAX));
        }
        if self.may_have_made_something() {
            self.bury_the_rest().await?;
        }
        self.drop_user().await?;
        // A verifier that was registered at the same moment has unlocked the user for a moment.
        self.end_sessions().await?;
        self.verify().await
    }

    /// Step 1: nobody logs in any more, from wherever.
    async fn lock(&mut self) -> Result<(), ConnectorError> {
        let doing = || format!("refuse log-ins as {}", self.user);
        let mut session = self.server.session().await?;
        let mut existed = false;
        for host in hosts(&mut session, &self.user).await? {
            let account = sql::account(&self.user, &host);
            match session.execute(format!("ALTER USER {account} ACCOUNT LOCK")).await {
                Err(failure) if failure.is_missing_account() => {}
                other => {
                    other.doing(doing)?;
                    existed = true;
                }
            }
        }
        self.existed |= existed;
        Ok(())
    }

    /// Step 2: no session is left, and none is on its way in.
    async fn end_sessions(&mut self) -> Result<(), ConnectorError> {
        live::end_all(&self.server, &self.user, &mut self.ended).await
    }

    fn may_have_made_something(&self) -> bool {
        !matches!(&self.places, Places::In(places) if places.is_empty())
    }

    /// Step 3: nothing runs by itself. True where something did.
    async fn stop_events(&mut self) -> Result<bool, ConnectorError> {
        let mut session = self.server.session().await?;
        let events = definers::events(&mut session, &self.user).await?;
        drop(session);
        self.bury(&events).await?;
        Ok(!events.is_empty())
    }

    /// Step 4: nothing runs with its rights when somebody else calls it.
    async fn bury_the_rest(&mut self) -> Result<(), ConnectorError> {
        let places = match &self.places {
            Places::In(places) => Some(places),
            Places::Anywhere => None,
        };
        let mut session = self.server.session().await?;
        let others = definers::others(&mut session, &self.user, places).await?;
        drop(session);
        self.bury(&others).await
    }

    async fn bury(&mut self, objects: &[Object]) -> Result<(), ConnectorError> {
        for object in objects {
            match definers::bury(&self.server, object).await? {
                Fate::Buried => self.buried.push(object.to_string()),
                Fate::Dropped => self.dropped.push(object.to_string()),
                Fate::Gone => {}
            }
        }
        Ok(())
    }

    /// Step 5. The host must match, or nothing is dropped and nothing is said.
    async fn drop_user(&self) -> Result<(), ConnectorError> {
        let doing = || format!("drop user {}", self.user);
        let mut session = self.server.session().await?;
        for host in hosts(&mut session, &self.user).await? {
            let drop = format!("DROP USER IF EXISTS {}", sql::account(&self.user, &host));
            session.execute(drop).await.doing(doing)?;
        }
        Ok(())
    }

    /// Looks whether it is so (I6).
    async fn verify(&self) -> Result<String, ConnectorError> {
        let doing = || format!("verify that {} is gone", self.user);
        let lives_on = live::has_any(&self.server, &self.user).await?;
        let mut session = self.server.session().await?;
        let user = sql::literal(&self.user);
        let tables = session.dialect().tables_of_rights().iter();
        let looks: Vec<_> = tables
            .map(|(table, column)| format!("SELECT 1 FROM mysql.{table} WHERE {column} = {user}"))
            .collect();
        let rights = session.column(looks.join(" UNION ALL ")).await.doing(doing)?;
        let left = [
            (!hosts(&mut session, &self.user).await?.is_empty(), "the user"),
            (!rights.is_empty(), "a right"),
            (lives_on, "a session"),
        ];
        let left: Vec<_> =
            left.into_iter().filter(|(there, _)| *there).map(|(_, what)| what).collect();
        if !left.is_empty() {
            return Err(ConnectorError::new(ErrorKind::StillPresent, doing())
                .because(format!("still there: {}", left.join(", "))));
        }
        let prepared = match session.rows("XA RECOVER".to_owned()).await {
            // MySQL asks a right for it that we don't need otherwise.
            Err(failure) if failure.is_forbidden() => 0,
            other => other.doing(doing)?.len(),
        };
        Ok(self.summary(prepared))
    }

    fn summary(&self, prepared: usize) -> String {
        let user = &self.user;
        let mut text = if self.existed {
            format!("user {user} is gone, no session, no right")
        } else {
            format!("user {user} was gone already, no session")
        };
        if !self.buried.is_empty() {
            text += &format!("; {} now has the definer {}", listed(&self.buried), GRAVEYARD.0);
        }
        if !self.dropped.is_empty() {
            text += &format!("; dropped, being broken: {}", listed(&self.dropped));
        }
        if self.existed && prepared > 0 {
            text += &format!(
                "; prepared XA transactions on the server, which does not tell whose: {prepared}"
            );
        }
        text
    }
}

/// A few by name, the rest by number.
fn listed(names: &[String]) -> String {
    const SOME: usize = 10;
    let text = names.iter().take(SOME).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SOME) {
        Some(more) if more > 0 => format!("{text} and {more} more"),
        _ => text,
    }
}

/// From where the user may log in; nothing where it does not exist.
async fn hosts(
    session: &mut crate::server::Session,
    user: &str,
) -> Result<Vec<String>, ConnectorError> {
    let look = format!(
        "SELECT Host FROM {} WHERE User = {}",
        session.dialect().accounts(),
        sql::literal(user)
    );
    session.column(look).await.doing(|| format!("look for user {user}"))
}
