//! How the count stands, and whom it waits for.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    Case, FrozenGroup, GroupAt, Told,
    case::{When, has_seat},
    matching::{Placement, Voice, place},
};
use crate::{
    approver::Approver,
    flow::{Need, Voices},
    ids::GrantId,
    names::PrincipalId,
    people::People,
};

/// How the count stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Whether enough people have approved.
    pub approved: bool,
    /// The items that it is for; all where none is named.
    pub items: Vec<GrantId>,
    /// Whether one group is enough.
    pub between: Need,
    /// Each group in turn.
    pub groups: Vec<GroupTally>,
}

/// How the count stands in one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupTally {
    /// The group's name.
    pub name: String,
    /// How many of them must approve.
    pub need: Voices,
    /// Whether the group is content.
    pub satisfied: bool,
    /// Who counted for it.
    pub approved_by: Vec<PrincipalId>,
    /// Whose approval could still count for it.
    pub waiting_for: Vec<PrincipalId>,
    /// When more people are asked, and who.
    pub next: Option<NextStep>,
    /// In whose seats those who are waited for sit, for telling them.
    pub(super) seats: BTreeSet<PrincipalId>,
    pub(super) at: GroupAt,
}

/// When more people are asked, and who.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextStep {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub to: Vec<Approver>,
}

/// Counts the voices for one quorum.
pub(super) fn count(
    case: &Case<'_>,
    quorum: usize,
    voices: &[Voice],
    people: &People<'_>,
) -> Tally {
    let asked = &case.quorums[quorum];
    let slots: Vec<Vec<BTreeSet<PrincipalId>>> = asked
        .groups
        .iter()
        .enumerate()
        .map(|(group, frozen)| case.slots(GroupAt { quorum, group }, frozen, When::Now, people))
        .collect();
    // Where all groups must agree and one person counts once, they share one pool of people; where
    // one group is enough, each may count everybody.
    let shared = asked.between == Need::All && asked.distinct;
    let all: Vec<BTreeSet<PrincipalId>> = if shared { slots.concat() } else { Vec::new() };
    let together = shared.then(|| place(&all, voices));
    let mut first = 0;
    let groups: Vec<_> = slots
        .iter()
        .enumerate()
        .map(|(group, own)| {
            let at = GroupAt { quorum, group };
            let range = first..first + own.len();
            first = range.end;
            match &together {
                Some(placement) => group_tally(case, at, placement, range, people),
                None => group_tally(case, at, &place(own, voices), 0..own.len(), people),
            }
        })
        .collect();
    let approved = match asked.between {
        Need::All => !groups.is_empty() && groups.iter().all(|group| group.satisfied),
        Need::Any => groups.iter().any(|group| group.satisfied),
    };
    Tally { approved, items: asked.items.clone(), between: asked.between, groups }
}

fn group_tally(
    case: &Case<'_>,
    at: GroupAt,
    placement: &Placement<'_>,
    slots: std::ops::Range<usize>,
    people: &People<'_>,
) -> GroupTally {
    let group = &case.quorums[at.quorum].groups[at.group];
    let filled = &placement.filled()[slots.clone()];
    let approved_by: Vec<_> = filled.iter().flatten().cloned().collect();
    let satisfied = !filled.is_empty() && approved_by.len() == filled.len();
    let mut seats = if satisfied { BTreeSet::new() } else { placement.wanted(slots) };
    // Whoever was on call when somebody spoke for them has that voice counted, but no say now.
    seats.retain(|seat| case.seat_in(at.quorum, seat, people).is_some());
    let waiting: BTreeSet<_> = seats.iter().flat_map(|seat| speakers(case, seat, people)).collect();
    let next = group.steps.iter().find_map(|step| {
        let due = case.step_due(at, step.after_seconds);
        (due > people.now && !satisfied).then(|| NextStep { at: due, to: step.to.clone() })
    });
    GroupTally {
        name: group.name.clone(),
        need: group.need,
        satisfied,
        approved_by,
        waiting_for: waiting.into_iter().collect(),
        next,
        seats,
        at,
    }
}

/// Those who may speak in a seat and have not spoken yet.
fn speakers(case: &Case<'_>, seat: &PrincipalId, people: &People<'_>) -> Vec<PrincipalId> {
    std::iter::once(seat)
        .chain(people.substitutes(seat))
        .filter(|who| *who != case.requester && people.directory.active(who).is_some())
        .filter(|who| !case.reviews.iter().any(|review| review.by == **who))
        .cloned()
        .collect()
}

impl Case<'_> {
    /// Everybody whom it waits for now, each once, and why.
    pub fn waiting(&self, people: &People<'_>) -> Vec<Told> {
        let mut found: Vec<Told> = Vec::new();
        let mut known = BTreeSet::new();
        for tally in self.tallies(people).iter().filter(|tally| !tally.approved) {
            for group in &tally.groups {
                for seat in &group.seats {
                    for who in speakers(self, seat, people) {
                        let seat_in = self.seat_in(group.at.quorum, seat, people);
                        let Some((of, step)) = seat_in.filter(|_| known.insert(who.clone())) else {
                            continue;
                        };
                        found.push(Told {
                            at: people.now,
                            group: of.name.clone(),
                            step,
                            in_place_of: (who != *seat).then(|| seat.clone()),
                            withdrawn_at: None,
                            who,
                        });
                    }
                }
            }
        }
        found
    }

    /// The group of a quorum that a seat belongs to now, and since which step: 0 for its members.
    fn seat_in(
        &self,
        quorum: usize,
        seat: &PrincipalId,
        people: &People<'_>,
    ) -> Option<(&FrozenGroup, u32)> {
        self.quorums[quorum].groups.iter().enumerate().find_map(|(group, frozen)| {
            let reached = self.reached(GroupAt { quorum, group }, frozen, people.now);
            let step = (0..=reached).find(|step| has_seat(frozen, *step, seat, people))?;
            Some((frozen, u32::try_from(step).unwrap_or(u32::MAX)))
        })
    }
}
