//! How an approval stands, and substitutes, as the API sends them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How far one group of approvers is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingFor {
    pub(crate) group: String,
    /// `any`, `all` or a number.
    pub(crate) need: String,
    #[serde(default)]
    pub(crate) satisfied: bool,
    #[serde(default)]
    pub(crate) approved_by: Vec<String>,
    #[serde(default)]
    pub(crate) waiting_for: Vec<String>,
    #[serde(default)]
    pub(crate) escalates_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) escalates_to: Vec<String>,
}

/// Somebody who was told that a request waits for them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) who: String,
    pub(crate) at: Timestamp,
    pub(crate) group: String,
    #[serde(default)]
    pub(crate) step: u32,
    #[serde(default)]
    pub(crate) in_place_of: Option<String>,
    #[serde(default)]
    pub(crate) withdrawn_at: Option<Timestamp>,
}

/// Somebody who said that they are looking.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    pub(crate) until: Timestamp,
    #[serde(default)]
    pub(crate) looking: bool,
}

/// Who speaks in whose place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Delegation {
    pub(crate) id: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    #[serde(default)]
    pub(crate) ended_at: Option<Timestamp>,
}
