//! A grant's life: one resource, one permission, one principal, one deadline.
//!
//! ```text
//! planned -> provisioning -> active -> revoking -> revoked
//!                \-> revoking (what was begun is cleared away) -> failed
//! ```
//!
//! Teardown is never given up: a failed attempt backs off and is tried again for ever.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    audit::{Action, Actor, AuditEvent},
    duration::AccessDuration,
    ids::{GrantId, RequestId},
    inventory::{Resource, ResourceKind},
    names::{FlowName, IntegrationName, PermissionName, PrincipalId, ResourceId},
    notice::Notice,
    order::{Finding, GrantSpec, Order, OrderAction},
    refusal::Refusal,
    transition::{Effect, Transition},
};

/// For how long a target that cannot be reached is tried before provisioning is given up.
pub const PROVISION_PATIENCE: SignedDuration = SignedDuration::from_secs(120);
/// The longest pause between two attempts.
pub const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(300);
/// A dispatched order that was not answered within this time is sent again.
pub const ANSWER_PATIENCE: SignedDuration = SignedDuration::from_secs(30);
/// From so many failed attempts on a teardown counts as stuck, and says so.
pub const STUCK_AFTER: u32 = 3;

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its name, chosen when the request was made.
    pub id: GrantId,
    /// The request it came from.
    pub request: RequestId,
    /// Who gets it.
    pub principal: PrincipalId,
    /// Where.
    pub integration: IntegrationName,
    /// On what.
    pub resource: ResourceId,
    /// What that is.
    pub kind: ResourceKind,
    /// What the target calls it.
    pub native: String,
    /// Which level of access.
    pub permission: PermissionName,
    /// Through which flow.
    pub flow: FlowName,
    /// The ticket.
    pub ticket: Option<String>,
    /// For how long, from the order to provision on.
    pub duration: AccessDuration,
    /// When it was planned.
    pub planned_at: Timestamp,
    /// When it ends; set with the first order, so that the order can carry it.
    pub deadline: Option<Timestamp>,
    /// When it became active.
    pub active_since: Option<Timestamp>,
    /// The newest order's number (I5).
    pub seq: u64,
    /// Until when credentials that the target handed out stay valid by themselves.
    pub credentials_until: Option<Timestamp>,
    /// How it stands.
    pub state: GrantState,
}

/// How a grant stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum GrantState {
    /// Approved; nothing was sent yet.
    Planned,
    /// The order to provision is on record and may have been carried out.
    Provisioning(Attempts),
    /// The target has the permission.
    Active,
    /// The order to tear down is on record; it is tried until it is verified.
    Revoking {
        /// Why it ends.
        reason: RevokeReason,
        /// How often it was tried.
        attempts: Attempts,
    },
    /// Torn down and verified.
    Revoked {
        /// Why it ended.
        reason: RevokeReason,
        /// When.
        at: Timestamp,
        /// The proof; none where nothing ever was sent to the target.
        finding: Option<Finding>,
    },
    /// Never became active; what was begun is verified gone.
    Failed {
        /// What went wrong.
        error: String,
        /// When.
        at: Timestamp,
    },
}

/// How often an order was tried, and when it is tried next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// When the first order was sent.
    pub since: Timestamp,
    /// How many have failed.
    pub failed: u32,
    /// When to send it again.
    pub next_at: Timestamp,
    /// What the last one failed with.
    pub last_error: Option<String>,
}

/// Why a grant ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RevokeReason {
    /// Its deadline passed.
    Expired,
    /// Its principal gave it back early.
    Released,
    /// Somebody entitled took it away.
    Revoked {
        /// Who.
        by: PrincipalId,
        /// In their words.
        comment: String,
    },
    /// Its principal was disabled or removed (I10).
    RequesterLeft,
    /// It could not be provisioned; what was begun is cleared away.
    ProvisionFailed {
        /// What went wrong.
        error: String,
    },
}

impl RevokeReason {
    /// The reason in one word, as the API and the audit log show it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Released => "released",
            Self::Revoked { .. } => "revoked",
            Self::RequesterLeft => "requester-left",
            Self::ProvisionFailed { .. } => "failed",
        }
    }
}

impl Attempts {
    fn first(now: Timestamp) -> Self {
        Self { since: now, failed: 0, next_at: plus(now, ANSWER_PATIENCE), last_error: None }
    }

    /// One more failed: 1 s, 2 s, 4 s … up to five minutes. The spread comes from the grant's own
    /// id, so that grants that fail together are not tried together.
    fn fail(&self, id: GrantId, error: &str, now: Timestamp) -> Self {
        let failed = self.failed.saturating_add(1);
        let pause = SignedDuration::from_secs(1_i64 << (failed - 1).min(9)).min(LONGEST_PAUSE);
        let spread = id.to_string().bytes().fold(0_i32, |sum, b| (sum * 31 + i32::from(b)) % 256);
        let next_at = plus(now, pause + pause * spread / 1_024);
        Self { since: self.since, failed, next_at, last_error: Some(error.to_owned()) }
    }

    fn again(&self, now: Timestamp) -> Self {
        Self { next_at: plus(now, ANSWER_PATIENCE), ..self.clone() }
    }
}

fn plus(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// What is planned for one item of a request.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The grant's id, frozen with the request.
    pub id: GrantId,
    /// The request.
    pub request: RequestId,
    /// Who gets it.
    pub principal: &'a PrincipalId,
    /// On what.
    pub resource: &'a Resource,
    /// Which level of access.
    pub permission: &'a PermissionName,
    /// Through which flow.
    pub flow: &'a FlowName,
    /// The ticket.
    pub ticket: Option<&'a str>,
    /// For how long.
    pub duration: AccessDuration,
}

impl Grant {
    /// A new grant, to be provisioned as soon as its target's connector is there.
    pub fn plan(plan: Plan<'_>, now: Timestamp) -> Self {
        Self {
            id: plan.id,
            request: plan.request,
            principal: plan.principal.clone(),
            integration: plan.resource.integration.clone(),
            resource: plan.resource.id.clone(),
            kind: plan.resource.kind,
            native: plan.resource.native.clone(),
            permission: plan.permission.clone(),
            flow: plan.flow.clone(),
            ticket: plan.ticket.map(ToOwned::to_owned),
            duration: plan.duration,
            planned_at: now,
            deadline: None,
            active_since: None,
            seq: 0,
            credentials_until: None,
            state: GrantState::Planned,
        }
    }

    /// The state in one word.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            GrantState::Planned => "planned",
            GrantState::Provisioning(_) => "provisioning",
            GrantState::Active => "active",
            GrantState::Revoking { .. } => "revoking",
            GrantState::Revoked { .. } => "revoked",
            GrantState::Failed { .. } => "failed",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_over(&self) -> bool {
        matches!(self.state, GrantState::Revoked { .. } | GrantState::Failed { .. })
    }

    /// Whether its teardown has failed so often that somebody should look.
    pub fn is_stuck(&self) -> bool {
        matches!(&self.state, GrantState::Revoking { attempts, .. } if attempts.failed >= STUCK_AFTER)
    }

    /// When the broker must next do something for it; never for one that is over. A planned grant
    /// is due at once.
    pub fn due_at(&self) -> Option<Timestamp> {
        match &self.state {
            GrantState::Planned => Some(self.planned_at),
            GrantState::Provisioning(attempts) => {
                Some(self.deadline.map_or(attempts.next_at, |end| end.min(attempts.next_at)))
            }
            GrantState::Active => self.deadline,
            GrantState::Revoking { attempts, .. } => Some(attempts.next_at),
            GrantState::Revoked { .. } | GrantState::Failed { .. } => None,
        }
    }

    /// What a connector needs to know of it. Before the first order there is no deadline to tell.
    pub fn spec(&self) -> Option<GrantSpec> {
        Some(GrantSpec {
            grant: self.id,
            request: self.request,
            principal: self.principal.clone(),
            integration: self.integration.clone(),
            resource: self.resource.clone(),
            kind: self.kind,
            native: self.native.clone(),
            permission: self.permission.clone(),
            flow: self.flow.clone(),
            ticket: self.ticket.clone(),
            deadline: self.deadline?,
            credentials_until: self.credentials_until,
        })
    }

    /// The order that is in force, for an agent that has just connected.
    pub fn standing_order(&self) -> Option<Order> {
        let action = match self.state {
            GrantState::Provisioning(_) | GrantState::Active => OrderAction::Provision,
            GrantState::Revoking { .. } => OrderAction::Revoke,
            GrantState::Planned | GrantState::Revoked { .. } | GrantState::Failed { .. } => {
                return None;
            }
        };
        Some(Order { seq: self.seq, action, spec: self.spec()? })
    }

    /// Does what is due: sends the first order, sends an unanswered or failed one again, or begins
    /// the teardown at the deadline. Nothing where nothing is due.
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
            GrantState::Active | GrantState::Revoked { .. } | GrantState::Failed { .. } => None,
        }
    }

    fn is_past_deadline(&self, now: Timestamp) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    fn first_order(&self, now: Timestamp) -> Transition<Self> {
        let deadline = self.duration.after(now);
        let next = Self {
            deadline: Some(deadline),
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

    fn order_again(&self, state: GrantState) -> Transition<Self> {
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
        self.order_again(GrantState::Revoking { reason, attempts: Attempts::first(now) })
            .record(event)
    }

    /// The connector says that the target has the permission.
    ///
    /// # Errors
    /// [`Refusal::StaleOrder`] where a newer order exists; nothing changes then.
    pub fn provisioned(
        &self,
        seq: u64,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Transition<Self>, Refusal> {
        let GrantState::Provisioning(_) = self.state else {
            return Err(self.stale(seq));
        };
        self.check_seq(seq)?;
        let next = Self { active_since: Some(now), state: GrantState::Active, ..self.clone() };
        let event = self.event(Action::GrantActive, actor, now).detail("seq", seq);
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
    /// before the order came. Either way it is true, whatever number it bears: what is verified
    /// gone is never made again for this grant.
    ///
    /// # Errors
    /// [`Refusal::StaleOrder`] where the grant is over already, or nothing was ever sent.
    pub fn torn_down(
        &self,
        seq: u64,
        finding: Finding,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Transition<Self>, Refusal> {
        let reason = match &self.state {
            GrantState::Provisioning(_) | GrantState::Active => RevokeReason::Expired,
            GrantState::Revoking { reason, .. } => reason.clone(),
            _ => return Err(self.stale(seq)),
        };
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

    fn check_seq(&self, seq: u64) -> Result<(), Refusal> {
        if seq == self.seq { Ok(()) } else { Err(self.stale(seq)) }
    }

    fn stale(&self, got: u64) -> Refusal {
        Refusal::StaleOrder { got, current: self.seq }
    }

    /// An audit event about this grant.
    pub fn event(&self, action: Action, actor: Actor, at: Timestamp) -> AuditEvent {
        AuditEvent::new(action, actor, at).request(self.request).grant(self.id)
    }

    fn notice(&self, event: &str, text: String) -> Notice {
        Notice {
            event: event.to_owned(),
            request: self.request,
            grant: Some(self.id),
            to: BTreeSet::from([self.principal.clone()]),
            text,
        }
    }
}

#[cfg(test)]
#[path = "grant_tests.rs"]
mod tests;
