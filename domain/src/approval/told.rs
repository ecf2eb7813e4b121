//! Who was told of a request, and who was told that they are no longer needed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::PrincipalId;

/// Somebody who was told that a request waits for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Who.
    pub who: PrincipalId,
    /// When.
    pub at: Timestamp,
    /// For which group.
    pub group: String,
    /// 0 for its members, otherwise the number of its escalation step.
    pub step: u32,
    /// In whose place, where they stand in for somebody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place_of: Option<PrincipalId>,
    /// When they were told that they are no longer needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Timestamp>,
}
