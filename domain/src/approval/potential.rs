//! Whether enough people could approve: when a request is made, and after somebody said no.

use std::collections::BTreeSet;

use super::{
    Case, FrozenGroup, GroupAt, Verdict,
    case::When,
    matching::{Voice, place},
};
use crate::{
    approver::Approver,
    flow::{Need, Voices},
    names::PrincipalId,
    people::People,
};

type Slots = Vec<BTreeSet<PrincipalId>>;

impl Case<'_> {
    /// Whether it could be approved if all who may decide now or later did.
    pub fn may_still_be_approved(&self, people: &People<'_>) -> bool {
        (0..self.quorums.len()).all(|quorum| self.lacks(quorum, people).is_empty())
    }

    /// What its quorums lack, in words; nothing where enough people could approve.
    pub fn lack(&self, people: &People<'_>) -> Vec<String> {
        (0..self.quorums.len()).flat_map(|quorum| self.lacks(quorum, people)).collect()
    }

    fn lacks(&self, quorum: usize, people: &People<'_>) -> Vec<String> {
        let asked = &self.quorums[quorum];
        // A slot that so many may fill never lacks somebody (each other slot takes one seat and one
        // voice from it), so that of a group of thousands only a few need be looked at.
        let voices: usize = asked.groups.iter().map(FrozenGroup::voices).sum();
        let few = When::Ever(voices.saturating_add(self.reviews.len()).saturating_mul(2));
        let groups = asked.groups.iter().enumerate();
        let slots: Vec<Slots> = groups
            .map(|(group, frozen)| self.slots(GroupAt { quorum, group }, frozen, few, people))
            .collect();
        let lacking = |slots: &Slots| !self.could_fill(slots, people);
        let alone: Vec<_> = asked
            .groups
            .iter()
            .zip(&slots)
            .filter(|(_, slots)| lacking(slots))
            .map(|(group, slots)| self.what_lacks(group, slots, people))
            .collect();
        match asked.between {
            _ if asked.groups.is_empty() => vec!["there are no approver groups".to_owned()],
            Need::Any if alone.len() < asked.groups.len() => Vec::new(),
            Need::All if alone.is_empty() && asked.distinct && lacking(&slots.concat()) => {
                vec!["one person would have to speak for two groups".to_owned()]
            }
            _ => alone,
        }
    }

    fn could_fill(&self, slots: &Slots, people: &People<'_>) -> bool {
        let spoken: BTreeSet<&PrincipalId> = self.reviews.iter().map(|review| &review.by).collect();
        let mut voices = self.voices(people);
        let mut who: BTreeSet<PrincipalId> = slots.iter().flatten().cloned().collect();
        for delegation in people.delegations.iter().filter(|d| d.end() > people.now) {
            if who.contains(&delegation.from) && people.directory.active(&delegation.to).is_some() {
                who.insert(delegation.to.clone());
            }
        }
        for person in who {
            if spoken.contains(&person) || person == *self.requester {
                continue;
            }
            let others = people
                .delegations
                .iter()
                .filter(|d| d.to == person && d.end() > people.now)
                .map(|d| d.from.clone());
            let seats = std::iter::once(person.clone()).chain(others).collect();
            voices.push(Voice { by: person, seats });
        }
        place(slots, &voices).is_full()
    }

    fn what_lacks(&self, group: &FrozenGroup, slots: &Slots, people: &People<'_>) -> String {
        let name = &group.name;
        let unknown: Vec<_> = group.unknown().map(|who| self.why_unknown(who)).collect();
        let seats: BTreeSet<_> = slots.iter().flatten().collect();
        let needed = match group.need {
            Voices::AtLeast(count) => u64::from(count),
            Voices::Any | Voices::All => slots.len().max(1) as u64,
        };
        let said_no = self.reviews.iter().filter(|r| r.verdict == Verdict::Deny).count();
        let mut listed = group.reached(group.steps.len());
        let own = listed.any(|approver| people.ever_meant(approver, self.requester));
        if seats.is_empty() {
            let mut why = unknown;
            if own {
                why.push("nobody approves their own request".to_owned());
            }
            let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
            return format!("nobody is in {name}{why}");
        }
        let mut text = format!("{name} needs {needed} approvals and has {} people", seats.len());
        if own {
            text.push_str(", you not counted");
        }
        if said_no > 0 {
            text.push_str(", of whom some said no");
        }
        if !unknown.is_empty() {
            text = format!("{text} ({})", unknown.join(", "));
        }
        text
    }

    fn why_unknown(&self, approver: &Approver) -> String {
        match approver {
            Approver::Manager => format!("the manager of {} is not known", self.requester),
            Approver::Owner => "the owner of the resource is not known".to_owned(),
            other => format!("nobody is {other} now"),
        }
    }
}
