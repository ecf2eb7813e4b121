//! How a grant stands, how often an order was tried, and why a grant ends.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{ANSWER_PATIENCE, LONGEST_PAUSE};
use crate::{
    ids::GrantId,
    names::PrincipalId,
    order::{EndCause, Finding},
};

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
    /// Its principal is not among its flow's requesters any more (I10).
    NotARequester,
    /// Its flow was removed (I10).
    FlowRemoved,
    /// Its agent was without the broker for longer than the integration's partition policy allows.
    CutOff,
    /// It was not on its target any more: somebody removed it there.
    Missing,
    /// It could not be provisioned; what was begun is cleared away.
    ProvisionFailed {
        /// What went wrong.
        error: String,
    },
}

impl RevokeReason {
    /// What the cause of a teardown that nobody ordered means for the grant.
    pub(super) fn of(cause: EndCause) -> Self {
        match cause {
            EndCause::CutOff => Self::CutOff,
            EndCause::Missing => Self::Missing,
            EndCause::Ordered | EndCause::Deadline | EndCause::NotStanding => Self::Expired,
        }
    }

    /// The reason in one word, as the API and the audit log show it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Released => "released",
            Self::Revoked { .. } => "revoked",
            Self::RequesterLeft => "requester-left",
            Self::NotARequester => "not-a-requester",
            Self::FlowRemoved => "flow-removed",
            Self::CutOff => "cut-off",
            Self::Missing => "missing",
            Self::ProvisionFailed { .. } => "failed",
        }
    }
}

impl Attempts {
    pub(super) fn first(now: Timestamp) -> Self {
        Self { since: now, failed: 0, next_at: plus(now, ANSWER_PATIENCE), last_error: None }
    }

    /// One more failed: 1 s, 2 s, 4 s … up to five minutes. The spread comes from the grant's own
    /// id, so that grants that fail together are not tried together.
    pub(super) fn fail(&self, id: GrantId, error: &str, now: Timestamp) -> Self {
        let failed = self.failed.saturating_add(1);
        let pause = SignedDuration::from_secs(1_i64 << (failed - 1).min(9)).min(LONGEST_PAUSE);
        let spread = id.to_string().bytes().fold(0_i32, |sum, b| (sum * 31 + i32::from(b)) % 256);
        let next_at = plus(now, pause + pause * spread / 1_024);
        Self { since: self.since, failed, next_at, last_error: Some(error.to_owned()) }
    }

    pub(super) fn again(&self, now: Timestamp) -> Self {
        Self { next_at: plus(now, ANSWER_PATIENCE), ..self.clone() }
    }
}

/// A moment later; the end of time where that lies beyond it.
pub(super) fn plus(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}
