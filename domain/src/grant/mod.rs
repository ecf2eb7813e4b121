//! A grant's life: one resource, one permission, one principal, one deadline.
//!
//! ```text
//! planned -> provisioning -> active -> revoking -> revoked
//!                \-> revoking (what was begun is cleared away) -> failed
//! ```
//!
//! Teardown is never given up: a failed attempt backs off and is tried again for ever.

mod extension;
mod places;
mod state;
mod transitions;
mod warning;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    duration::AccessDuration,
    ids::{GrantId, RequestId},
    inventory::{Resource, ResourceKind},
    names::{AgentName, FlowName, IntegrationName, PermissionName, PrincipalId, ResourceId},
    order::{GrantSpec, Order, OrderAction},
    right::Right,
};

pub use extension::Extending;
pub use state::{Attempts, GrantState, RevokeReason};

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
    /// What that consists of where an operator has defined it.
    #[serde(default)]
    pub rights: Vec<Right>,
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
    /// How long before that its principal is warned; not at all where it is none.
    #[serde(default)]
    pub warn: Option<AccessDuration>,
    /// When the warning is due; none where it is sent, or none is to be sent.
    #[serde(default)]
    pub warn_at: Option<Timestamp>,
    /// More time that its place has not confirmed yet.
    #[serde(default)]
    pub extending: Option<Extending>,
    /// When it became active.
    pub active_since: Option<Timestamp>,
    /// The newest order's number (I5).
    pub seq: u64,
    /// Which agent that order went to, so that exactly one carries it out; none before the first,
    /// and where the broker itself runs the connector.
    #[serde(default)]
    pub place: Option<AgentName>,
    /// Until when credentials that the target handed out stay valid by themselves.
    pub credentials_until: Option<Timestamp>,
    /// Until when an order to give it may still be carried out at its place, which had not answered
    /// it when the teardown began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_until: Option<Timestamp>,
    /// Whether it is an emergency's: the target is to record what is done under it.
    #[serde(default)]
    pub recorded: bool,
    /// Whether and where the target does so, as its connector says; none before it is active.
    #[serde(default)]
    pub recording: Option<String>,
    /// How it stands.
    pub state: GrantState,
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
    /// What that consists of where an operator has defined it.
    pub rights: &'a [Right],
    /// Through which flow.
    pub flow: &'a FlowName,
    /// The ticket.
    pub ticket: Option<&'a str>,
    /// For how long.
    pub duration: AccessDuration,
    /// How long before the end its principal is warned.
    pub warn: Option<AccessDuration>,
    /// Whether the target is to record what is done under it.
    pub recorded: bool,
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
            rights: plan.rights.to_vec(),
            flow: plan.flow.clone(),
            ticket: plan.ticket.map(ToOwned::to_owned),
            duration: plan.duration,
            planned_at: now,
            deadline: None,
            warn: plan.warn,
            warn_at: None,
            extending: None,
            active_since: None,
            seq: 0,
            place: None,
            credentials_until: None,
            in_flight_until: None,
            recorded: plan.recorded,
            recording: None,
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
            GrantState::Active => {
                let extending = self.extending.as_ref().map(|extending| extending.attempts.next_at);
                [self.deadline, self.warn_at, extending].into_iter().flatten().min()
            }
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
            rights: self.rights.clone(),
            flow: self.flow.clone(),
            ticket: self.ticket.clone(),
            deadline: self.deadline?,
            credentials_until: self.credentials_until,
            recorded: self.recorded,
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
}

#[cfg(test)]
mod tests;
