//! 'I am looking': a claim stops the clock of escalation for a while.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Review;
use crate::names::PrincipalId;

/// Somebody's word that they are looking at a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Who.
    pub by: PrincipalId,
    /// When they said so.
    pub at: Timestamp,
    /// Until when escalation waits for them.
    pub until: Timestamp,
    /// The groups in which they had a say then; only these wait.
    pub groups: Vec<GroupAt>,
}

/// A group of a request's approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupAt {
    /// The quorum, by its place in the request.
    pub quorum: usize,
    /// The group, by its place in the quorum.
    pub group: usize,
}

impl Claim {
    /// When the waiting ends: at its time, or when they have decided.
    pub fn end(&self, reviews: &[Review]) -> Timestamp {
        reviews
            .iter()
            .filter(|review| review.by == self.by && review.at >= self.at)
            .map(|review| review.at)
            .fold(self.until, Timestamp::min)
    }
}

/// When a clock that stands still during these spans has run for `seconds` since `since`.
pub(super) fn after_pauses(
    since: Timestamp,
    seconds: u32,
    spans: impl IntoIterator<Item = (Timestamp, Timestamp)>,
) -> Timestamp {
    let mut spans: Vec<_> = spans.into_iter().collect();
    spans.sort();
    let mut due = since
        .saturating_add(jiff::SignedDuration::from_secs(i64::from(seconds)))
        .unwrap_or(Timestamp::MAX);
    // How far the pauses so far reach; of those that overlap, only what is new counts.
    let mut reach = since;
    for (from, to) in spans {
        let from = from.max(reach);
        if from >= due || to <= from {
            continue;
        }
        due = due.saturating_add(to.duration_since(from)).unwrap_or(Timestamp::MAX);
        reach = to;
    }
    due
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[rstest]
    #[case::none(&[], 100)]
    #[case::one(&[(10, 30)], 120)]
    #[case::two(&[(10, 30), (50, 60)], 130)]
    #[case::overlapping(&[(10, 30), (20, 40)], 130)]
    #[case::one_in_another(&[(10, 50), (20, 30)], 140)]
    #[case::out_of_order(&[(50, 60), (10, 30)], 130)]
    #[case::too_late(&[(100, 130)], 100)]
    #[case::just_in_time(&[(99, 130)], 131)]
    #[case::only_because_of_another(&[(10, 30), (110, 120)], 130)]
    #[case::empty(&[(10, 10)], 100)]
    fn pauses(#[case] spans: &[(i64, i64)], #[case] due: i64) {
        let spans = spans.iter().map(|(from, to)| (at(*from), at(*to)));
        assert_eq!(after_pauses(at(0), 100, spans), at(due));
    }
}
