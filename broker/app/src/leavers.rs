//! People who leave: what is under way for them ends as soon as the settings say so (I10).

use ebbgate_broker_ports::store::RequestQuery;
use ebbgate_domain::{Timestamp, audit::Actor, grant::Grant, request::Loss};
use jiff::SignedDuration;
use tokio::sync::Mutex;

use crate::{AppError, Broker, walk::Failures};

/// How many requests are read at once.
const BATCH: u32 = 256;
/// The longest pause before it is tried again.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// Whether changed settings did not take effect on all that is under way.
pub(crate) type Unsettled = Mutex<Option<Again>>;

/// When they are tried again.
#[derive(Debug)]
pub(crate) struct Again {
    next: Timestamp,
    failures: u32,
}

impl Again {
    /// A time that is further off than any pause is one of a clock that was put back.
    fn is_due(&self, now: Timestamp) -> bool {
        self.next <= now || self.next.duration_since(now) > LONGEST_PAUSE
    }
}

impl Broker {
    /// Lets changed settings take effect on what is under way (I10): of people who are gone, who
    /// are not among the flow's requesters any more, or whose flow was removed, requests that have
    /// not begun are cancelled and grants revoked, where the flow does not keep them. One that fails
    /// does not keep the others from it, and is tried again with the scheduler's next tick.
    ///
    /// # Errors
    /// The store failed.
    pub async fn settle_leavers(&self) -> Result<(), AppError> {
        let settled = self.try_settle().await;
        if settled.is_err() {
            let again = Again { next: self.now(), failures: 0 };
            self.unsettled.lock().await.get_or_insert(again);
        }
        settled
    }

    /// Tries again what failed when settings changed.
    pub(crate) async fn settle_again(&self) {
        let now = self.now();
        let due = |again: &mut Again| again.is_due(now);
        let Some(Again { failures, .. }) = self.unsettled.lock().await.take_if(due) else { return };
        let Err(error) = self.try_settle().await else {
            tracing::info!("changed settings have taken effect on all that is under way");
            return;
        };
        let pause = SignedDuration::from_secs(1_i64 << failures.min(6)).min(LONGEST_PAUSE);
        tracing::error!(
            error = ebbgate_broker_ports::chain(&error),
            again_in_seconds = pause.as_secs(),
            "changed settings have not taken effect on all that is under way"
        );
        let next = now.saturating_add(pause).unwrap_or(now);
        *self.unsettled.lock().await = Some(Again { next, failures: failures + 1 });
    }

    /// Why this grant's principal may not have it any more, where that is so.
    pub(crate) fn lost(&self, grant: &Grant) -> Option<Loss> {
        let snapshot = self.snapshot();
        snapshot.policies.loss(&grant.flow, &grant.principal, &snapshot.directory)
    }

    async fn try_settle(&self) -> Result<(), AppError> {
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
        let mut walk = self.live_grants(&[]);
        while let Some(page) = walk.next_page().await? {
            for grant in page {
                if let Some(loss) = self.lost(&grant) {
                    failures.take(grant.id, self.revoke_lost(&grant, loss).await);
                }
            }
        }
        failures.first()
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
