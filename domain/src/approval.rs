//! Approval: from a flow's groups and what people said to a decision. Pure counting.
//!
//! One person counts once, however many groups list them, and a requester never counts (I9): each
//! needed voice is a *slot*, each approver fills at most one of them, and the groups are content
//! when every slot can be filled (a maximum matching).

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    flow::{ApproverGroup, Need},
    names::PrincipalId,
    principal::{Directory, Subject},
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
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No: one is enough to deny the request.
    Deny,
}

/// An approver group as it was when the request was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenGroup {
    /// Its name.
    pub name: String,
    /// One or all of them.
    pub need: Need,
    /// Whom the flow lists. Of an `any` group, whoever is meant *now* may approve.
    pub of: Vec<Subject>,
    /// Of an `all` group: everybody who was meant when the request was made. Empty otherwise.
    pub everyone: BTreeSet<PrincipalId>,
}

/// The approval that a request needs, frozen with it (I10).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// Whether one group is enough.
    pub between: Need,
    /// The groups.
    pub groups: Vec<FrozenGroup>,
}

/// How the count stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Whether enough people have approved.
    pub approved: bool,
    /// Each group in turn.
    pub groups: Vec<GroupTally>,
}

/// How the count stands in one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupTally {
    /// The group's name.
    pub name: String,
    /// One or all of them.
    pub need: Need,
    /// Whether the group is content.
    pub satisfied: bool,
    /// Who counted for it.
    pub approved_by: Vec<PrincipalId>,
    /// Whose approval could still count for it.
    pub waiting_for: Vec<PrincipalId>,
}

impl Quorum {
    /// Freezes a flow's groups for a request of `requester`.
    pub fn freeze(
        between: Need,
        groups: &[ApproverGroup],
        requester: &PrincipalId,
        directory: &Directory,
    ) -> Self {
        let groups = groups
            .iter()
            .map(|group| {
                let mut everyone = BTreeSet::new();
                if group.need == Need::All {
                    everyone = directory.resolve(&group.of);
                    everyone.remove(requester);
                }
                FrozenGroup {
                    name: group.name.clone(),
                    need: group.need,
                    of: group.of.clone(),
                    everyone,
                }
            })
            .collect();
        Self { between, groups }
    }

    /// Everybody whose approval could count now.
    pub fn approvers(
        &self,
        requester: &PrincipalId,
        directory: &Directory,
    ) -> BTreeSet<PrincipalId> {
        self.groups.iter().flat_map(|group| group.eligible(requester, directory)).collect()
    }

    /// Whether the request would be approved if everybody who may approve did.
    pub fn is_satisfiable(&self, requester: &PrincipalId, directory: &Directory) -> bool {
        self.count(requester, &self.approvers(requester, directory), directory).approved
    }

    /// Counts the reviews. Only people who may approve *now* count: whoever was disabled or left
    /// the group since they spoke counts no longer.
    pub fn tally(
        &self,
        requester: &PrincipalId,
        reviews: &[Review],
        directory: &Directory,
    ) -> Tally {
        let yes = reviews
            .iter()
            .filter(|review| review.verdict == Verdict::Approve)
            .map(|review| review.by.clone())
            .collect();
        self.count(requester, &yes, directory)
    }

    fn count(
        &self,
        requester: &PrincipalId,
        yes: &BTreeSet<PrincipalId>,
        directory: &Directory,
    ) -> Tally {
        let eligible: Vec<_> =
            self.groups.iter().map(|group| group.eligible(requester, directory)).collect();
        let slots: Vec<Vec<BTreeSet<PrincipalId>>> =
            self.groups.iter().zip(&eligible).map(|(group, who)| group.slots(who)).collect();
        // Where all groups must agree, they share one pool of people; where one is enough, each
        // may count everybody.
        let filled: Vec<Vec<Option<PrincipalId>>> = match self.between {
            Need::All => split_like(&fill(&slots.concat(), yes), &slots),
            Need::Any => slots.iter().map(|slots| fill(slots, yes)).collect(),
        };
        let used: BTreeSet<_> = match self.between {
            Need::All => filled.iter().flatten().flatten().cloned().collect(),
            Need::Any => BTreeSet::new(),
        };
        let groups: Vec<_> = self
            .groups
            .iter()
            .zip(&eligible)
            .zip(&filled)
            .map(|((group, who), filled)| group.tally(who, filled, &used))
            .collect();
        let approved = match self.between {
            Need::All => !groups.is_empty() && groups.iter().all(|group| group.satisfied),
            Need::Any => groups.iter().any(|group| group.satisfied),
        };
        Tally { approved, groups }
    }
}

impl FrozenGroup {
    fn eligible(&self, requester: &PrincipalId, directory: &Directory) -> BTreeSet<PrincipalId> {
        let mut who: BTreeSet<_> = match self.need {
            Need::Any => directory.resolve(&self.of),
            Need::All => {
                self.everyone.iter().filter(|id| directory.active(id).is_some()).cloned().collect()
            }
        };
        who.remove(requester);
        who
    }

    /// The voices this group needs; each slot lists who may fill it. An `all` group that lost a
    /// member keeps that member's slot, which nobody can fill: the request lapses rather than
    /// being decided by fewer than the flow asked for.
    fn slots(&self, eligible: &BTreeSet<PrincipalId>) -> Vec<BTreeSet<PrincipalId>> {
        match self.need {
            Need::Any => vec![eligible.clone()],
            Need::All => self
                .everyone
                .iter()
                .map(|id| eligible.get(id).cloned().into_iter().collect())
                .collect(),
        }
    }

    fn tally(
        &self,
        eligible: &BTreeSet<PrincipalId>,
        filled: &[Option<PrincipalId>],
        used: &BTreeSet<PrincipalId>,
    ) -> GroupTally {
        let approved_by: Vec<_> = filled.iter().flatten().cloned().collect();
        let satisfied = !filled.is_empty() && approved_by.len() == filled.len();
        let waiting_for = if satisfied {
            Vec::new()
        } else {
            eligible
                .iter()
                .filter(|id| !used.contains(*id) && !approved_by.contains(id))
                .cloned()
                .collect()
        };
        GroupTally { name: self.name.clone(), need: self.need, satisfied, approved_by, waiting_for }
    }
}

/// Fills as many slots as can be filled with different people (Kuhn's augmenting paths).
fn fill(
    slots: &[BTreeSet<PrincipalId>],
    people: &BTreeSet<PrincipalId>,
) -> Vec<Option<PrincipalId>> {
    let mut filled: Vec<Option<PrincipalId>> = vec![None; slots.len()];
    for slot in 0..slots.len() {
        place(slot, slots, people, &mut filled, &mut BTreeSet::new());
    }
    filled
}

fn place(
    slot: usize,
    slots: &[BTreeSet<PrincipalId>],
    people: &BTreeSet<PrincipalId>,
    filled: &mut Vec<Option<PrincipalId>>,
    tried: &mut BTreeSet<PrincipalId>,
) -> bool {
    for person in slots[slot].intersection(people) {
        if !tried.insert(person.clone()) {
            continue;
        }
        let held = filled.iter().position(|in_slot| in_slot.as_ref() == Some(person));
        if held.is_none_or(|other| place(other, slots, people, filled, tried)) {
            filled[slot] = Some(person.clone());
            return true;
        }
    }
    false
}

/// Cuts a flat list into parts as long as those of `shape`.
fn split_like<T: Clone, U>(flat: &[T], shape: &[Vec<U>]) -> Vec<Vec<T>> {
    let mut rest = flat;
    shape
        .iter()
        .map(|part| {
            let (head, tail) = rest.split_at(part.len());
            rest = tail;
            head.to_vec()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::principal::tests::person;

    fn directory() -> Directory {
        Directory::new([
            person("ana", &["data"]),
            person("maria", &["dba"]),
            person("joao", &["dba"]),
            person("carla", &["security"]),
            person("both", &["dba", "security"]),
        ])
    }

    fn id(name: &str) -> PrincipalId {
        format!("{name}@example.com").parse().unwrap()
    }

    fn group(name: &str, need: Need) -> ApproverGroup {
        ApproverGroup {
            name: name.to_owned(),
            need,
            of: vec![format!("group:{name}").parse().unwrap()],
        }
    }

    /// Whether these people's approvals are enough for Ana's request.
    fn check(between: Need, groups: &[ApproverGroup], yes: &[&str]) -> bool {
        let quorum = Quorum::freeze(between, groups, &id("ana"), &directory());
        quorum.tally(&id("ana"), &reviews(yes), &directory()).approved
    }

    fn reviews(yes: &[&str]) -> Vec<Review> {
        yes.iter()
            .map(|name| Review {
                by: id(name),
                verdict: Verdict::Approve,
                comment: None,
                at: Timestamp::UNIX_EPOCH,
            })
            .collect()
    }

    #[test]
    fn any_and_all_inside_and_between() {
        use Need::{All, Any};
        let any = |need| [group("dba", need), group("security", need)];
        assert!(check(Any, &any(Any), &["carla"]));
        assert!(!check(All, &any(Any), &["carla"]));
        assert!(check(All, &any(Any), &["carla", "joao"]));
        assert!(!check(Any, &[group("dba", All)], &["maria", "joao"]));
        assert!(check(Any, &[group("dba", All)], &["maria", "joao", "both"]));
    }

    #[test]
    fn one_person_counts_once_in_two_groups() {
        let groups = [group("dba", Need::Any), group("security", Need::Any)];
        assert!(!check(Need::All, &groups, &["both"]));
        assert!(check(Need::All, &groups, &["both", "carla"]));
        assert!(check(Need::All, &groups, &["both", "maria"]));
    }

    #[test]
    fn a_requester_never_counts() {
        let groups = [group("data", Need::Any)];
        assert!(!check(Need::Any, &groups, &["ana"]));
        let quorum = Quorum::freeze(Need::Any, &groups, &id("ana"), &directory());
        assert!(!quorum.is_satisfiable(&id("ana"), &directory()));
    }

    #[test]
    fn no_groups_approve_nothing() {
        assert!(!check(Need::All, &[], &["maria"]));
        assert!(!check(Need::Any, &[], &["maria"]));
        assert!(!check(Need::All, &[group("nobody", Need::All)], &["maria"]));
    }

    #[test]
    fn an_approver_who_left_counts_no_longer() {
        let quorum =
            Quorum::freeze(Need::Any, &[group("security", Need::Any)], &id("ana"), &directory());
        let moved = Directory::new([person("carla", &["sales"]), person("both", &["security"])]);
        assert!(quorum.tally(&id("ana"), &reviews(&["carla"]), &directory()).approved);
        assert!(!quorum.tally(&id("ana"), &reviews(&["carla"]), &moved).approved);
    }

    #[test]
    fn the_tally_tells_whom_it_waits_for() {
        let groups = [group("dba", Need::Any), group("security", Need::Any)];
        let quorum = Quorum::freeze(Need::All, &groups, &id("ana"), &directory());
        let tally = quorum.tally(&id("ana"), &reviews(&["maria"]), &directory());
        assert_eq!(tally.groups[0].approved_by, [id("maria")]);
        assert_eq!(tally.groups[1].waiting_for, [id("both"), id("carla")]);
    }

    proptest! {
        /// I9: with k groups that must all agree, fewer than k different people never decide.
        #[test]
        fn fewer_people_than_groups_never_decide(
            members in prop::collection::vec(prop::collection::btree_set(0..6_usize, 1..6), 1..5),
            yes in prop::collection::btree_set(0..6_usize, 0..6),
        ) {
            let people: Vec<_> = (0..6)
                .map(|n| person(&format!("p{n}"), &members.iter().enumerate()
                    .filter(|(_, who)| who.contains(&n))
                    .map(|(g, _)| ["g0", "g1", "g2", "g3", "g4"][g])
                    .collect::<Vec<_>>()))
                .collect();
            let directory = Directory::new(people);
            let groups: Vec<_> =
                (0..members.len()).map(|g| group(&format!("g{g}"), Need::Any)).collect();
            let requester = id("p0");
            let quorum = Quorum::freeze(Need::All, &groups, &requester, &directory);
            let names: Vec<_> = yes.iter().map(|n| format!("p{n}")).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let tally = quorum.tally(&requester, &reviews(&names), &directory);
            let voices = yes.iter().filter(|n| **n != 0).count();
            prop_assert!(!tally.approved || voices >= groups.len());
            let counted: Vec<_> = tally.groups.iter().flat_map(|g| &g.approved_by).collect();
            let distinct: BTreeSet<_> = counted.iter().collect();
            prop_assert_eq!(counted.len(), distinct.len());
            prop_assert!(!counted.contains(&&requester));
        }
    }
}
