//! More time, and what an emergency asks for afterwards, as the API sends it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::types::{AuditRecord, Request};

/// More time that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Extension {
    pub(crate) by: String,
    pub(crate) total: String,
    pub(crate) asked_at: Timestamp,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// pending, approved, denied or lapsed.
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) lapses_at: Option<Timestamp>,
}

/// The review that an emergency asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UseReview {
    #[serde(default)]
    pub(crate) told: Vec<String>,
    pub(crate) due_at: Timestamp,
    #[serde(default)]
    pub(crate) reminded: u32,
    #[serde(default)]
    pub(crate) written: Option<WrittenReview>,
}

/// What was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WrittenReview {
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    pub(crate) text: String,
}

/// One emergency on one page.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UsePage {
    pub(crate) request: Request,
    #[serde(default)]
    pub(crate) records: Vec<AuditRecord>,
}
