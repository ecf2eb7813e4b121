//! Deciding on requests, and withdrawing them.

use ebbgate_broker_ports::StoreError;
use ebbgate_domain::{
    Transition,
    approval::{Review, Verdict},
    ids::RequestId,
    people::People,
    refusal::Refusal,
    request::AccessRequest,
};

use crate::{AppError, Broker, Caller, ClientKey, submit::Refused};

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
        self.change_request(caller, id, "review", key, |request, people| {
            let comment = comment.map(ToOwned::to_owned);
            let review = Review::new(caller.id.clone(), verdict, comment, people.now);
            request.review(review, people)
        })
        .await
    }

    /// Somebody says that they are looking at a request, so that its escalation waits for them.
    ///
    /// # Errors
    /// The rule that says no; the refusal is in the audit log.
    pub async fn claim_request(
        &self,
        caller: &Caller,
        id: RequestId,
        key: Option<&ClientKey>,
    ) -> Result<AccessRequest, AppError> {
        self.change_request(caller, id, "claim", key, |request, people| {
            request.claim(&caller.id, people)
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
        self.change_request(caller, id, "cancel", key, |request, people| {
            request.cancel(&caller.id, people.now)
        })
        .await
    }

    pub(crate) async fn change_request(
        &self,
        caller: &Caller,
        id: RequestId,
        what: &str,
        key: Option<&ClientKey>,
        decide: impl Fn(&AccessRequest, &People<'_>) -> Result<Transition<AccessRequest>, Refusal>,
    ) -> Result<AccessRequest, AppError> {
        let attempt = || async {
            // Not only those who may see it: who has a link but no say is told just that.
            let found = self.store().request(id).await?;
            let current = found.ok_or_else(|| AppError::not_found("request", id))?;
            if self.replay(caller, key).await?.is_some() {
                return Ok(current.value);
            }
            let (now, snapshot) = (self.now(), self.snapshot());
            let substitutes = self.substitutes(now).await?;
            let people = snapshot.people(&substitutes, now);
            let transition = decide(&current.value, &people)?;
            let (policies, inventory) = (&snapshot.policies, &snapshot.inventory);
            policies.guard(Some(&current.value), &transition, &people, inventory)?;
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
                let flow = self.store().request(id).await?.map(|found| found.value.flow.name);
                let refused = Refused { what, request: Some(id), flow };
                Err(self.refused(caller, refusal, refused).await)
            }
            other => other,
        }
    }
}
