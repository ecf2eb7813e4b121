//! An access request's life: one principal's wish, frozen as it was made.
//!
//! ```text
//! pending -> approved -> active -> ended
//!    |  \-> denied | cancelled | lapsed
//!    \-> approved at once where the policy is automatic
//! ```
//!
//! The flow, the resources, the permissions and the ids of the grants to come are frozen at
//! submission (I10), so that approving twice cannot make two grants.

mod activation;
mod asking;
mod extension;
mod guarded;
mod leavers;
mod needed;
mod stored;
mod submit;
mod transitions;
mod use_review;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    approval::{Case, Claim, Quorum, Review, Tally, Told},
    duration::AccessDuration,
    flow::AccessFlow,
    ids::{GrantId, RequestId},
    inventory::Resource,
    names::{PermissionName, PrincipalId},
    people::People,
    right::Right,
};

pub use extension::{Extension, ExtensionState};
pub use leavers::Loss;
pub use needed::{Needed, approval_needed};
pub use submit::{Submission, submit};
pub use use_review::{UseReview, WrittenReview};

/// One access request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Its name.
    pub id: RequestId,
    /// Who asks.
    pub requester: PrincipalId,
    /// The flow as it was.
    pub flow: AccessFlow,
    /// Its version.
    pub flow_version: String,
    /// What is asked for: the blast radius.
    pub items: Vec<RequestItem>,
    /// For how long.
    pub duration: AccessDuration,
    /// Why.
    pub reason: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// Who must approve which items; none where the policy is automatic for all. What was written
    /// when there was at most one is read; where neither is written, nothing is, because that must
    /// never mean 'automatic'.
    #[serde(alias = "quorum", deserialize_with = "stored::quorums")]
    pub quorums: Vec<Quorum>,
    /// What was said of it.
    pub reviews: Vec<Review>,
    /// Who is looking at it, or was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
    /// Who was told that it waits for them; not known of requests from before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Vec<Told>>,
    /// When it should be looked at next: a step of escalation, a change of who is on call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wakes_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it lapses if nobody decides.
    pub lapses_at: Option<Timestamp>,
    /// When its access is to begin, where its requester asked for a later start.
    #[serde(default)]
    pub starts_at: Option<Timestamp>,
    /// Until when its requester may let it begin; set with the approval.
    #[serde(default)]
    pub activate_by: Option<Timestamp>,
    /// When its access began: its grants were planned then.
    #[serde(default)]
    pub activated_at: Option<Timestamp>,
    /// More time that was asked for, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<Extension>,
    /// The review that is owed for it; only for an emergency.
    #[serde(default)]
    pub use_review: Option<UseReview>,
    /// How it stands.
    pub state: RequestState,
}

/// One resource and the permission on it, with the id of the grant that it becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestItem {
    /// The grant's id.
    pub grant: GrantId,
    /// The resource as it was.
    pub resource: Resource,
    /// Which level of access.
    pub permission: PermissionName,
    /// What that consisted of when the request was made, where an operator has defined it.
    #[serde(default)]
    pub rights: Vec<Right>,
}

/// How a request stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RequestState {
    /// Waits for approvers.
    Pending,
    /// Approved; its grants are on their way.
    Approved,
    /// At least one of its grants is or was active.
    Active,
    /// Somebody said no.
    Denied,
    /// Its requester withdrew it, or left.
    Cancelled,
    /// Nobody decided in time.
    Lapsed,
    /// All its grants are over.
    Ended {
        /// Why.
        reason: EndReason,
        /// When.
        at: Timestamp,
    },
}

/// Why a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// Its time was over.
    Expired,
    /// Its requester gave it back.
    Released,
    /// Somebody took it away.
    Revoked,
    /// An agent ended it because the broker could not be reached for too long.
    CutOff,
    /// Somebody removed it on its target.
    Missing,
    /// No grant could be provisioned.
    Failed,
}

impl AccessRequest {
    /// A pending request for nothing yet, that nobody has to approve by any time.
    pub fn new(
        id: RequestId,
        requester: PrincipalId,
        flow: AccessFlow,
        duration: AccessDuration,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            requester,
            flow_version: flow.version(),
            flow,
            items: Vec::new(),
            duration,
            reason: None,
            ticket: None,
            quorums: Vec::new(),
            reviews: Vec::new(),
            claims: Vec::new(),
            told: Some(Vec::new()),
            wakes_at: None,
            created_at: now,
            lapses_at: None,
            starts_at: None,
            activate_by: None,
            activated_at: None,
            extensions: Vec::new(),
            use_review: None,
            state: RequestState::Pending,
        }
    }

    /// The state in one word.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            RequestState::Pending => "pending",
            RequestState::Approved => "approved",
            RequestState::Active => "active",
            RequestState::Denied => "denied",
            RequestState::Cancelled => "cancelled",
            RequestState::Lapsed => "lapsed",
            RequestState::Ended { .. } => "ended",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_over(&self) -> bool {
        !matches!(self.state, RequestState::Pending | RequestState::Approved | RequestState::Active)
    }

    /// When something is due for it: a decision or another step towards it, its beginning, a
    /// reminder. None where it waits for nothing.
    pub fn due_at(&self) -> Option<Timestamp> {
        let pending = self.state == RequestState::Pending;
        let decision = [self.lapses_at, self.wakes_at].into_iter().flatten().filter(|_| pending);
        decision
            .chain(self.activation_due())
            .chain(self.extension_due())
            .chain(self.reminder_due())
            .min()
    }

    /// What is asked for, in a few words.
    pub fn summary(&self) -> String {
        let items: Vec<_> = self
            .items
            .iter()
            .map(|item| format!("{} on {}", item.permission, item.resource.id))
            .collect();
        format!("{} for {}", items.join(", "), self.duration)
    }

    /// Its approval: what it needs and what was said.
    pub fn case(&self) -> Case<'_> {
        Case {
            requester: &self.requester,
            quorums: &self.quorums,
            reviews: &self.reviews,
            claims: &self.claims,
            since: self.created_at,
        }
    }

    /// Whether it waits for somebody's decision, on itself or on more time.
    pub fn asks(&self) -> bool {
        self.state == RequestState::Pending || self.pending_extension().is_some()
    }

    /// How the approvals stand, of the more time that is asked for where there is some; none where
    /// the policy is automatic.
    pub fn tallies(&self, people: &People<'_>) -> Vec<Tally> {
        match self.pending_extension() {
            Some(extension) => self.asking_again(extension).case().tallies(people),
            None => self.case().tallies(people),
        }
    }

    /// Whether `person`'s word counts now, on it or on the more time that is asked for.
    pub fn may_decide(&self, person: &PrincipalId, people: &People<'_>) -> bool {
        self.case().may_decide(person, people)
            || self
                .pending_extension()
                .is_some_and(|more| self.asking_again(more).case().may_decide(person, people))
    }

    /// Whether `person` could decide on it now.
    pub fn waits_for(&self, person: &PrincipalId, people: &People<'_>) -> bool {
        if let Some(extension) = self.pending_extension() {
            return self.asking_again(extension).waits_for(person, people);
        }
        self.state == RequestState::Pending
            && !self.reviews.iter().any(|review| review.by == *person)
            && self.case().may_decide(person, people)
    }
}

#[cfg(test)]
mod approval_tests;
#[cfg(test)]
mod old_documents;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod time_tests;
