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
mod leavers;
mod submit;
mod transitions;
mod use_review;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    approval::{Quorum, Review, Tally},
    duration::AccessDuration,
    flow::AccessFlow,
    ids::{GrantId, RequestId},
    inventory::Resource,
    names::{PermissionName, PrincipalId},
    principal::Directory,
    right::Right,
};

pub use leavers::Loss;
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
    /// Who must approve; none where the policy is automatic.
    pub quorum: Option<Quorum>,
    /// What was said of it.
    pub reviews: Vec<Review>,
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

    /// When something is due for it: a decision, its beginning, a reminder. None where it waits for
    /// nothing.
    pub fn due_at(&self) -> Option<Timestamp> {
        let decision = self.lapses_at.filter(|_| self.state == RequestState::Pending);
        [decision, self.activation_due(), self.reminder_due()].into_iter().flatten().min()
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

    /// How the approvals stand; none where the policy is automatic.
    pub fn tally(&self, directory: &Directory) -> Option<Tally> {
        self.quorum.as_ref().map(|q| q.tally(&self.requester, &self.reviews, directory))
    }

    /// Whether `person` could decide on it now.
    pub fn waits_for(&self, person: &PrincipalId, directory: &Directory) -> bool {
        self.state == RequestState::Pending
            && !self.reviews.iter().any(|review| review.by == *person)
            && self
                .quorum
                .as_ref()
                .is_some_and(|quorum| quorum.approvers(&self.requester, directory).contains(person))
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod time_tests;
