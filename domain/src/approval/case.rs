//! A request's approval as it stands: who may decide, and what comes of what was said.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    Claim, FrozenGroup, GroupAt, Quorum, Review, Verdict,
    claim::after_pauses,
    matching::Voice,
    tally::{self, Tally},
};
use crate::{
    approver::Approver,
    flow::{Need, Voices},
    names::{PrincipalId, ScheduleName},
    people::People,
};

/// What is to be decided, and what was said of it.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// Who asks.
    pub requester: &'a PrincipalId,
    /// What it needs; all of them.
    pub quorums: &'a [Quorum],
    /// What was said.
    pub reviews: &'a [Review],
    /// Who is looking, or was.
    pub claims: &'a [Claim],
    /// When it was asked.
    pub since: Timestamp,
}

/// What comes of what was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Enough people have approved: these.
    Approved(BTreeSet<PrincipalId>),
    /// It cannot be approved any more, because somebody said no.
    Denied,
    /// It waits.
    Open,
}

/// Whom a group's approvers are taken to mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Those who are meant now.
    Now,
    /// Those who are meant now or may be later: all steps, everybody who takes turns. Of each
    /// approver as many as are given here are enough, besides those about whom something was said.
    Ever(usize),
}

impl<'a> Case<'a> {
    /// The groups of all quorums.
    pub(super) fn groups(&self) -> impl Iterator<Item = (GroupAt, &'a FrozenGroup)> {
        self.quorums.iter().enumerate().flat_map(|(quorum, asked)| {
            asked
                .groups
                .iter()
                .enumerate()
                .map(move |(group, frozen)| (GroupAt { quorum, group }, frozen))
        })
    }

    /// When the people of a group's step may decide; claims so far are counted.
    pub fn step_due(&self, at: GroupAt, after_seconds: u32) -> Timestamp {
        let claims = self.claims.iter().filter(|claim| claim.groups.contains(&at));
        let spans = claims.map(|claim| (claim.at, claim.end(self.reviews)));
        after_pauses(self.since, after_seconds, spans)
    }

    /// How many of a group's steps have been reached.
    pub(super) fn reached(&self, at: GroupAt, group: &FrozenGroup, now: Timestamp) -> usize {
        group.steps.iter().take_while(|step| self.step_due(at, step.after_seconds) <= now).count()
    }

    /// When the next step of any group is due.
    pub fn next_step(&self, now: Timestamp) -> Option<Timestamp> {
        self.groups()
            .flat_map(|(at, group)| {
                group.steps.iter().map(move |step| self.step_due(at, step.after_seconds))
            })
            .filter(|due| *due > now)
            .min()
    }

    /// The groups in which this person has a say now, in their own seat or another's.
    pub fn groups_of(&self, person: &PrincipalId, people: &People<'_>) -> Vec<GroupAt> {
        if person == self.requester || people.directory.active(person).is_none() {
            return Vec::new();
        }
        let seats: Vec<&PrincipalId> = std::iter::once(person)
            .chain(people.speaks_for(person))
            .filter(|seat| *seat != self.requester)
            .collect();
        self.groups()
            .filter(|(at, group)| {
                let reached = self.reached(*at, group, people.now);
                seats.iter().any(|seat| has_seat(group, reached, seat, people))
            })
            .map(|(at, _)| at)
            .collect()
    }

    /// The schedules that its groups ask.
    pub(crate) fn schedules(&self) -> BTreeSet<&'a ScheduleName> {
        let groups = self.quorums.iter().flat_map(|quorum| &quorum.groups);
        let approvers = groups.flat_map(|group| group.reached(group.steps.len()));
        approvers
            .filter_map(|approver| match approver {
                Approver::OnCall(schedule) => Some(schedule),
                _ => None,
            })
            .collect()
    }

    /// Whether this person's say counts now.
    pub fn may_decide(&self, person: &PrincipalId, people: &People<'_>) -> bool {
        !self.groups_of(person, people).is_empty()
    }

    /// Whether this person's 'no' is enough.
    pub fn denies_at_once(&self, person: &PrincipalId, people: &People<'_>) -> bool {
        let groups = self.groups_of(person, people);
        groups.iter().any(|at| self.quorums[at.quorum].groups[at.group].deny == Need::Any)
    }

    /// Everybody whose say counts now.
    pub fn approvers(&self, people: &People<'_>) -> BTreeSet<PrincipalId> {
        let mut found = BTreeSet::new();
        for (at, group) in self.groups() {
            for slot in self.slots(at, group, When::Now, people) {
                for seat in slot {
                    found.extend(people.substitutes(&seat).cloned());
                    found.insert(seat);
                }
            }
        }
        found.remove(self.requester);
        found
    }

    /// What comes of what was said, as of now. An approval is a matter of those who count now:
    /// whoever was disabled or left the group since they spoke counts no longer.
    pub fn decision(&self, people: &People<'_>) -> Decision {
        let tallies = self.tallies(people);
        if !tallies.is_empty() && tallies.iter().all(|tally| tally.approved) {
            let voices = tallies.into_iter().flat_map(|tally| tally.groups);
            return Decision::Approved(voices.flat_map(|group| group.approved_by).collect());
        }
        let denied = self.reviews.iter().any(|review| review.verdict == Verdict::Deny);
        if denied && !self.may_still_be_approved(people) {
            return Decision::Denied;
        }
        Decision::Open
    }

    /// How each quorum stands.
    pub fn tallies(&self, people: &People<'_>) -> Vec<Tally> {
        let voices = self.voices(people);
        (0..self.quorums.len()).map(|quorum| tally::count(self, quorum, &voices, people)).collect()
    }

    /// Those who said yes and may still say anything.
    pub(super) fn voices(&self, people: &People<'_>) -> Vec<Voice> {
        self.reviews
            .iter()
            .filter(|review| review.verdict == Verdict::Approve && review.by != *self.requester)
            .filter(|review| people.directory.active(&review.by).is_some())
            .map(|review| Voice { by: review.by.clone(), seats: review.seats() })
            .collect()
    }

    /// The voices that a group needs; each slot lists the seats that may fill it. An `all` group
    /// that lost a member keeps that member's slot, which only somebody of a later step can fill:
    /// without one, the request lapses rather than being decided by fewer than the flow asked for.
    pub(super) fn slots(
        &self,
        at: GroupAt,
        group: &FrozenGroup,
        when: When,
        people: &People<'_>,
    ) -> Vec<BTreeSet<PrincipalId>> {
        let reached = match when {
            When::Now => self.reached(at, group, people.now),
            When::Ever(_) => group.steps.len(),
        };
        let later = || group.steps.iter().take(reached).flat_map(|step| &step.to);
        match group.need {
            Voices::Any => vec![self.meant(group.of.iter().chain(later()), when, people)],
            Voices::AtLeast(count) => {
                let seats = self.meant(group.of.iter().chain(later()), when, people);
                // One slot too many is as far from being filled as a million.
                let count = (count as usize).min(seats.len() + 1);
                vec![seats; count]
            }
            Voices::All => {
                let later = self.meant(later(), when, people);
                let own = group.everyone.iter().map(|person| {
                    let mut seats = later.clone();
                    if person != self.requester && people.directory.active(person).is_some() {
                        seats.insert(person.clone());
                    }
                    seats
                });
                let unknown = group.unknown().map(|_| later.clone());
                let slots: Vec<_> = own.chain(unknown).collect();
                // Where there was nobody, one of a later step speaks for the group.
                if slots.is_empty() { vec![later] } else { slots }
            }
        }
    }

    /// Everybody who said something, and in whose seats they could.
    fn spoken_of(&self) -> impl Iterator<Item = PrincipalId> {
        self.reviews.iter().flat_map(Review::seats)
    }

    /// The seats that these approvers mean, without the requester's.
    fn meant<'b>(
        &self,
        approvers: impl Iterator<Item = &'b Approver> + Clone,
        when: When,
        people: &People<'_>,
    ) -> BTreeSet<PrincipalId> {
        let mut seats = match when {
            When::Now => people.resolve(approvers.clone()),
            When::Ever(few) => approvers
                .clone()
                .flat_map(|approver| people.some_ever(approver, self.requester, few))
                .collect(),
        };
        if let When::Ever(_) = when {
            seats.extend(self.spoken_of().filter(|seat| {
                approvers.clone().any(|approver| people.ever_meant(approver, seat))
            }));
        }
        // Who spoke while on call was on call, whoever is now.
        for standing in self.reviews.iter().flat_map(|review| &review.standing) {
            let was = approvers.clone().any(|approver| match approver {
                Approver::OnCall(schedule) => standing.on_call.contains(schedule),
                _ => false,
            });
            if was && people.directory.active(&standing.of).is_some() {
                seats.insert(standing.of.clone());
            }
        }
        seats.remove(self.requester);
        seats
    }
}

/// Whether a person is meant by a group now, with its first `reached` steps.
pub(super) fn has_seat(
    group: &FrozenGroup,
    reached: usize,
    seat: &PrincipalId,
    people: &People<'_>,
) -> bool {
    let later = || group.steps.iter().take(reached).flat_map(|step| &step.to);
    match group.need {
        Voices::Any | Voices::AtLeast(_) => {
            group.of.iter().chain(later()).any(|approver| people.meant(approver, seat))
        }
        Voices::All => {
            people.directory.active(seat).is_some()
                && (group.everyone.contains(seat)
                    || later().any(|approver| people.meant(approver, seat)))
        }
    }
}
