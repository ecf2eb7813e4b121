//! Who must approve: a flow's policy as it is written.

use serde::{Deserialize, Serialize};

use crate::{approver::Approver, condition::Condition, duration::AccessDuration};

/// How long a claim pauses escalation where the flow says nothing: 15 minutes, in seconds.
const DEFAULT_CLAIM: u32 = 15 * 60;

/// Who must approve a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ApprovalPolicy {
    /// Nobody: the request is approved as it is made.
    Automatic,
    /// Approver groups.
    Groups {
        /// Whether one group is enough or all must agree.
        between: Need,
        /// The groups.
        groups: Vec<ApproverGroup>,
        /// A request that nobody decided within this time lapses.
        request_timeout: AccessDuration,
        /// Whether one person's approval counts in one group only. Within a group it always counts
        /// once.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        distinct: bool,
        /// For how long 'I am looking' pauses escalation.
        #[serde(default = "default_claim", skip_serializing_if = "is_default_claim")]
        claim: AccessDuration,
    },
}

/// An approval policy for the requests that fit a condition. Of a flow's rules the first that fits
/// decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRule {
    /// When it applies.
    pub when: Condition,
    /// Who must approve then.
    pub policy: ApprovalPolicy,
}

/// One or every.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// One is enough.
    #[default]
    Any,
    /// Every one is needed.
    All,
}

/// How many of a group must approve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Voices {
    /// One is enough.
    #[default]
    Any,
    /// Every one is needed.
    All,
    /// So many different people.
    AtLeast(u32),
}

/// People of whom one, some or all must approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApproverGroup {
    /// How the group is called on screens.
    pub name: String,
    /// How many must approve.
    pub need: Voices,
    /// Its members.
    pub of: Vec<Approver>,
    /// Whether one member's denial denies the request, or only when the others cannot approve it
    /// without them.
    #[serde(default, skip_serializing_if = "is_any")]
    pub deny: Need,
    /// Who may decide as well when the members have not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalate: Vec<EscalationStep>,
}

/// More people who may decide when those before have not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscalationStep {
    /// How long after the step before.
    pub after: AccessDuration,
    /// Who.
    pub to: Vec<Approver>,
}

impl ApprovalPolicy {
    /// Approver groups with the defaults for everything else.
    pub fn groups(
        between: Need,
        groups: Vec<ApproverGroup>,
        request_timeout: AccessDuration,
    ) -> Self {
        Self::Groups { between, groups, request_timeout, distinct: true, claim: default_claim() }
    }
}

impl ApproverGroup {
    /// A group without escalation of which one denial is enough.
    pub fn new(name: impl Into<String>, need: Voices, of: Vec<Approver>) -> Self {
        Self { name: name.into(), need, of, deny: Need::Any, escalate: Vec::new() }
    }
}

/// 15 minutes.
pub fn default_claim() -> AccessDuration {
    AccessDuration::from_minutes(DEFAULT_CLAIM / 60)
}

fn is_default_claim(claim: &AccessDuration) -> bool {
    *claim == default_claim()
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_any(need: &Need) -> bool {
    *need == Need::Any
}
