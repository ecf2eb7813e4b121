//! What the API says in reports.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// All reports in a few words.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Headlines {
    pub(crate) items: Vec<Headline>,
}

/// One report in a few words.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Headline {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) about: String,
    pub(crate) headline: String,
    pub(crate) findings: u64,
    pub(crate) attention: u64,
    #[serde(default)]
    pub(crate) note: Option<String>,
}

/// One report.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) about: String,
    pub(crate) headline: String,
    #[serde(default)]
    pub(crate) since: Option<Timestamp>,
    pub(crate) at: Timestamp,
    pub(crate) items: Vec<ReportFinding>,
    #[serde(default)]
    pub(crate) left_out: u64,
    pub(crate) attention: u64,
    #[serde(default)]
    pub(crate) note: Option<String>,
}

/// One thing that was found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReportFinding {
    pub(crate) about: String,
    pub(crate) fact: String,
    #[serde(default)]
    pub(crate) since: Option<Timestamp>,
    pub(crate) why: String,
    pub(crate) advice: String,
    pub(crate) attention: bool,
    #[serde(default)]
    pub(crate) figures: BTreeMap<String, u64>,
}
