//! Counting in examples: any and all, one person one place, leavers.

use std::{collections::BTreeSet, sync::LazyLock};

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{
    flow::{ApproverGroup, Need, Voices},
    names::PrincipalId,
    people::People,
    principal::{Directory, tests::person},
};

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

fn group(name: &str, need: Voices) -> ApproverGroup {
    ApproverGroup::new(name, need, vec![format!("group:{name}").parse().unwrap()])
}

fn freeze(between: Need, groups: &[ApproverGroup]) -> Quorum {
    let subjects = Subjects { requester: &id("ana"), owner: None };
    Quorum::freeze(between, groups, subjects, &People::new(&directory(), Timestamp::UNIX_EPOCH))
}

/// Ana's request, of which nothing was said yet.
fn case(quorum: &Quorum) -> Case<'_> {
    static ANA: LazyLock<PrincipalId> = LazyLock::new(|| id("ana"));
    Case {
        requester: &ANA,
        quorums: std::slice::from_ref(quorum),
        reviews: &[],
        claims: &[],
        since: Timestamp::UNIX_EPOCH,
    }
}

/// How Ana's request stands after these reviews.
fn tally(quorum: &Quorum, reviews: &[Review], directory: &Directory) -> Tally {
    let case = Case { reviews, ..case(quorum) };
    case.tallies(&People::new(directory, Timestamp::UNIX_EPOCH)).remove(0)
}

/// Whether these people's approvals are enough for Ana's request.
fn check(between: Need, groups: &[ApproverGroup], yes: &[&str]) -> bool {
    tally(&freeze(between, groups), &reviews(yes), &directory()).approved
}

fn reviews(yes: &[&str]) -> Vec<Review> {
    let at = Timestamp::UNIX_EPOCH;
    yes.iter().map(|name| Review::new(id(name), Verdict::Approve, None, at)).collect()
}

#[test]
fn any_and_all_inside_and_between() {
    use Need::{All, Any};
    let any = || [group("dba", Voices::Any), group("security", Voices::Any)];
    assert!(check(Any, &any(), &["carla"]));
    assert!(!check(All, &any(), &["carla"]));
    assert!(check(All, &any(), &["carla", "joao"]));
    assert!(!check(Any, &[group("dba", Voices::All)], &["maria", "joao"]));
    assert!(check(Any, &[group("dba", Voices::All)], &["maria", "joao", "both"]));
}

#[test]
fn one_person_counts_once_in_two_groups() {
    let groups = [group("dba", Voices::Any), group("security", Voices::Any)];
    assert!(!check(Need::All, &groups, &["both"]));
    assert!(check(Need::All, &groups, &["both", "carla"]));
    assert!(check(Need::All, &groups, &["both", "maria"]));
}

#[test]
fn a_requester_never_counts() {
    let groups = [group("data", Voices::Any)];
    assert!(!check(Need::Any, &groups, &["ana"]));
    let quorum = freeze(Need::Any, &groups);
    let lack = case(&quorum).lack(&People::new(&directory(), Timestamp::UNIX_EPOCH));
    assert_eq!(lack, ["nobody is in data (nobody approves their own request)"]);
}

#[test]
fn no_groups_approve_nothing() {
    assert!(!check(Need::All, &[], &["maria"]));
    assert!(!check(Need::Any, &[], &["maria"]));
    assert!(!check(Need::All, &[group("nobody", Voices::All)], &["maria"]));
}

#[test]
fn an_approver_who_left_counts_no_longer() {
    let quorum = freeze(Need::Any, &[group("security", Voices::Any)]);
    let moved = Directory::new([person("carla", &["sales"]), person("both", &["security"])]);
    assert!(tally(&quorum, &reviews(&["carla"]), &directory()).approved);
    assert!(!tally(&quorum, &reviews(&["carla"]), &moved).approved);
}

#[test]
fn the_tally_tells_whom_it_waits_for() {
    let groups = [group("dba", Voices::Any), group("security", Voices::Any)];
    let tally = tally(&freeze(Need::All, &groups), &reviews(&["maria"]), &directory());
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
            (0..members.len()).map(|g| group(&format!("g{g}"), Voices::Any)).collect();
        let requester = id("p0");
        let subjects = Subjects { requester: &requester, owner: None };
        let people = People::new(&directory, Timestamp::UNIX_EPOCH);
        let quorum = Quorum::freeze(Need::All, &groups, subjects, &people);
        let names: Vec<_> = yes.iter().map(|n| format!("p{n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let reviews = reviews(&names);
        let case = Case { requester: &requester, reviews: &reviews, ..case(&quorum) };
        let tally = case.tallies(&people).remove(0);
        let voices = yes.iter().filter(|n| **n != 0).count();
        prop_assert!(!tally.approved || voices >= groups.len());
        let counted: Vec<_> = tally.groups.iter().flat_map(|g| &g.approved_by).collect();
        let distinct: BTreeSet<_> = counted.iter().collect();
        prop_assert_eq!(counted.len(), distinct.len());
        prop_assert!(!counted.contains(&&requester));
    }
}
