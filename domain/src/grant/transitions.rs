//! What happens to a grant: each function gives the next state with its orders and audit events,
//! or refuses.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    ANSWER_PATIENCE, Attempts, Grant, GrantState, PROVISION_PATIENCE, RevokeReason, STUCK_AFTER,
    state::plus, warning,
};
use crate::{
    audit::{Action, Actor, AuditEvent},
    names::PrincipalId,
    notice::Notice,
    order::{EndCause, Finding, Provisioned},
    refusal::Refusal,
    transition::{Effect, Transition},
};

impl Grant {
    /// Does what is due: sends the first order, sends an unanswered or failed one again, warns that
    /// the end is near, or begins the teardown at the deadline. Nothing where nothing is due.
    pub fn advance(&self, now: Timestamp) -> Option<Transition<Self>> {
        if self.due_at().is_none_or(|due| due > now) {
            return None;
        }
        match &self.state {
            GrantState::Planned => Some(self.first_order(now)),
            GrantState::Provisioning(_) | GrantState::Active if self.is_past_deadline(now) => {
                Some(self.begin_teardown(RevokeReason::Expired, &Actor::Broker, now))
            }
            GrantState::Provisioning(attempts) => {
                Some(self.order_again(GrantState::Provisioning(attempts.again(now))))
            }
            GrantState::Revoking { reason, attempts } => {
                Some(self.order_again(GrantState::Revoking {
                    reason: reason.clone(),
                    attempts: attempts.again(now),
                }))
            }
            GrantState::Active => match &self.extending {
                _ if self.warn_at.is_some_and(|due| due <= now) => Some(self.warn(now)),
                Some(extending) => Some(self.extend_again(extending, now)),
                None => None,
            },
            GrantState::Revoked { .. } | GrantState::Failed { .. } => None,
        }
    }

    pub(super) fn is_past_deadline(&self, now: Timestamp) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    fn first_order(&self, now: Timestamp) -> Transition<Self> {
        let deadline = self.duration.after(now);
        let next = Self {
            deadline: Some(deadline),
            warn_at: warning::at(deadline, self.duration, self.warn, now),
            seq: self.seq + 1,
            state: GrantState::Provisioning(Attempts::first(now)),
            ..self.clone()
        };
        let event = self
            .event(Action::GrantProvisioning, Actor::Broker, now)
            .detail("deadline", deadline.to_string())
            .detail("resource", self.resource.to_string())
            .detail("permission", self.permission.to_string())
            .detail("seq", next.seq);
        next.ordered().record(event)
    }

    pub(super) fn order_again(&self, state: GrantState) -> Transition<Self> {
        Self { seq: self.seq + 1, state, ..self.clone() }.ordered()
    }

    fn ordered(self) -> Transition<Self> {
        let order = self.standing_order();
        let transition = Transition::to(self);
        match order {
            Some(order) => transition.with(Effect::Send(order)),
            None => transition,
        }
    }

    fn begin_teardown(
        &self,
        reason: RevokeReason,
        actor: &Actor,
        now: Timestamp,
    ) -> Transition<Self> {
        let event = self
            .event(Action::GrantRevoking, actor.clone(), now)
            .detail("reason", reason.as_str())
            .detail("seq", self.seq + 1);
        let event = match &reason {
            RevokeReason::Revoked { comment, .. } => event.detail("comment", comment.as_str()),
            RevokeReason::ProvisionFailed { error } => event.detail("error", error.as_str()),
            _ => event,
        };
        let next = Self { in_flight_until: self.unanswered_until(now), ..self.clone() };
        next.order_again(GrantState::Revoking { reason, attempts: Attempts::first(now) })
            .record(event)
    }

    /// Until when an order to give it may be under way that nobody has answered.
    fn unanswered_until(&self, now: Timestamp) -> Option<Timestamp> {
        let attempts = match (&self.state, &self.extending) {
            (GrantState::Provisioning(attempts), _) => attempts,
            (GrantState::Active, Some(extending)) => &extending.attempts,
            _ => return None,
        };
        // Where the last one was answered, and failed, the next try may be further off.
        Some(attempts.next_at.min(plus(now, ANSWER_PATIENCE))).filter(|until| *until > now)
    }

    /// The connector says that the target has the permission.
    ///
    /// # Errors
    /// [`Refusal::StaleOrder`] where a newer order exists; nothing changes then.
    pub fn provisioned(
        &self,
        seq: u64,
        told: &Provisioned,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Transition<Self>, Refusal> {
        if self.extension_answered(seq)?.is_some() {
            return Ok(self.extended(seq, actor, now));
        }
        let GrantState::Provisioning(_) = self.state else {
            return Err(self.stale(seq));
        };
        self.check_seq(seq)?;
        let recording = self.recorded.then(|| {
            let told = told.recording.clone();
            told.unwrap_or_else(|| "its place did not tell whether anything is recorded".to_owned())
        });
        let event = self.event(Action::GrantActive, actor, now).detail("seq", seq);
        let event = match &recording {
            Some(recording) => event.detail("recording", recording.as_str()),
            None => event,
        };
        let next =
            Self { active_since: Some(now), state: GrantState::Active, recording, ..self.clone() };
        let notice = self
            .notice("grant.active", format!("{} on {} is active", self.permission, self.resource));
        Ok(Transition::to(next).with(Effect::Notify(notice)).record(event))
    }

    /// The connector could not provision. What can pass by itself is tried again for two minutes;
    /// after that, or at once otherwise, what was begun is cleared away.
    ///
    /// # Errors
    /// [`Refusal::StaleOrder`] where a newer order exists; nothing changes then.
    pub fn provision_failed(
        &self,
        seq: u64,
        error: &str,
        may_pass: bool,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Transition<Self>, Refusal> {
        if let Some(extending) = self.extension_answered(seq)? {
            return Ok(self.extend_failed(extending, error, actor, now));
        }
        let GrantState::Provisioning(attempts) = &self.state else {
            return Err(self.stale(seq));
        };
        self.check_seq(seq)?;
        let event = self
            .event(Action::GrantProvisionFailed, actor.clone(), now)
            .detail("error", error)
            .detail("attempt", attempts.failed + 1);
        if may_pass && now < plus(attempts.since, PROVISION_PATIENCE) {
            let state = GrantState::Provisioning(attempts.fail(self.id, error, now));
            return Ok(Transition::to(Self { state, ..self.clone() }).record(event));
        }
        let reason = RevokeReason::ProvisionFailed { error: error.to_owned() };
        let mut transition = self.begin_teardown(reason, &actor, now);
        transition.events.insert(0, event);
        Ok(transition)
    }

    /// Ends the grant before its time.
    ///
    /// # Errors
    /// [`Refusal::GrantNotActive`] where it is ending or over already.
    pub fn revoke(
        &self,
        reason: RevokeReason,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Transition<Self>, Refusal> {
        match &self.state {
            // Nothing was ever sent, so there is nothing to tear down.
            GrantState::Planned => {
                let event = self
                    .event(Action::GrantRevoked, actor.clone(), now)
                    .detail("reason", reason.as_str())
                    .detail("finding", "nothing was ever sent to the target");
                let state = GrantState::Revoked { reason, at: now, finding: None };
                Ok(Transition::to(Self { state, ..self.clone() }).record(event))
            }
            GrantState::Provisioning(_) | GrantState::Active => {
                Ok(self.begin_teardown(reason, actor, now))
            }
            _ => Err(Refusal::GrantNotActive { state: self.state_name() }),
        }
    }

    /// The connector could not tear down. It is tried again, for ever; from the third time on
    /// people are told that it is stuck.
    ///
    /// # Errors
    /// [`Refusal::StaleOrder`] where a newer order exists; nothing changes then.
    pub fn teardown_failed(
        &self,
        seq: u64,
        error: &str,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Transition<Self>, Refusal> {
        let GrantState::Revoking { reason, attempts } = &self.state else {
            return Err(self.stale(seq));
        };
        self.check_seq(seq)?;
        let attempts = attempts.fail(self.id, error, now);
        let event = self
            .event(Action::GrantTeardownFailed, actor, now)
            .detail("error", error)
            .detail("attempt", attempts.failed)
            .detail("next_at", attempts.next_at.to_string());
        let stuck = attempts.failed == STUCK_AFTER;
        let state = GrantState::Revoking { reason: reason.clone(), attempts };
        let transition = Transition::to(Self { state, ..self.clone() }).record(event);
        if !stuck {
            return Ok(transition);
        }
        let text =
            format!("teardown of {} on {} is stuck: {error}", self.permission, self.resource);
        Ok(transition.with(Effect::Notify(self.notice("grant.teardown_stuck", text))))
    }

    /// The place that runs the connector has torn down and verified: by order, or by its own timer
    /// before the order came. Either way it is true, whatever number it bears: what is verified gone
    /// is never made again there for this grant. Where nobody had begun to end it, `cause` says why
    /// it ended.
    ///
    /// An agent that held the grant before says nothing of what its successor has made since: on its
    /// word the teardown begins where the grant is now, and only that one's look is the proof (I6).
    ///
    /// # Errors
    /// [`Refusal::StaleOrder`] where the grant is over already, nothing was ever sent, or its
    /// teardown is another agent's by now.
    pub fn torn_down(
        &self,
        seq: u64,
        finding: Finding,
        cause: EndCause,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Transition<Self>, Refusal> {
        let reason = match &self.state {
            GrantState::Provisioning(_) | GrantState::Active => RevokeReason::of(cause),
            GrantState::Revoking { reason, .. } => reason.clone(),
            _ => return Err(self.stale(seq)),
        };
        if self.has_moved_from(&actor) {
            return match self.state {
                GrantState::Revoking { .. } => Err(self.stale(seq)),
                _ => Ok(self.begin_teardown(reason, &actor, now)),
            };
        }
        let (action, end) = match &reason {
            RevokeReason::ProvisionFailed { error } => {
                ("failed", GrantState::Failed { error: error.clone(), at: now })
            }
            _ => (
                "revoked",
                GrantState::Revoked {
                    reason: reason.clone(),
                    at: now,
                    finding: Some(finding.clone()),
                },
            ),
        };
        let event = self
            .event(
                if action == "failed" { Action::GrantFailed } else { Action::GrantRevoked },
                actor,
                now,
            )
            .detail("reason", reason.as_str())
            .detail("finding", finding.summary.as_str())
            .detail("sessions_ended", finding.sessions_ended)
            .detail("checked_at", finding.checked_at.to_string())
            .detail("closed_at", finding.closed_at.to_string());
        let event = match self.deadline.filter(|_| reason == RevokeReason::Expired) {
            // By the deadline that the place knew: more time had not reached it.
            Some(deadline) if self.extending.is_some() && finding.closed_at < deadline => {
                event.detail("not_extended", true)
            }
            Some(deadline) => event
                .detail("late_ms", finding.closed_at.duration_since(deadline).as_millis() as i64),
            None => event,
        };
        let text =
            format!("{} on {} has ended ({})", self.permission, self.resource, reason.as_str());
        let notice = self.notice(&format!("grant.{action}"), text);
        Ok(Transition::to(Self { state: end, ..self.clone() })
            .with(Effect::Notify(notice))
            .record(event))
    }

    /// Notes, before the target is asked, that a credential is about to be handed out; where the
    /// target's credentials live on by themselves, until when (I1).
    ///
    /// # Errors
    /// [`Refusal::NotTheRequester`], [`Refusal::GrantExpired`] or [`Refusal::GrantNotActive`].
    pub fn credential_requested(
        &self,
        by: &PrincipalId,
        lives_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Transition<Self>, Refusal> {
        if *by != self.principal {
            return Err(Refusal::NotTheRequester);
        }
        let over = self.is_past_deadline(now)
            || matches!(
                &self.state,
                GrantState::Revoked { reason: RevokeReason::Expired, .. }
                    | GrantState::Revoking { reason: RevokeReason::Expired, .. }
            );
        if over {
            return Err(Refusal::GrantExpired);
        }
        if self.state != GrantState::Active {
            return Err(Refusal::GrantNotActive { state: self.state_name() });
        }
        let next = Self {
            seq: self.seq + 1,
            credentials_until: self.credentials_until.max(lives_until),
            ..self.clone()
        };
        let event = self
            .event(Action::CredentialRequested, Actor::Principal(by.clone()), now)
            .detail("seq", next.seq);
        Ok(Transition::to(next).record(event))
    }

    /// Whether `actor` is an agent, and not the one that has the grant now.
    fn has_moved_from(&self, actor: &Actor) -> bool {
        matches!((actor, &self.place), (Actor::Agent(agent), Some(place)) if agent != place)
    }

    pub(super) fn check_seq(&self, seq: u64) -> Result<(), Refusal> {
        if seq == self.seq { Ok(()) } else { Err(self.stale(seq)) }
    }

    fn stale(&self, got: u64) -> Refusal {
        Refusal::StaleOrder { got, current: self.seq }
    }

    /// An audit event about this grant.
    pub fn event(&self, action: Action, actor: Actor, at: Timestamp) -> AuditEvent {
        AuditEvent::new(action, actor, at).request(self.request).grant(self.id)
    }

    pub(super) fn notice(&self, event: &str, text: String) -> Notice {
        Notice {
            event: event.to_owned(),
            request: self.request,
            grant: Some(self.id),
            to: BTreeSet::from([self.principal.clone()]),
            channels: BTreeSet::new(),
            text,
            facts: Vec::new(),
        }
    }
}
