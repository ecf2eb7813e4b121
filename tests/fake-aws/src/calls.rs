//! The log of calls: what CloudTrail would tell, for tests to read. No bodies, keys or tokens.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// More than a test can want; beyond it the oldest go.
const KEPT: usize = 100_000;

/// One call.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct CallRecord {
    /// Counts from 1 since the start or the last reset.
    pub(crate) seq: u64,
    /// On the movable clock.
    pub(crate) time: String,
    /// `sts`, `iam`, `s3` …
    pub(crate) service: String,
    /// The API operation, such as `ListObjectsV2`; empty if it could not be told.
    pub(crate) action: String,
    /// The caller's ARN; absent if it could not be authenticated.
    pub(crate) principal: Option<String>,
    /// The session name of a caller that is an assumed role.
    pub(crate) session_name: Option<String>,
    /// The source identity of the caller's session.
    pub(crate) source_identity: Option<String>,
    /// The ARN that the call was about, where it was asked for.
    pub(crate) resource: Option<String>,
    /// What the operation was told, by CloudTrail's names: only what is no secret and tests look
    /// for.
    pub(crate) parameters: BTreeMap<String, String>,
    /// `allowed`, `denied`, or the error's code.
    pub(crate) outcome: String,
}

/// The calls, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    last_seq: u64,
    records: VecDeque<CallRecord>,
}

impl Calls {
    /// Adds a call and numbers it.
    pub(crate) fn push(&mut self, mut record: CallRecord) {
        self.last_seq += 1;
        record.seq = self.last_seq;
        if self.records.len() == KEPT {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// All calls that are kept.
    pub(crate) fn records(&self) -> impl Iterator<Item = &CallRecord> {
        self.records.iter()
    }
}
