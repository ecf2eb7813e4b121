//! Looking at grants, and ending them early.

use ebbgate_broker_ports::{
    StoreError,
    store::{GrantQuery, Versioned},
};
use ebbgate_domain::{
    audit::Actor,
    grant::{Grant, RevokeReason},
    ids::GrantId,
    refusal::Refusal,
};

use crate::{AppError, Broker, Caller, ClientKey};

impl Broker {
    /// One grant.
    ///
    /// # Errors
    /// There is none, or none for this caller.
    pub async fn grant(&self, caller: &Caller, id: GrantId) -> Result<Grant, AppError> {
        Ok(self.visible_grant(caller, id).await?.value)
    }

    /// The caller's grants, or everybody's for those who may read everything.
    ///
    /// # Errors
    /// The caller may not, or the store failed.
    pub async fn grants(
        &self,
        caller: &Caller,
        everyone: bool,
        mut query: GrantQuery,
    ) -> Result<Vec<Grant>, AppError> {
        if everyone && !caller.auditor {
            return Err(AppError::Forbidden { role: "auditor" });
        }
        query.principal = (!everyone).then(|| caller.id.clone());
        Ok(self.store().grants(&query).await?.into_iter().map(|grant| grant.value).collect())
    }

    /// Its principal gives a grant back.
    ///
    /// # Errors
    /// Somebody else's grant, or it is ending already.
    pub async fn release(
        &self,
        caller: &Caller,
        id: GrantId,
        key: Option<&ClientKey>,
    ) -> Result<Grant, AppError> {
        self.end(caller, id, key, |grant| {
            if grant.principal == caller.id {
                Ok(RevokeReason::Released)
            } else {
                Err(Refusal::NotTheRequester)
            }
        })
        .await
    }

    /// An administrator takes a grant away.
    ///
    /// # Errors
    /// It is ending already, or there is no comment.
    pub async fn revoke(
        &self,
        caller: &Caller,
        id: GrantId,
        comment: &str,
        key: Option<&ClientKey>,
    ) -> Result<Grant, AppError> {
        if !caller.administrator {
            return Err(AppError::Forbidden { role: "administrator" });
        }
        if comment.trim().is_empty() {
            return Err(AppError::invalid("comment", "say why you take this access away"));
        }
        let reason = RevokeReason::Revoked { by: caller.id.clone(), comment: comment.to_owned() };
        self.end(caller, id, key, |_| Ok(reason.clone())).await
    }

    async fn end(
        &self,
        caller: &Caller,
        id: GrantId,
        key: Option<&ClientKey>,
        reason: impl Fn(&Grant) -> Result<RevokeReason, Refusal>,
    ) -> Result<Grant, AppError> {
        let actor = Actor::Principal(caller.id.clone());
        let attempt = || async {
            let current = self.visible_grant(caller, id).await?;
            if self.replay(caller, key).await?.is_some() {
                return Ok(current.value);
            }
            let now = self.now();
            let transition = current.value.revoke(reason(&current.value)?, &actor, now)?;
            let next = transition.state.clone();
            let mut draft = self.draft_grant(current.version, transition, now).await?;
            draft.key(caller, key, id, now);
            match self.commit(draft).await {
                Err(StoreError::KeyUsed) => Err(StoreError::Conflict.into()),
                other => Ok(other.map(|()| next)?),
            }
        };
        match self.retry(attempt).await {
            Err(AppError::Refused(refusal)) => {
                Err(self.refused(caller, refusal, "end grant".into()).await)
            }
            other => other,
        }
    }

    pub(crate) async fn visible_grant(
        &self,
        caller: &Caller,
        id: GrantId,
    ) -> Result<Versioned<Grant>, AppError> {
        self.store()
            .grant(id)
            .await?
            .filter(|found| caller.auditor || found.value.principal == caller.id)
            .ok_or_else(|| AppError::not_found("grant", id))
    }
}
