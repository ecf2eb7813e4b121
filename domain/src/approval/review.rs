//! What one person said.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    names::{PrincipalId, ScheduleName},
    people::People,
};

/// What one person said of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Who.
    pub by: PrincipalId,
    /// Yes or no.
    pub verdict: Verdict,
    /// In their words.
    pub comment: Option<String>,
    /// When.
    pub at: Timestamp,
    /// The seats they could speak in then. Kept, because a shift or a substitution that is over
    /// does not unsay what was said in it. None in what was written before there were any: their
    /// own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standing: Vec<Standing>,
}

/// A person in whose seat somebody spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Whose seat.
    pub of: PrincipalId,
    /// The schedules that had that person on call then.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub on_call: BTreeSet<ScheduleName>,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

impl Review {
    /// What `by` says at `at`, in their own seat.
    pub fn new(by: PrincipalId, verdict: Verdict, comment: Option<String>, at: Timestamp) -> Self {
        Self { by, verdict, comment, at, standing: Vec::new() }
    }

    /// The same, with the seats that `by` may speak in now, and which of these schedules has them on
    /// call.
    pub(crate) fn standing(
        mut self,
        people: &People<'_>,
        schedules: &BTreeSet<&ScheduleName>,
    ) -> Self {
        let own = std::iter::once(self.by.clone());
        let seats: BTreeSet<_> = own.chain(people.speaks_for(&self.by).cloned()).collect();
        self.standing = seats
            .into_iter()
            .map(|of| {
                let on_call = schedules.iter().filter(|name| people.on_call(name) == Some(&of));
                Standing { on_call: on_call.map(|name| (*name).clone()).collect(), of }
            })
            .collect();
        self
    }

    /// The seats they could speak in.
    pub fn seats(&self) -> BTreeSet<PrincipalId> {
        if self.standing.is_empty() {
            return [self.by.clone()].into();
        }
        self.standing.iter().map(|standing| standing.of.clone()).collect()
    }
}
