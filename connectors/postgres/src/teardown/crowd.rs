//! Grants that end together are torn down together: a step is one statement for all of them, where
//! each by itself would be as many round trips and as many waits for the disk.
//!
//! Whoever comes while others are at work waits for them to end, and is then taken up with all who
//! came meanwhile, the earliest deadline first; who comes alone does not wait. Only what is plain is
//! done here. A role with members, objects or a prepared transaction, one that is locked, a session
//! that stays: that grant is set aside and torn down by itself, and neither holds the others up nor
//! makes them fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    sync::Arc,
    time::Duration,
};

use ebbgate_connector_api::{ConnectorError, ErrorKind, crash};
use ebbgate_domain::Timestamp;
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tracing::{Instrument as _, Span};

use super::{
    Teardown, replicas,
    sessions::{BRINK, FIRST_PAUSE, LONGEST_PAUSE, still_on_the_way},
};
use crate::{
    failure::{Doing as _, Failure},
    look::{self, Backend, Starting},
    server::{Server, Session},
    sql,
    survey::{self, Asked, Sight},
};

/// How many are torn down by one statement at most: what is locked meanwhile is locked for moments.
const LARGEST: usize = 256;
/// How many batches of one queue are under way at a time.
const LEADERS: usize = 2;
/// For so long those behind wait for one that is alone, lest each of many be alone.
const LONE: Duration = Duration::from_millis(20);
/// After so long, whoever still has a session is set aside.
const PATIENCE: Duration = Duration::from_millis(250);

/// Takes LOGIN from roles: one that is locked, or that is gone, is passed over. With many that are
/// locked the rest is left, rather than everybody waiting for them.
const CLOSE: &str = "ALTER ROLE %I NOLOGIN PASSWORD NULL";
/// Drops roles, likewise.
const DROP: &str = "DROP ROLE %I";

/// Who waits to be torn down on one server, and who is at work.
pub(crate) struct Crowd {
    server: Arc<Server>,
    replicas: Arc<[Arc<Server>]>,
    due: Mutex<Queue>,
    /// Ended before their deadline: somebody waits for that, and it is not put behind thousands
    /// whose deadline has come.
    early: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// By the time when they should have ended, and in the order in which they came.
    waiting: BTreeMap<(Timestamp, u64), Member>,
    came: u64,
    leaders: usize,
}

type Answer = Result<String, ConnectorError>;

/// One grant, and those who wait for its end.
struct Member {
    teardown: Teardown,
    seen: Sight,
    closed: Option<oneshot::Sender<u32>>,
    answer: oneshot::Sender<Answer>,
    span: Span,
}

impl Crowd {
    pub(crate) fn new(server: Arc<Server>, replicas: Arc<[Arc<Server>]>) -> Self {
        Self { server, replicas, due: Mutex::default(), early: Mutex::default() }
    }

    /// Tears down and verifies, with whoever else is there, and tells what was seen in one sentence.
    /// `closed` hears how many sessions were ended, at the moment when none is left and none can
    /// come. The work goes on where the caller goes away.
    pub(crate) async fn remove(
        self: &Arc<Self>,
        role: String,
        deadline: Timestamp,
        now: Timestamp,
        closed: oneshot::Sender<u32>,
    ) -> Answer {
        let (answer, heard) = oneshot::channel();
        let teardown = Teardown::new(Arc::clone(&self.server), Arc::clone(&self.replicas), role);
        let member = Member {
            teardown,
            seen: Sight::default(),
            closed: Some(closed),
            answer,
            span: Span::current(),
        };
        let early = deadline > now;
        if self.queue(early).lock().add(deadline.min(now), member) {
            tokio::spawn(Arc::clone(self).lead(early));
        }
        heard.await.unwrap_or_else(|ended| {
            Err(ConnectorError::new(ErrorKind::Unreachable, "finish the work on the server")
                .because(ended))
        })
    }

    fn queue(&self, early: bool) -> &Mutex<Queue> {
        if early { &self.early } else { &self.due }
    }

    /// Until nobody waits any more.
    async fn lead(self: Arc<Self>, early: bool) {
        loop {
            // Apart, so that the guard is gone before anything is waited for.
            let batch = self.queue(early).lock().take();
            let Some(batch) = batch else { return };
            // In a task of its own: should it break off, its callers hear so and the rest goes on.
            drop(tokio::spawn(Arc::clone(&self).end(batch)).await);
        }
    }

    async fn end(self: Arc<Self>, mut batch: Vec<Member>) {
        if batch.len() == 1 {
            for lone in batch {
                drop(timeout(LONE, alone(lone)).await);
            }
            return;
        }
        // The same one twice, from two who ask at once.
        let mut roles = BTreeSet::new();
        set_aside(&mut batch, |member| !roles.insert(member.teardown.role.clone()));
        tracing::debug!(grants = batch.len(), "tearing down together");
        let session = match self.server.session_for_many().await {
            Ok(session) => session,
            Err(error) => return batch.into_iter().for_each(|member| member.fail(&error)),
        };
        match self.work(session, &mut batch).await {
            Ok(()) => {}
            // It would not answer each of them either.
            Err(error) if error.kind() == ErrorKind::Unreachable => {
                batch.into_iter().for_each(|member| member.fail(&error));
            }
            Err(error) => {
                tracing::warn!(error = error.chain(), "tearing down one by one, not together");
                set_aside(&mut batch, |_| true);
            }
        }
    }

    /// All steps for those that are plain; whoever is left in the end is to be torn down alone.
    async fn work(
        &self,
        mut session: Session,
        batch: &mut Vec<Member>,
    ) -> Result<(), ConnectorError> {
        let doing = || "end grants together".to_owned();
        session.execute(for_each(CLOSE, batch)).await.doing(doing)?;
        drop(session);
        crash::point("postgres.together.closed");
        self.cut_off(&self.server, batch, self.replicas.is_empty()).await?;
        self.cut_off_on_replicas(batch).await?;
        batch.iter_mut().for_each(Member::tell_closed);
        if batch.is_empty() {
            return Ok(());
        }
        let mut session = self.server.session_for_many().await?;
        session.execute(for_each(DROP, batch)).await.doing(doing)?;
        crash::point("postgres.together.dropped");
        // What was there is only now known to be gone (I6).
        look(&mut session, batch).await.doing(doing)?;
        drop(session);
        set_aside(batch, |member| member.seen.exists || !member.has_nothing_left());
        for replica in self.replicas.iter() {
            let mut session = replica.session_for_many().await?;
            look(&mut session, batch).await.doing(doing)?;
            drop(session);
            set_aside(batch, |member| !member.seen.sessions.is_empty());
        }
        batch.drain(..).for_each(Member::succeed);
        Ok(())
    }

    /// One that can't be asked does not keep the others waiting.
    async fn cut_off_on_replicas(&self, batch: &mut Vec<Member>) -> Result<(), ConnectorError> {
        if self.replicas.is_empty() || batch.is_empty() {
            return Ok(());
        }
        let position = replicas::position(&self.server).await?;
        let mut outcome = Ok(());
        for replica in self.replicas.iter() {
            let cut = match replicas::wait_until_there(replica, &position).await {
                Ok(()) => self.cut_off(replica, batch, false).await,
                Err(error) => Err(error),
            };
            outcome = outcome.and(cut);
        }
        outcome
    }

    /// Ends their sessions on one server and waits until nobody is left or on the way in. `last`
    /// where this is the only server on which there may be some.
    async fn cut_off(
        &self,
        server: &Arc<Server>,
        batch: &mut Vec<Member>,
        last: bool,
    ) -> Result<(), ConnectorError> {
        let place = server.address();
        let doing = || format!("end sessions on {place}");
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut on_the_way: Option<Vec<Starting>> = None;
        while !batch.is_empty() {
            let mut session = server.session_for_many().await?;
            if on_the_way.as_ref().is_none_or(|left| !left.is_empty()) {
                let starting = look::starting(&mut session).await.doing(doing)?;
                on_the_way =
                    Some(still_on_the_way(starting, on_the_way.as_deref(), begun.elapsed()));
            }
            let left = on_the_way.get_or_insert_default();
            // Only now: whoever has left that list is in this one.
            look(&mut session, batch).await.doing(doing)?;
            set_aside(batch, |member| !member.is_plain());
            if left.is_empty() && last {
                let quiet = batch.iter_mut().filter(|member| member.seen.sessions.is_empty());
                quiet.for_each(Member::tell_closed);
            }
            if left.is_empty() && batch.iter().all(|member| member.seen.sessions.is_empty()) {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE && left.iter().all(|one| one.admitted)
                || begun.elapsed() > BRINK + PATIENCE
            {
                let somebody = !left.is_empty();
                set_aside(batch, |member| somebody || !member.seen.sessions.is_empty());
                continue;
            }
            tell_to_end(&mut session, &place, batch).await.doing(doing)?;
            drop(session);
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }
}

impl Queue {
    /// Puts one in its place; true where a leader is wanted.
    fn add(&mut self, due: Timestamp, member: Member) -> bool {
        self.came += 1;
        self.waiting.insert((due, self.came), member);
        let wanted = self.leaders < LEADERS;
        self.leaders += usize::from(wanted);
        wanted
    }

    /// The next batch; none where nobody waits, and the leader goes.
    fn take(&mut self) -> Option<Vec<Member>> {
        let first = iter::from_fn(|| self.waiting.pop_first()).take(LARGEST);
        let batch: Vec<_> = first.map(|(_, member)| member).collect();
        if batch.is_empty() {
            self.leaders = self.leaders.saturating_sub(1);
            return None;
        }
        Some(batch)
    }
}

impl Member {
    /// Whether all that it has is sessions.
    fn is_plain(&self) -> bool {
        self.seen.exists && !self.seen.open && !self.seen.unusual
    }

    fn has_nothing_left(&self) -> bool {
        self.seen.sessions.is_empty() && !self.seen.unusual
    }

    fn tell_closed(&mut self) {
        if let Some(closed) = self.closed.take() {
            // Nobody listens any more where the caller was dropped; the work goes on.
            let _ = closed.send(self.teardown.sessions_ended());
        }
    }

    fn succeed(mut self) {
        self.tell_closed();
        let _ = self.answer.send(Ok(self.teardown.summary()));
    }

    fn fail(self, error: &ConnectorError) {
        let doing = format!("end the access of {}", self.teardown.role);
        let error = ConnectorError::new(error.kind(), doing).because(error.chain());
        let _ = self.answer.send(Err(error));
    }
}

/// Takes those out of the batch and has each torn down by itself, with all that is known of it.
fn set_aside(batch: &mut Vec<Member>, mut out: impl FnMut(&Member) -> bool) {
    let (aside, stay) = batch.drain(..).partition(|member| out(member));
    *batch = stay;
    let aside: Vec<Member> = aside;
    for member in aside {
        drop(alone(member));
    }
}

fn alone(member: Member) -> JoinHandle<()> {
    let Member { teardown, closed, answer, span, .. } = member;
    tokio::spawn(
        async move {
            let _ = answer.send(teardown.run(closed).await);
        }
        .instrument(span),
    )
}

async fn look(session: &mut Session, batch: &mut [Member]) -> Result<(), Failure> {
    let asked: Vec<Asked<'_>> = batch.iter().map(|member| member.teardown.asked()).collect();
    let sights = survey::survey(session, &asked).await?;
    for (member, sight) in batch.iter_mut().zip(sights) {
        member.teardown.learn(&sight);
        member.seen = sight;
    }
    Ok(())
}

async fn tell_to_end(
    session: &mut Session,
    place: &str,
    batch: &mut [Member],
) -> Result<(), Failure> {
    let all: Vec<Backend> =
        batch.iter().flat_map(|member| member.seen.sessions.iter().cloned()).collect();
    if all.is_empty() {
        return Ok(());
    }
    look::terminate(session, &all, true).await?;
    for member in batch {
        member.teardown.note_ended(place, &member.seen.sessions);
    }
    Ok(())
}

/// Does `statement` for each role that lets it be done, in one transaction.
///
/// What the server refuses for one of them is not told here: it shows when it is looked at next.
fn for_each(statement: &str, batch: &[Member]) -> String {
    let roles: Vec<_> = batch.iter().map(|member| sql::literal(&member.teardown.role)).collect();
    format!(
        "DO $together$
         DECLARE
             one text;
             locked int := 0;
         BEGIN
             PERFORM set_config('lock_timeout', '50ms', true);
             FOREACH one IN ARRAY ARRAY[{}]::text[] LOOP
                 EXIT WHEN locked >= 5;
                 BEGIN
                     EXECUTE format({}, one);
                 EXCEPTION
                     WHEN lock_not_available THEN locked := locked + 1;
                     WHEN OTHERS THEN NULL;
                 END;
             END LOOP;
         END $together$",
        roles.join(", "),
        sql::literal(statement),
    )
}
