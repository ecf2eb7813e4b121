//! The scheduler: takes no input. Woken or on a tick, it reads what is due from the store and
//! converges: first orders, orders again, deadlines, lapses. It never sleeps long, so a clock that
//! jumps is noticed within a second.

use std::{collections::BTreeSet, time::Duration};

use ebbgate_broker_ports::{
    StoreError,
    store::{RequestQuery, Versioned},
};
use ebbgate_domain::{
    audit::Actor,
    grant::Grant,
    request::{AccessRequest, Loss},
};
use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use crate::{AppError, Broker, walk::Failures};

/// The longest sleep.
const TICK: Duration = Duration::from_secs(1);
/// How many due grants are read at once.
const BATCH: u32 = 256;
/// How many are worked on at once. The store decides in which order they commit.
const AT_ONCE: usize = 16;

impl Broker {
    /// Runs until `stop`; what is begun then is finished.
    pub async fn run_scheduler(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.do_due().await;
            let pause = self.pause().await;
            // Only the waiting can be cut short here, never work on the store.
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.scheduler.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn pause(&self) -> Duration {
        let now = self.now();
        match self.store().next_due(now).await {
            Ok(Some(due)) => {
                Duration::try_from(due.duration_since(now)).unwrap_or_default().min(TICK)
            }
            Ok(None) => TICK,
            Err(error) => {
                log(&error, "cannot read when something is due");
                TICK
            }
        }
    }

    /// Does everything that is due now, earliest first. Called at start before anything else.
    pub async fn do_due(&self) {
        self.lapse_requests().await;
        // One that fails now is left for the next tick, so that it never makes this loop spin.
        let mut seen = BTreeSet::new();
        loop {
            let ready = self.ports.placement.ready();
            let due = match self.store().due_grants(self.now(), &ready, BATCH).await {
                Ok(due) => due,
                Err(error) => return log(&error, "cannot read what is due"),
            };
            let fresh: Vec<_> = due
                .into_iter()
                .filter(|grant| seen.insert((grant.value.id, grant.version)))
                .collect();
            if fresh.is_empty() {
                return;
            }
            stream::iter(fresh)
                .for_each_concurrent(AT_ONCE, |grant| async move {
                    let id = grant.value.id;
                    if let Err(error) = self.advance_grant(grant).await {
                        tracing::error!(grant.id = %id, error = ebbgate_broker_ports::chain(&error), "cannot advance a grant");
                    }
                })
                .await;
        }
    }

    async fn advance_grant(&self, grant: Versioned<Grant>) -> Result<(), StoreError> {
        let now = self.now();
        let Some(transition) = grant.value.advance(now) else {
            return Ok(());
        };
        let draft = self.draft_grant(grant.version, transition, now).await?;
        match self.commit(draft).await {
            // Somebody else was faster; what is still due is read again.
            Err(StoreError::Conflict) => Ok(()),
            other => other,
        }
    }

    async fn lapse_requests(&self) {
        let due = match self.store().due_requests(self.now(), BATCH).await {
            Ok(due) => due,
            Err(error) => return log(&error, "cannot read which requests lapse"),
        };
        for request in due {
            if let Err(error) = self.advance_request(request).await {
                log(&error, "cannot let a request lapse");
            }
        }
    }

    async fn advance_request(&self, request: Versioned<AccessRequest>) -> Result<(), StoreError> {
        let now = self.now();
        let snapshot = self.snapshot();
        let substitutes = self.substitutes(now).await?;
        let people = snapshot.people(&substitutes, now);
        let Some(transition) = request.value.advance(&snapshot.policies, &people) else {
            return Ok(());
        };
        let draft = self.draft_request(request.version, transition, now).await?;
        match self.commit(draft).await {
            Err(StoreError::Conflict) => Ok(()),
            other => other,
        }
    }

    /// Lets changed settings take effect on what is under way (I10): of people who are gone, who
    /// are not among the flow's requesters any more, or whose flow was removed, requests that have
    /// not begun are cancelled and grants revoked, where the flow does not keep them. One that fails
    /// does not keep the others from it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn settle_leavers(&self) -> Result<(), AppError> {
        let (mut before, mut failures) = (None, Failures::default());
        loop {
            let query =
                RequestQuery { open: true, before, limit: BATCH, ..RequestQuery::default() };
            let page = self.store().requests(&query).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.value.id);
            for request in page {
                let id = request.value.id;
                failures.take(id, self.advance_request(request).await.map_err(Into::into));
            }
        }
        let snapshot = self.snapshot();
        let mut walk = self.live_grants(&[]);
        while let Some(page) = walk.next_page().await? {
            for grant in page {
                let (flow, person) = (&grant.flow, &grant.principal);
                if let Some(loss) = snapshot.policies.loss(flow, person, &snapshot.directory) {
                    failures.take(grant.id, self.revoke_lost(&grant, loss).await);
                }
            }
        }
        failures.first()
    }

    /// Tells the meter which grants are stuck; at start, because it remembers nothing.
    ///
    /// # Errors
    /// The store failed.
    pub async fn count_stuck(&self) -> Result<(), AppError> {
        let mut walk = self.live_grants(&[]);
        while let Some(page) = walk.next_page().await? {
            for grant in page.iter().filter(|grant| grant.is_stuck()) {
                self.ports.meter.stuck(grant);
            }
        }
        Ok(())
    }

    async fn revoke_lost(&self, grant: &Grant, loss: Loss) -> Result<(), AppError> {
        let request = self.store().request(grant.request).await?;
        if request.is_some_and(|request| !request.value.ends_by(loss)) {
            return Ok(());
        }
        self.retry(|| async {
            let Some(current) = self.store().grant(grant.id).await? else {
                return Ok(());
            };
            let now = self.now();
            // One that is ending already needs no other end.
            let Ok(transition) = current.value.revoke(loss.reason(), &Actor::Broker, now) else {
                return Ok(());
            };
            let draft = self.draft_grant(current.version, transition, now).await?;
            Ok(self.commit(draft).await?)
        })
        .await
    }
}

fn log(error: &StoreError, what: &str) {
    tracing::error!(error = ebbgate_broker_ports::chain(error), "{what}");
}
