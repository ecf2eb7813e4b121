//! What became of orders: from the place that runs the connector back into the grant's state.

use ebbgate_broker_ports::{Outcome, StoreError};
use ebbgate_connector_api::crash;
use ebbgate_domain::{
    Timestamp, Transition,
    audit::{Action, Actor, AuditEvent},
    grant::Grant,
    ids::GrantId,
    names::IntegrationName,
    order::Finding,
    refusal::Refusal,
};

use crate::{AppError, Broker, draft::Draft};

impl Broker {
    /// Takes up an outcome. One that is stale, or of a grant that is not believed, changes nothing but
    /// is in the audit log; either way it is on record when this returns, and its sender may forget
    /// it.
    ///
    /// # Errors
    /// The store failed: the sender keeps the outcome and tells it again.
    pub async fn record_outcome(
        &self,
        id: GrantId,
        seq: u64,
        outcome: Outcome,
        actor: Actor,
        now: Timestamp,
    ) -> Result<(), AppError> {
        crash::point(outcome_point(&outcome, "after_effect"));
        match self.retry(|| self.try_outcome(id, seq, &outcome, &actor, now)).await {
            // Its agent has others to speak of.
            Err(AppError::Store(error @ StoreError::NotBelieved { .. })) => {
                self.note_not_believed(id, &error, &outcome, actor, now).await?;
            }
            other => other?,
        }
        crash::point(outcome_point(&outcome, "after_record"));
        Ok(())
    }

    async fn try_outcome(
        &self,
        id: GrantId,
        seq: u64,
        outcome: &Outcome,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(), AppError> {
        let Some(current) = self.store().grant(id).await? else {
            tracing::warn!(grant.id = %id, "an outcome for a grant that is not on record");
            return Ok(());
        };
        match next(&current.value, seq, outcome, actor, now) {
            Ok(transition) => {
                let grant = transition.state.clone();
                let draft = self.draft_grant(current.version, transition, now).await?;
                self.commit(draft).await?;
                self.count(&current.value, &grant, outcome, now);
                if grant.is_over() {
                    self.ports.placement.over(&grant);
                }
                // What failed is due again soon: the scheduler should know.
                self.wake();
                Ok(())
            }
            Err(refusal) => {
                Ok(self.note_stale(&current.value, &refusal, outcome, actor, now).await?)
            }
        }
    }

    /// An outcome that changes nothing. Told twice, it is no news; otherwise it is on record.
    async fn note_stale(
        &self,
        grant: &Grant,
        refusal: &Refusal,
        outcome: &Outcome,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let no_news = match outcome {
            Outcome::Provisioned(_) => grant.active_since.is_some(),
            Outcome::TornDown { .. } => grant.is_over(),
            // A former place ends its own copy too, and may fail at it for as long as it likes.
            Outcome::TeardownFailed { .. } => is_former_place(grant, actor),
            _ => false,
        };
        if no_news {
            return Ok(());
        }
        let mut event = grant
            .event(Action::GrantStaleOrder, actor.clone(), now)
            .detail("code", refusal.code())
            .detail("message", refusal.to_string());
        if let Outcome::Stale { newest } = outcome {
            event = event.detail("newest_seen", *newest);
        }
        let mut draft = Draft::default();
        draft.change.events.push(event);
        self.commit(draft).await
    }

    async fn note_not_believed(
        &self,
        id: GrantId,
        error: &StoreError,
        outcome: &Outcome,
        actor: Actor,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let event = AuditEvent::new(Action::GrantStaleOrder, actor, now)
            .grant(id)
            .detail("code", "record_not_believed")
            .detail("message", ebbgate_broker_ports::chain(error));
        let event = match outcome {
            Outcome::TornDown { finding, .. } => event
                .detail("finding", finding.summary.as_str())
                .detail("checked_at", finding.checked_at.to_string()),
            _ => event,
        };
        let mut draft = Draft::default();
        draft.change.events.push(event);
        self.commit(draft).await
    }

    fn count(&self, before: &Grant, grant: &Grant, outcome: &Outcome, now: Timestamp) {
        match outcome {
            // Its later deadline is known: it has been active all the time.
            Outcome::Provisioned(_) if before.active_since.is_some() => {}
            Outcome::Provisioned(_) => self.ports.meter.activated(grant, now),
            // On the word of an agent that held it before, its end has only begun.
            Outcome::TornDown { finding, .. } if grant.is_over() => {
                self.ports.meter.torn_down(grant, finding);
            }
            Outcome::TornDown { .. } => {}
            Outcome::TeardownFailed { .. } => self.ports.meter.teardown_failed(grant),
            Outcome::ProvisionFailed { .. } | Outcome::Stale { .. } => {}
        }
    }

    /// Whether a grant is on one of these integrations: an agent speaks for its own alone. One that
    /// is not on record is on none; where one that is not believed is, nobody can say.
    ///
    /// # Errors
    /// The store failed.
    pub async fn is_on(
        &self,
        id: GrantId,
        integrations: &[IntegrationName],
    ) -> Result<bool, AppError> {
        match self.store().grant(id).await {
            Ok(grant) => {
                Ok(grant.is_some_and(|grant| integrations.contains(&grant.value.integration)))
            }
            Err(StoreError::NotBelieved { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// An agent found something with our mark that belongs to no grant it or the broker knows, and
    /// removed it (I7).
    ///
    /// # Errors
    /// The store failed.
    pub async fn record_orphan(
        &self,
        integration: &IntegrationName,
        grant: GrantId,
        finding: &Finding,
        actor: Actor,
    ) -> Result<(), AppError> {
        let event = AuditEvent::new(Action::AgentOrphanRemoved, actor, self.now())
            .grant(grant)
            .detail("integration", integration.to_string())
            .detail("finding", finding.summary.as_str());
        let mut draft = Draft::default();
        draft.change.events.push(event);
        Ok(self.commit(draft).await?)
    }
}

/// Whether the grant has been given to another agent since.
fn is_former_place(grant: &Grant, actor: &Actor) -> bool {
    matches!((actor, &grant.place), (Actor::Agent(agent), Some(place)) if agent != place)
}

fn next(
    grant: &Grant,
    seq: u64,
    outcome: &Outcome,
    actor: &Actor,
    now: Timestamp,
) -> Result<Transition<Grant>, Refusal> {
    let actor = actor.clone();
    match outcome {
        Outcome::Provisioned(told) => grant.provisioned(seq, told, actor, now),
        Outcome::ProvisionFailed { error, may_pass } => {
            grant.provision_failed(seq, error, *may_pass, actor, now)
        }
        Outcome::TornDown { finding, cause } => {
            grant.torn_down(seq, finding.clone(), *cause, actor, now)
        }
        Outcome::TeardownFailed { error } => grant.teardown_failed(seq, error, actor, now),
        Outcome::Stale { .. } => Err(Refusal::StaleOrder { got: seq, current: grant.seq }),
    }
}

fn outcome_point(outcome: &Outcome, step: &str) -> &'static str {
    match (outcome, step) {
        (Outcome::Provisioned(_), "after_effect") => "broker.provision.after_effect",
        (Outcome::Provisioned(_), _) => "broker.provision.after_record",
        (Outcome::TornDown { .. }, "after_effect") => "broker.revoke.after_effect",
        (Outcome::TornDown { .. }, _) => "broker.revoke.after_record",
        _ => "none",
    }
}
