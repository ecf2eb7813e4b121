//! What the journal holds. A record is written, and on disk, before the effect it announces.

use ebbgate_domain::{
    ids::GrantId,
    order::{Finding, GrantSpec},
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
        cause: Cause,
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

/// Why a teardown began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The broker ordered it.
    Ordered,
    /// The deadline passed.
    Deadline,
    /// The broker does not list it among its standing orders.
    NotStanding,
}
