//! The first two steps of a teardown: nobody logs in by the grant any more, and whoever is logged in
//! is told to end until nobody is left, and nobody is on the way in either.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use tokio::time::{Instant, sleep};

use super::Teardown;
use crate::{
    failure::{Doing as _, Failure},
    look::{self, Look, Starting},
    membership,
    server::{Server, Session},
    sql,
};

/// Taking LOGIN from a role is a matter of a moment. After so long somebody is in the way.
const HELD_UP: Duration = Duration::from_millis(200);
/// The first pause between two looks at the sessions; each is twice as long as the one before.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// The longest pause between two looks.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// A log-in that was admitted and is not a session after so long is looked into.
const IMPATIENCE: Duration = Duration::from_millis(50);
/// A log-in that has not been admitted for so long is no longer on the brink of it: it waits for
/// its client, and will be refused.
pub(super) const BRINK: Duration = Duration::from_millis(500);

impl Teardown {
    /// Step 1: nobody logs in any more. False where the role is gone already.
    ///
    /// Sessions of the role may hold this up: they may change its password, in a transaction that they
    /// leave open or prepare; and so may those of its members. Then they are told to end right away.
    pub(super) async fn close_log_in(&mut self) -> Result<bool, ConnectorError> {
        let doing = format!("refuse log-ins as {}", self.role);
        let mut session = self.server.session().await?;
        // Poolers that look the verifier up ask no more, too.
        let close = format!("ALTER ROLE {} NOLOGIN PASSWORD NULL", sql::identifier(&self.role));
        let mut close = pin!(session.execute(close));
        let held_up = HELD_UP.min(self.server.limits().lock / 2);
        let closed = loop {
            tokio::select! {
                closed = &mut close => break closed,
                () = sleep(held_up) => self.end_those_in_the_way().await,
            }
        };
        match closed {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_missing_object() => Ok(false),
            Err(failure) => {
                // On a slow machine the wait may be over before it was seen to be long.
                if failure.is_lock_timeout() {
                    self.end_those_in_the_way().await;
                }
                Err(failure.while_doing(doing))
            }
        }
    }

    async fn end_those_in_the_way(&mut self) {
        if let Err(error) = self.try_to_end_those_in_the_way().await {
            tracing::warn!(role = %self.role, error = error.chain(), "could not end sessions yet");
        }
    }

    async fn try_to_end_those_in_the_way(&mut self) -> Result<(), ConnectorError> {
        let role = self.role.clone();
        let doing = || format!("end the sessions of {role}");
        // Not one of those that step 1 waits in.
        let mut session = self.server.new_session().await?;
        let now = look::now(&mut session).await.doing(doing)?;
        let found = self.look(&mut session, Some(&now)).await.doing(doing)?;
        let place = self.server.address();
        self.tell_to_end(&mut session, &place, &found).await.doing(doing)?;
        drop(session);
        self.roll_back(&found).await
    }

    /// Step 2: no session is left, and none is on its way in. Answers with the last look.
    pub(super) async fn end_sessions(&mut self) -> Result<Look, ConnectorError> {
        let server = Arc::clone(&self.server);
        self.end_sessions_on(&server, None).await
    }

    /// Step 2 on one server; `delegates_until` where its role's rights were taken away already, as on
    /// a replica.
    pub(super) async fn end_sessions_on(
        &mut self,
        server: &Arc<Server>,
        mut delegates_until: Option<String>,
    ) -> Result<Look, ConnectorError> {
        let role = self.role.clone();
        let place = server.address();
        let doing = || format!("end the sessions of {role} on {place}");
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        // Those who may have been admitted before step 1; all later ones are refused.
        let mut on_the_way: Option<Vec<Starting>> = None;
        loop {
            // Not held during the pauses: other grants end meanwhile.
            let mut session = server.session().await?;
            if on_the_way.as_ref().is_none_or(|left| !left.is_empty()) {
                let starting = look::starting(&mut session).await.doing(doing)?;
                on_the_way =
                    Some(still_on_the_way(starting, on_the_way.as_deref(), begun.elapsed()));
            }
            let left = on_the_way.get_or_insert_default();
            // Only now: whoever has left that list is in this one.
            let found = self.look(&mut session, delegates_until.as_deref()).await.doing(doing)?;
            if !found.delegates.is_empty() && delegates_until.is_none() {
                delegates_until = Some(self.cut_off_delegates(&mut session, &found).await?);
                on_the_way = None;
                continue;
            }
            if found.sessions.is_empty() && left.is_empty() {
                return Ok(found);
            }
            if begun.elapsed() > server.limits().sessions {
                let cause = still_there(&found, left);
                return Err(ConnectorError::new(ErrorKind::StillPresent, doing()).because(cause));
            }
            self.tell_to_end(&mut session, &place, &found).await.doing(doing)?;
            drop(session);
            if begun.elapsed() > IMPATIENCE {
                self.turn_back(server, &found, left).await?;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn tell_to_end(
        &mut self,
        session: &mut Session,
        place: &str,
        found: &Look,
    ) -> Result<(), Failure> {
        if found.sessions.is_empty() {
            return Ok(());
        }
        look::terminate(session, &found.sessions, self.oid.is_some()).await?;
        self.note_ended(place, &found.sessions);
        Ok(())
    }

    /// Ends log-ins as the role, or as a member of it, that were admitted and are no session yet, and takes strangers off
    /// the list.
    ///
    /// A client may stay in between for as long as it likes (`post_auth_delay`), having taken a
    /// privilege role's identity at that (`role`), both as options of its log-in. The server tells
    /// nobody who such a process is. But a role may end its own processes and no others.
    async fn turn_back(
        &self,
        server: &Arc<Server>,
        found: &Look,
        on_the_way: &mut Vec<Starting>,
    ) -> Result<(), ConnectorError> {
        let admitted: Vec<i32> =
            on_the_way.iter().filter(|one| one.admitted).map(|one| one.pid).collect();
        if admitted.is_empty() {
            return Ok(());
        }
        if !self.existed {
            on_the_way.retain(|one| !one.admitted);
            return Ok(());
        }
        let doing = || format!("end log-ins as {} that are under way", self.role);
        let roles = || std::iter::once(&self.role).chain(&self.delegates).map(String::as_str);
        // On a replica nobody is made a member any more; on the primary we are one by now.
        let mut session = self.server.new_session().await?;
        self.join(&mut session, found, roles()).await?;
        if !Arc::ptr_eq(server, &self.server) {
            session = server.new_session().await?;
        }
        let mut strangers: BTreeSet<i32> = admitted.into_iter().collect();
        for role in roles() {
            let role = sql::identifier(role);
            match session.execute(format!("SET ROLE {role}")).await {
                // Another teardown has dropped it since, after it had turned them back.
                Err(failure) if failure.is_no_role_to_set() => continue,
                other => other.doing(doing)?,
            }
            for pid in strangers.clone() {
                match session.execute(format!("SELECT pg_terminate_backend({pid})")).await {
                    Ok(()) => drop(strangers.remove(&pid)),
                    Err(failure) if failure.is_forbidden() => {}
                    Err(failure) => return Err(failure.while_doing(doing())),
                }
            }
        }
        on_the_way.retain(|one| !strangers.contains(&one.pid));
        Ok(())
    }

    /// Looks, and keeps what later looks could no longer tell.
    pub(super) async fn look(
        &mut self,
        session: &mut Session,
        delegates_until: Option<&str>,
    ) -> Result<Look, Failure> {
        let privileges: Vec<_> = self.privileges.iter().cloned().collect();
        let found = look::look(session, &self.role, self.oid, &privileges, delegates_until).await?;
        self.oid = found.oid;
        self.privileges.extend(found.privileges.iter().cloned());
        Ok(found)
    }

    /// Takes the role's rights away, so that its members gain nothing by it any more. Those of
    /// their sessions that began before may have used it. Answers with the time of the cut.
    async fn cut_off_delegates(
        &mut self,
        session: &mut Session,
        found: &Look,
    ) -> Result<String, ConnectorError> {
        let doing = || format!("take the rights of {} from its members", self.role);
        let nowhere = BTreeSet::new();
        membership::leave_others(session, &self.role, &nowhere).await.doing(doing)?;
        let now = look::now(session).await.doing(doing)?;
        tracing::warn!(role = %self.role, members = ?found.delegates, "a grant's role had members");
        self.delegates.extend(found.delegates.iter().cloned());
        Ok(now)
    }
}

/// Those of `starting` that may yet become a session of a role that lost LOGIN before the first
/// look. `before` are those who could at the last look.
pub(super) fn still_on_the_way(
    starting: Vec<Starting>,
    before: Option<&[Starting]>,
    elapsed: Duration,
) -> Vec<Starting> {
    let was_there = |pid| before.is_none_or(|before| before.iter().any(|one| one.pid == pid));
    starting
        .into_iter()
        .filter(|one| one.admitted || elapsed < BRINK)
        .filter(|one| was_there(one.pid))
        .collect()
}

fn still_there(found: &Look, on_the_way: &[Starting]) -> String {
    let list = |pids: Vec<i32>| {
        let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
        pids.join(", ")
    };
    if found.sessions.is_empty() {
        let pids = on_the_way.iter().map(|one| one.pid).collect();
        return format!("log-ins that began before are still under way: process {}", list(pids));
    }
    let pids = found.sessions.iter().map(|one| one.pid).collect();
    format!("they were told to end and are still there: process {}", list(pids))
}
