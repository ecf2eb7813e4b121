//! What the agent does next, and what became of it.

use ebbgate_domain::{
    Timestamp,
    ids::GrantId,
    names::IntegrationName,
    order::{EndCause, Finding, GrantSpec, Provisioned},
    verifier::Verifier,
};

use crate::{alarm::Alarm, record::Record};

/// One thing to do. Steps come in order; all appended records must be on disk before the effects
/// among them begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Put a record into the journal.
    Append(Record),
    /// Do something on a target. It is never cut short; its end is told to
    /// [`crate::Agent::on_done`].
    Begin(Effect),
    /// Tell the broker, if it is there. Nothing is lost if it is not: it hears again with its next
    /// Welcome.
    Report(Report),
    /// Call the broker anew, to hear what stands by now.
    AskAnew,
    /// Tell the log.
    Alarm(Alarm),
}

/// Something that is done on a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Make the permission exist.
    Provision(GrantSpec),
    /// End sessions, remove the permission, verify.
    Revoke(GrantSpec),
    /// Register what a person logs in with.
    Credential {
        /// The grant.
        spec: GrantSpec,
        /// The order's number.
        seq: u64,
        /// The verifier: in memory only, never in a record (I8).
        verifier: Verifier,
    },
    /// Remove what bears the mark of a grant that nobody knows (I7).
    RemoveOrphan {
        /// Where it was found.
        integration: IntegrationName,
        /// Whose mark it bears.
        grant: GrantId,
    },
}

impl Effect {
    /// Where it is done.
    pub fn integration(&self) -> &IntegrationName {
        match self {
            Self::Provision(spec) | Self::Revoke(spec) | Self::Credential { spec, .. } => {
                &spec.integration
            }
            Self::RemoveOrphan { integration, .. } => integration,
        }
    }

    /// For which grant.
    pub fn grant(&self) -> GrantId {
        match self {
            Self::Provision(spec) | Self::Revoke(spec) | Self::Credential { spec, .. } => {
                spec.grant
            }
            Self::RemoveOrphan { grant, .. } => *grant,
        }
    }

    /// Its end where it could not be begun, or broke off.
    pub fn failed(&self, failure: Failure) -> Done {
        match self {
            Self::Provision(_) => Done::Provision(Err(failure)),
            Self::Revoke(_) => Done::Revoke(Err(failure)),
            Self::Credential { seq, .. } => Done::Credential { seq: *seq, result: Err(failure) },
            Self::RemoveOrphan { integration, .. } => {
                Done::Orphan { integration: integration.clone(), result: Err(failure) }
            }
        }
    }
}

/// How an effect ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// Of [`Effect::Provision`].
    Provision(Result<Provisioned, Failure>),
    /// Of [`Effect::Revoke`].
    Revoke(Result<Finding, Failure>),
    /// Of [`Effect::Credential`]: the account's name.
    Credential {
        /// The order's number.
        seq: u64,
        /// The account's name on the target.
        result: Result<String, Failure>,
    },
    /// Of [`Effect::RemoveOrphan`].
    Orphan {
        /// Where it was.
        integration: IntegrationName,
        /// What was found after it.
        result: Result<Finding, Failure>,
    },
}

/// Why something did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong, with its causes.
    pub message: String,
    /// Whether trying again may help.
    pub may_pass: bool,
}

impl Failure {
    /// One that may pass.
    pub fn passing(message: impl Into<String>) -> Self {
        Self { message: message.into(), may_pass: true }
    }

    /// One that stays until somebody changes something.
    pub fn lasting(message: impl Into<String>) -> Self {
        Self { message: message.into(), may_pass: false }
    }
}

/// What the broker is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// What became of an order.
    Outcome {
        /// The grant.
        grant: GrantId,
        /// The order's number.
        seq: u64,
        /// When.
        at: Timestamp,
        /// What became of it.
        outcome: Outcome,
    },
    /// What became of a credential.
    Credential {
        /// The grant.
        grant: GrantId,
        /// The order's number.
        seq: u64,
        /// The account's name on the target.
        result: Result<String, Failure>,
    },
    /// An orphan is gone.
    OrphanRemoved {
        /// Where it was.
        integration: IntegrationName,
        /// Whose mark it bore.
        grant: GrantId,
        /// What was found after it.
        finding: Finding,
    },
    /// What a look at a target found.
    Swept(SweepReport),
}

/// What one look at a target found that should not be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepReport {
    /// At whose.
    pub integration: IntegrationName,
    /// When the look began.
    pub at: Timestamp,
    /// How many grants' marks are there.
    pub marked: usize,
    /// Those of grants that nobody knows.
    pub orphans: Vec<GrantId>,
    /// Grants that should have a mark and have none.
    pub missing: Vec<GrantId>,
    /// Why the target could not be looked at.
    pub error: Option<String>,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The target has the permission.
    Provisioned(Provisioned),
    /// It could not be made.
    ProvisionFailed(Failure),
    /// Torn down and verified.
    TornDown {
        /// The proof.
        finding: Finding,
        /// Why, where that is on record.
        cause: Option<EndCause>,
    },
    /// Not torn down yet.
    TeardownFailed(Failure),
    /// The agent has seen a newer order, and did nothing.
    Stale {
        /// The newest number it has seen.
        newest: u64,
    },
}
