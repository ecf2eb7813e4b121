//! One grant as the agent knows it.

use ebbgate_domain::order::{EndCause, Finding, GrantSpec, Provisioned};
use serde::{Deserialize, Serialize};

use crate::reading::LocalDeadline;

/// One grant, with all that is needed to tear it down alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What was granted.
    pub spec: GrantSpec,
    /// The newest order's number (I5).
    pub seq: u64,
    /// How it stands.
    pub stage: Stage,
    /// Why it is being torn down, or was; none while it stands, and in journals that did not tell.
    #[serde(default)]
    pub cause: Option<EndCause>,
    /// When the agent ends it, broker or no broker.
    pub deadline: LocalDeadline,
    /// How many teardowns have failed.
    pub failures: u32,
    /// What the last failed effect failed with.
    pub last_error: Option<String>,
    /// What its connector told of it when the target had it.
    #[serde(default)]
    pub told: Provisioned,
}

/// How a grant stands. It only ever moves down this list, but for a provision that is ordered
/// anew with another deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Stage {
    /// It is to be provisioned, and may be there in part.
    ProvisionIntended,
    /// The target has it.
    Provisioned,
    /// It is to be torn down, until that is verified. From here on it is never provisioned.
    RevokeIntended,
    /// Torn down and verified.
    TornDown {
        /// The proof.
        finding: Finding,
        /// Whether the broker has it on record. The grant is kept until its deadline even then, so
        /// that a late order finds it ended.
        recorded: bool,
    },
}

impl Held {
    /// The stage in the words that people know from the broker.
    pub fn state_name(&self) -> &'static str {
        match self.stage {
            Stage::ProvisionIntended => "provisioning",
            Stage::Provisioned => "active",
            Stage::RevokeIntended => "revoking",
            Stage::TornDown { .. } => "revoked",
        }
    }

    /// Whether the target may have it, and nobody has begun to take it away.
    pub fn is_given(&self) -> bool {
        matches!(self.stage, Stage::ProvisionIntended | Stage::Provisioned)
    }

    /// Whether the broker still has to hear of it.
    pub fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::TornDown { recorded: true, .. })
    }
}
