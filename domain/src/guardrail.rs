//! Guardrails: rules above all access flows that can only forbid. What they look at is told here;
//! how they are written and judged is another crate's affair.

use std::{collections::BTreeSet, fmt, sync::Arc};

use jiff::Timestamp;

use crate::{
    duration::AccessDuration,
    inventory::Resource,
    names::{FlowName, PermissionName, PrincipalId},
    principal::Principal,
};

/// When guardrails are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A request is made, or an extension.
    Submit,
    /// It has all approvals that its flow wants.
    Approve,
    /// Its grants are about to be provisioned.
    Activate,
}

impl Stage {
    /// The stage as guardrails write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Approve => "approve",
            Self::Activate => "activate",
        }
    }
}

/// What guardrails look at: one permission on one resource for one person.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// When they are asked.
    pub stage: Stage,
    /// Who wants it.
    pub principal: &'a Principal,
    /// On what.
    pub resource: &'a Resource,
    /// Which level of access.
    pub permission: &'a PermissionName,
    /// Through which flow.
    pub flow: &'a FlowName,
    /// Whether that flow is for emergencies.
    pub break_glass: bool,
    /// For how long in all.
    pub duration: AccessDuration,
    /// The reason that was given.
    pub reason: Option<&'a str>,
    /// The ticket that was given.
    pub ticket: Option<&'a str>,
    /// Whose approvals count so far.
    pub approved_by: &'a BTreeSet<PrincipalId>,
    /// Now.
    pub now: Timestamp,
}

/// A guardrail forbids it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden {
    /// The guardrail's id.
    pub guardrail: String,
    /// What it says to those whom it stops.
    pub advice: Option<String>,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.advice {
            Some(advice) => write!(f, "the guardrail '{}' forbids this: {advice}", self.guardrail),
            None => write!(f, "the guardrail '{}' forbids this", self.guardrail),
        }
    }
}

/// Whoever can judge guardrails.
pub trait Guardrails: fmt::Debug + Send + Sync {
    /// The first guardrail that forbids it, in the order of their ids; none where it may be.
    fn forbids(&self, wanted: &Wanted<'_>) -> Option<Forbidden>;
}

/// All guardrails in force; by default there are none. Two are equal where they are the same.
#[derive(Debug, Clone, Default)]
pub struct GuardrailSet(Option<Arc<dyn Guardrails>>);

impl GuardrailSet {
    /// These guardrails.
    pub fn new(guardrails: Arc<dyn Guardrails>) -> Self {
        Self(Some(guardrails))
    }

    /// The first guardrail that forbids it; none where it may be.
    pub fn forbids(&self, wanted: &Wanted<'_>) -> Option<Forbidden> {
        self.0.as_ref()?.forbids(wanted)
    }

    /// Whether nothing is ever forbidden.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl PartialEq for GuardrailSet {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

impl Eq for GuardrailSet {}
