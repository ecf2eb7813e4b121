//! The scheduler: takes no input. Woken or on a tick, it reads what is due from the store and
//! converges: first orders, orders again, deadlines, lapses. It never sleeps long, so a clock that
//! jumps is noticed within a second.

use std::{collections::BTreeSet, time::Duration};

use ebbgate_broker_ports::{StoreError, store::Versioned};
use ebbgate_domain::{
    audit::Actor,
    grant::{Grant, GrantState},
    request::AccessRequest,
};
use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{AppError, Broker};

/// The longest sleep.
const TICK: Duration = Duration::from_secs(1);
/// How often it is looked what nobody needs any more.
const PURGE: Duration = Duration::from_secs(3_600);
/// How many due grants are read at once.
const BATCH: u32 = 256;
/// How many are worked on at once. The store decides in which order they commit.
const AT_ONCE: usize = 16;

impl Broker {
    /// Runs until `stop`; what is begun then is finished.
    pub async fn run_scheduler(&self, stop: CancellationToken) {
        let mut purge_at = Instant::now();
        while !stop.is_cancelled() {
            self.do_due().await;
            if purge_at <= Instant::now() {
                let pause = if self.purge_some().await { TICK } else { PURGE };
                purge_at = Instant::now() + pause;
            }
            let pause = self.pause().await;
            // Only the waiting can be cut short here, never work on the store.
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.scheduler.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Whether it should be gone on with soon.
    async fn purge_some(&self) -> bool {
        self.purge().await.unwrap_or_else(|error| {
            let error = ebbgate_broker_ports::chain(&error);
            tracing::error!(error, "cannot remove what nobody needs any more; it is tried again");
            false
        })
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
        self.keep_up_with_flows().await;
        self.settle_again().await;
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
        let planned = grant.value.state == GrantState::Planned;
        let transition = match self.lost(&grant.value).filter(|_| planned) {
            // Approved while the settings changed: whoever looked for leavers could not see it yet.
            Some(loss) => grant.value.revoke(loss.reason(), &Actor::Broker, now).ok(),
            None => grant.value.advance(now),
        };
        let Some(transition) = transition else { return Ok(()) };
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

    pub(crate) async fn advance_request(
        &self,
        request: Versioned<AccessRequest>,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let snapshot = self.snapshot();
        let substitutes = self.substitutes(now).await?;
        let people = snapshot.people(&substitutes, now);
        let Some(transition) = request.value.advance(&snapshot.policies, &people) else {
            return Ok(());
        };
        let (policies, inventory) = (&snapshot.policies, &snapshot.inventory);
        let transition = policies.guarded(&request.value, transition, &people, inventory);
        let draft = self.draft_request(request.version, transition, now).await?;
        match self.commit(draft).await {
            Err(StoreError::Conflict) => Ok(()),
            other => other,
        }
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
}

fn log(error: &StoreError, what: &str) {
    tracing::error!(error = ebbgate_broker_ports::chain(error), "{what}");
}
