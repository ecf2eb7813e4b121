//! `*.test.yaml`: cases that try flows out without a broker, for the checks of a pull request.
//!
//! A file brings its own people and resources, so that a case means the same on every machine and
//! on every day. What a case finds out is what the broker would do: the same functions decide.

mod read;
mod run;

use std::{fmt, path::PathBuf};

use ebbgate_domain::{
    Timestamp,
    delegation::Delegation,
    duration::AccessDuration,
    inventory::Inventory,
    names::{FlowName, PermissionName, PrincipalId, ResourceId},
    principal::Directory,
};
use ebbgate_settings::Place;

pub use read::read;
pub use run::run;

/// One test file.
#[derive(Debug)]
pub struct TestFile {
    /// Where it was read.
    pub file: PathBuf,
    /// The files with the flows that it is about, relative to its own folder; all where it names
    /// none.
    pub flows: Vec<PathBuf>,
    /// The people of its cases.
    pub directory: Directory,
    /// Who of them speaks in whose place, and when.
    pub delegations: Vec<Delegation>,
    /// The resources of its cases.
    pub inventory: Inventory,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One case: somebody asks, others say what they say, and something is expected.
#[derive(Debug)]
pub struct Case {
    /// Where it stands.
    pub place: Place,
    /// What it shows.
    pub name: String,
    /// Who asks.
    pub user: PrincipalId,
    /// What for.
    pub resources: Vec<ResourceId>,
    /// Which level of access, where it is named.
    pub permission: Option<PermissionName>,
    /// Through which flow, where it is named.
    pub flow: Option<FlowName>,
    /// For how long, where it is said.
    pub duration: Option<AccessDuration>,
    /// Why.
    pub reason: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// When.
    pub at: Timestamp,
    /// How long after that the approvers are looked at and speak.
    pub after: Option<AccessDuration>,
    /// Who says yes, in this order.
    pub approve: Vec<PrincipalId>,
    /// Who says no then.
    pub deny: Vec<PrincipalId>,
    /// What must come out.
    pub expected: Expected,
}

/// What must come out of a case.
#[derive(Debug)]
pub struct Expected {
    /// How it must stand at the end.
    pub outcome: Outcome,
    /// With which code it is refused, where it is.
    pub code: Option<String>,
    /// Exactly those who can decide after what was said, where that is looked at.
    pub approvers: Option<Vec<PrincipalId>>,
    /// For how long access is, where that is looked at.
    pub duration: Option<AccessDuration>,
    /// How many grants it becomes, where that is looked at.
    pub grants: Option<usize>,
}

/// How a case ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Access is given.
    Approved,
    /// It waits for approvers.
    Pending,
    /// An approver said no.
    Denied,
    /// A rule said no, to the request or to what somebody said of it.
    Refused,
}

impl Outcome {
    /// All of them, for messages.
    pub const ALL: [Self; 4] = [Self::Approved, Self::Pending, Self::Denied, Self::Refused];

    /// As test files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Pending => "pending",
            Self::Denied => "denied",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Where the case stands.
    pub place: Place,
    /// What it shows.
    pub name: String,
    /// Where something else came out than was expected: what.
    pub failure: Option<String>,
}

#[cfg(test)]
mod tests;
