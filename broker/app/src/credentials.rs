//! Handing out what a person logs in with. The intent is on record before the target is asked;
//! the secret itself never is (I8).

use ebbgate_connector_api::{Credential, CredentialWish};
use ebbgate_domain::{
    audit::{Action, Actor},
    grant::{Grant, GrantState},
    ids::GrantId,
};

use crate::{AppError, Broker, Caller, ClientKey, draft::Draft};

/// A credential and the grant it is for.
#[derive(Debug)]
pub struct IssuedCredential {
    /// The grant.
    pub grant: Grant,
    /// What the person logs in with.
    pub credential: Credential,
}

impl Broker {
    /// Hands out, or registers, a credential for the caller's own active grant.
    ///
    /// # Errors
    /// Somebody else's grant, not active, over; or the target could not be reached.
    pub async fn credential(
        &self,
        caller: &Caller,
        id: GrantId,
        wish: CredentialWish,
        key: Option<&ClientKey>,
    ) -> Result<IssuedCredential, AppError> {
        self.follow_agents(caller, id).await?;
        let grant = match self.retry(|| self.request_credential(caller, id, key)).await {
            Err(AppError::Refused(refusal)) => {
                return Err(self.refused(caller, refusal, "credential".into()).await);
            }
            other => other?,
        };
        let spec = grant.spec().ok_or_else(|| AppError::not_found("grant", id))?;
        let answer = {
            let place = grant.place.as_ref();
            self.ports.placement.credential(&spec, place, grant.seq, wish, self.now()).await
        };
        let actor = Actor::Principal(caller.id.clone());
        let now = self.now();
        let event = match &answer {
            Ok(Credential::Login { user }) => {
                grant.event(Action::CredentialIssued, actor, now).detail("user", user.as_str())
            }
            Ok(Credential::Aws(aws)) => grant
                .event(Action::CredentialIssued, actor, now)
                .detail("access_key_id", aws.access_key_id.as_str())
                .detail("expires_at", aws.expires_at.to_string()),
            Err(error) => {
                grant.event(Action::CredentialFailed, actor, now).detail("error", error.chain())
            }
        };
        let mut draft = Draft::default();
        draft.change.events.push(event.detail("seq", grant.seq));
        // What was handed out must be on record before its holder has it.
        self.commit(draft).await?;
        Ok(IssuedCredential { credential: answer.map_err(AppError::Connector)?, grant })
    }

    /// Lets another agent take over a grant whose own is away, so that its principal can go on. What
    /// is asked of that one next waits there until it has the grant.
    async fn follow_agents(&self, caller: &Caller, id: GrantId) -> Result<(), AppError> {
        let grant = self.visible_grant(caller, id).await?.value;
        if grant.principal != caller.id || grant.state != GrantState::Active {
            return Ok(());
        }
        if let Some(agent) = self.hand_over(id).await? {
            tracing::info!(grant.id = %id, agent.name = %agent, "an agent takes over for one that is away");
        }
        Ok(())
    }

    async fn request_credential(
        &self,
        caller: &Caller,
        id: GrantId,
        key: Option<&ClientKey>,
    ) -> Result<Grant, AppError> {
        let current = self.visible_grant(caller, id).await?;
        if self.replay(caller, key).await?.is_some() {
            return Err(AppError::KeySpent);
        }
        let now = self.now();
        let lives_until = current
            .value
            .spec()
            .and_then(|spec| self.ports.placement.credential_lifetime_seconds(&spec, now))
            .and_then(|seconds| {
                now.checked_add(jiff::SignedDuration::from_secs(i64::from(seconds))).ok()
            });
        let transition = current.value.credential_requested(&caller.id, lives_until, now)?;
        let grant = transition.state.clone();
        let mut draft = Draft::default();
        draft.grant(self, current.version, transition, now);
        draft.key(caller, key, id, now);
        self.commit(draft).await?;
        Ok(grant)
    }
}
