//! Deciding on requests, and withdrawing them.

use ebbgate_broker_ports::StoreError;
use ebbgate_domain::{
    Timestamp, Transition,
    approval::{Review, Verdict},
    ids::RequestId,
    refusal::Refusal,
    request::AccessRequest,
};

use crate::{AppError, Broker, Caller, ClientKey};

impl Broker {
    /// Somebody approves or denies a request.
    ///
    /// # Errors
    /// The rule that says no; the refusal is in the audit log.
    pub async fn review(
        &self,
        caller: &Caller,
        id: RequestId,
        verdict: Verdict,
        comment: Option<&str>,
        key: Option<&ClientKey>,
    ) -> Result<AccessRequest, AppError> {
        let snapshot = self.snapshot();
        self.change_request(caller, id, "review", key, |request, now| {
            let comment = comment.map(ToOwned::to_owned);
            let review = Review::new(caller.id.clone(), verdict, comment, now);
            request.review(review, &snapshot.people(&[], now))
        })
        .await
    }

    /// The requester withdraws a request that is not decided yet, or whose access has not begun.
    ///
    /// # Errors
    /// The rule that says no; the refusal is in the audit log.
    pub async fn cancel(
        &self,
        caller: &Caller,
        id: RequestId,
        key: Option<&ClientKey>,
    ) -> Result<AccessRequest, AppError> {
        self.change_request(caller, id, "cancel", key, |request, now| {
            request.cancel(&caller.id, now)
        })
        .await
    }

    pub(crate) async fn change_request(
        &self,
        caller: &Caller,
        id: RequestId,
        what: &str,
        key: Option<&ClientKey>,
        decide: impl Fn(&AccessRequest, Timestamp) -> Result<Transition<AccessRequest>, Refusal>,
    ) -> Result<AccessRequest, AppError> {
        let attempt = || async {
            // Not only those who may see it: who has a link but no say is told just that.
            let found = self.store().request(id).await?;
            let current = found.ok_or_else(|| AppError::not_found("request", id))?;
            if self.replay(caller, key).await?.is_some() {
                return Ok(current.value);
            }
            let now = self.now();
            let transition = decide(&current.value, now)?;
            let next = transition.state.clone();
            let mut draft = self.draft_request(current.version, transition, now).await?;
            draft.key(caller, key, id, now);
            match self.commit(draft).await {
                // Two calls with one key at the same instant: look again.
                Err(StoreError::KeyUsed) => Err(StoreError::Conflict.into()),
                other => Ok(other.map(|()| next)?),
            }
        };
        match self.retry(attempt).await {
            Err(AppError::Refused(refusal)) => {
                Err(self.refused(caller, refusal, what, Some(id)).await)
            }
            other => other,
        }
    }
}
