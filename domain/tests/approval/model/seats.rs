//! Whom the model's approvers mean, and in how many ways the slots can be filled.

use ebbgate_domain::{
    Timestamp,
    flow::{Need, Voices},
    schedule::Turn,
};

use super::{Group, Model, Quorum, Set, Who, active};
use crate::scenario::{PEOPLE, Scenario, number};

impl Model {
    pub(super) fn on_call(&self, scenario: &Scenario) -> Option<usize> {
        let schedule = scenario.policies.schedules.values().next().unwrap();
        let (mut who, mut next) = (None, None);
        // Turns from long ago until now, one after the other.
        let mut begins = Timestamp::from_second(-3 * 86_400).unwrap();
        let Turn::Day { at } = schedule.rotation.every else {
            unreachable!("this generator makes days")
        };
        begins += jiff::SignedDuration::from_mins(i64::from(at.minutes()));
        let people = &schedule.rotation.people;
        let days = self.now.duration_since(begins).as_secs().div_euclid(86_400);
        if !people.is_empty() {
            who = Some(number(&people[usize::try_from(days).unwrap() % people.len()]));
        }
        for other in &schedule.overrides {
            if other.from <= self.now && self.now < other.to {
                next = Some(number(&other.person));
            }
        }
        next.or(who).filter(|who| active(*who, scenario))
    }

    pub(super) fn members(&self, of: &[Who], scenario: &Scenario) -> Set {
        (0..PEOPLE)
            .filter(|who| active(*who, scenario))
            .filter(|who| {
                of.iter().any(|one| match one {
                    Who::Person(person) => person == who,
                    Who::Group(name) => {
                        scenario.principals[*who].groups.iter().any(|group| group.as_str() == name)
                    }
                    Who::OnCall => self.on_call(scenario) == Some(*who),
                    Who::Nobody => false,
                })
            })
            .collect()
    }

    pub(super) fn reached<'a>(&self, group: &'a Group, ever: bool) -> Vec<&'a [Who]> {
        let due = group.steps.iter().filter(|(after, _)| ever || *after <= group.minutes);
        due.map(|(_, to)| &to[..]).collect()
    }

    /// The seats that some approvers mean: now, at some time, or when somebody spoke.
    fn seats(&self, of: &[&[Who]], ever: bool, spoken: bool, scenario: &Scenario) -> Set {
        let of: Vec<Who> = of.concat();
        let mut seats = self.members(&of, scenario);
        if of.iter().any(|who| matches!(who, Who::OnCall)) {
            if ever {
                let schedule = scenario.policies.schedules.values().next().unwrap();
                seats.extend(schedule.people().map(number).filter(|who| active(*who, scenario)));
            }
            if spoken {
                let were = self.reviews.iter().flat_map(|said| said.on_call.iter().copied());
                seats.extend(were.filter(|who| active(*who, scenario)));
            }
        }
        seats.remove(&0);
        seats
    }

    pub(super) fn slots(
        &self,
        group: &Group,
        ever: bool,
        spoken: bool,
        scenario: &Scenario,
    ) -> Vec<Set> {
        let steps = self.reached(group, ever);
        let later = self.seats(&steps, ever, spoken, scenario);
        let both = self.seats(&[&[&group.of[..]], &steps[..]].concat(), ever, spoken, scenario);
        match group.need {
            Voices::Any => vec![both],
            Voices::AtLeast(count) => vec![both; count as usize],
            Voices::All => {
                let own = group.everyone.iter().map(|who| {
                    let mut seats = later.clone();
                    seats.extend(Some(*who).filter(|who| active(*who, scenario)));
                    seats
                });
                let lost = group.of.iter().filter(|who| matches!(who, Who::Nobody));
                let slots: Vec<_> = own.chain(lost.map(|_| later.clone())).collect();
                if slots.is_empty() { vec![later] } else { slots }
            }
        }
    }

    /// The pools of slots that share people, of which one or all must be full.
    pub(super) fn pools(&self, quorum: &Quorum, ever: bool, scenario: &Scenario) -> Vec<Vec<Set>> {
        let groups = quorum.groups.iter().map(|group| self.slots(group, ever, true, scenario));
        let groups: Vec<_> = groups.collect();
        let shared = quorum.between == Need::All && quorum.distinct;
        if shared { vec![groups.concat()] } else { groups }
    }
}

/// The most slots that can be filled: each voice fills none or one, from one of its seats; each
/// seat and each slot is used once. Every way is tried.
pub(super) fn most(slots: &[Set], voices: &[(usize, Set)]) -> usize {
    fn rest(slots: &mut Vec<Option<Set>>, voices: &[(usize, Set)], used: &mut Set) -> usize {
        let Some(((_, seats), others)) = voices.split_first() else { return 0 };
        let mut best = rest(slots, others, used);
        for seat in seats {
            if !used.insert(*seat) {
                continue;
            }
            for n in 0..slots.len() {
                if slots[n].as_ref().is_some_and(|may_fill| may_fill.contains(seat)) {
                    let slot = slots[n].take();
                    best = best.max(1 + rest(slots, others, used));
                    slots[n] = slot;
                }
            }
            used.remove(seat);
        }
        best
    }
    rest(&mut slots.iter().cloned().map(Some).collect(), voices, &mut Set::new())
}
