//! What the journal holds. A record is written, and on disk, before the effect it announces.

use ebbgate_domain::{
    ids::GrantId,
    order::{EndCause, Finding, GrantSpec, Provisioned},
};
use serde::{Deserialize, Serialize};

use crate::{held::Held, reading::Reading};

/// One line of the journal. No record holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// What the clocks said. After a boot, deadlines are carried over from the last reading before.
    Clock {
        /// Both clocks.
        at: Reading,
    },
    /// When the broker was last heard of, and what that told of this machine's clock.
    Contact {
        /// Both clocks when this was written.
        at: Reading,
        /// For how long it had not been heard of by then, in milliseconds.
        silent_ms: u64,
        /// How far the wall clock was ahead of the broker's, in milliseconds.
        offset_ms: Option<i64>,
    },
    /// A grant is about to be provisioned.
    ProvisionIntended {
        /// The order's number.
        seq: u64,
        /// What was granted.
        spec: GrantSpec,
        /// How long was left when the order came, in milliseconds.
        remaining_ms: i64,
        /// When the order came.
        at: Reading,
    },
    /// The target has it.
    Provisioned {
        /// The grant.
        grant: GrantId,
        /// What its connector told of it.
        #[serde(default)]
        told: Provisioned,
    },
    /// It could not be provisioned; it may be there in part.
    ProvisionFailed {
        /// The grant.
        grant: GrantId,
        /// What went wrong, with its causes.
        error: String,
    },
    /// A grant is about to be torn down. It carries all that is needed, so that it stands even
    /// where earlier records are lost.
    RevokeIntended {
        /// The newest order's number.
        seq: u64,
        /// What was granted.
        spec: GrantSpec,
        /// Why.
        cause: EndCause,
        /// When.
        at: Reading,
    },
    /// It could not be torn down yet.
    TeardownFailed {
        /// The grant.
        grant: GrantId,
        /// What went wrong, with its causes.
        error: String,
    },
    /// Torn down and verified.
    TornDown {
        /// The grant.
        grant: GrantId,
        /// The proof.
        finding: Finding,
    },
    /// An order with that number was seen and changed nothing else.
    SeqSeen {
        /// The grant.
        grant: GrantId,
        /// The number.
        seq: u64,
    },
    /// The broker has the end on record.
    EndRecorded {
        /// The grant.
        grant: GrantId,
    },
    /// The grant is over, on record, and past its deadline: nobody can ask for it again.
    Forgotten {
        /// The grant.
        grant: GrantId,
    },
    /// A grant as it stood when the journal was compacted.
    Held(Box<Held>),
}

impl Record {
    /// Which grant it changes.
    pub(crate) fn grant(&self) -> Option<GrantId> {
        match self {
            Self::Clock { .. } | Self::Contact { .. } => None,
            Self::ProvisionIntended { spec, .. } | Self::RevokeIntended { spec, .. } => {
                Some(spec.grant)
            }
            Self::Provisioned { grant, .. }
            | Self::ProvisionFailed { grant, .. }
            | Self::TeardownFailed { grant, .. }
            | Self::TornDown { grant, .. }
            | Self::SeqSeen { grant, .. }
            | Self::EndRecorded { grant }
            | Self::Forgotten { grant } => Some(*grant),
            Self::Held(held) => Some(held.spec.grant),
        }
    }

    /// What the clocks said when it was written, where it tells.
    pub(crate) fn reading(&self) -> Option<&Reading> {
        match self {
            Self::Clock { at }
            | Self::Contact { at, .. }
            | Self::ProvisionIntended { at, .. }
            | Self::RevokeIntended { at, .. } => Some(at),
            _ => None,
        }
    }
}
