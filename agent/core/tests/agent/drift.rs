//! What a look at a target makes the agent do.

use std::collections::BTreeSet;

use crate::support::*;
use ebbgate_agent_core::{Agent, Done, Failure, Look, Report, Step, SweepReport, Welcome};
use ebbgate_domain::order::Provisioned;
use ebbgate_domain::{ids::GrantId, order::EndCause};
use jiff::SignedDuration;

/// A look at the target of `orders`, over at once, that finds these grants' marks.
fn look(s: i64, found: &[u8]) -> Look {
    Look {
        integration: orders(),
        started: at(s),
        found: Ok(found.iter().map(|n| grant(*n)).collect()),
        marks_every_grant: true,
    }
}

fn told(steps: &[Step]) -> SweepReport {
    let Some(Step::Report(Report::Swept(report))) = steps.last() else { panic!("{steps:?}") };
    report.clone()
}

fn grants(ns: &[u8]) -> Vec<GrantId> {
    ns.iter().map(|n| grant(*n)).collect()
}

/// An agent with grant 1, of whose integration it alone takes care.
fn alone() -> Agent {
    let mut agent = provisioned().with_orphan_age(SignedDuration::ZERO);
    agent.on_welcome(welcome(vec![provision(1, 1, 600)], at(5).wall), false, &at(5));
    agent
}

fn removed(agent: &mut Agent, n: u8, s: i64) -> Vec<String> {
    let done = Done::Orphan { integration: orders(), result: Ok(finding(&at(s))) };
    words(&agent.on_done(grant(n), done, &at(s)))
}

#[test]
fn marks_that_nobody_knows_are_removed_but_never_before_the_first_welcome() {
    let mut agent = provisioned().with_orphan_age(SignedDuration::ZERO);
    assert!(agent.on_look(look(5, &[1, 8, 9]), &at(5)).is_empty());
    let listed = vec![provision(1, 1, 600), provision(9, 1, 600)];
    agent.on_welcome(welcome(listed, at(5).wall), true, &at(5));
    let steps = agent.on_look(look(6, &[1, 8, 9]), &at(6));
    assert_eq!(words(&steps), ["remove orphan", "tell swept"]);
    let report = told(&steps);
    assert_eq!((report.marked, report.orphans), (3, grants(&[8])));
    assert_eq!(
        words(&agent.on_look(look(6, &[1, 8, 9]), &at(6))),
        ["tell swept"],
        "it is under way"
    );
    assert_eq!(removed(&mut agent, 8, 7), ["tell orphan removed"]);
}

#[test]
fn a_mark_must_be_old_and_the_broker_asked_before_it_goes() {
    let mut agent = provisioned();
    let welcomed = |agent: &mut Agent, s: i64| {
        agent.on_welcome(welcome(vec![provision(1, 1, 600)], at(s).wall), false, &at(s));
    };
    welcomed(&mut agent, 5);
    let first = agent.on_look(look(6, &[1, 8]), &at(6));
    assert_eq!(words(&first), ["tell swept"]);
    assert_eq!(told(&first).orphans, grants(&[8]), "it is told from the first look on");
    assert_eq!(words(&agent.on_look(look(30, &[1, 8]), &at(30))), ["tell swept"]);
    // It might be a grant that another agent has been given since the Welcome.
    assert_eq!(words(&agent.on_look(look(66, &[1, 8]), &at(66))), ["ask anew", "tell swept"]);
    welcomed(&mut agent, 67);
    assert_eq!(words(&agent.on_look(look(68, &[1, 8]), &at(68))), ["remove orphan", "tell swept"]);
    // It could not be removed: the next look tries again.
    let failed = Done::Orphan { integration: orders(), result: Err(Failure::passing("away")) };
    agent.on_done(grant(8), failed, &at(69));
    assert_eq!(words(&agent.on_look(look(70, &[1, 8]), &at(70))), ["remove orphan", "tell swept"]);
}

#[test]
fn a_mark_that_was_gone_in_between_is_seen_for_the_first_time_again() {
    let mut agent = provisioned();
    agent.on_welcome(welcome(vec![provision(1, 1, 600)], at(5).wall), false, &at(5));
    agent.on_look(look(6, &[1, 8]), &at(6));
    agent.on_look(look(66, &[1]), &at(66));
    assert_eq!(words(&agent.on_look(look(70, &[1, 8]), &at(70))), ["tell swept"]);
}

#[test]
fn what_another_agent_holds_is_no_orphan() {
    let mut agent = provisioned().with_orphan_age(SignedDuration::ZERO);
    let elsewhere = Welcome { elsewhere: [grant(8)].into(), ..welcome(vec![], at(5).wall) };
    agent.on_welcome(elsewhere, false, &at(5));
    let steps = agent.on_look(look(6, &[8, 9]), &at(6));
    assert_eq!(told(&steps).orphans, grants(&[9]));
}

#[test]
fn what_another_agent_is_given_after_the_welcome_is_no_orphan_either() {
    let mut agent = alone();
    agent.on_elsewhere(grant(8));
    assert_eq!(told(&agent.on_look(look(6, &[1, 8]), &at(6))).orphans, []);
}

#[test]
fn what_another_agent_held_is_an_orphan_once_it_is_over() {
    let mut agent = alone();
    agent.on_elsewhere(grant(8));
    assert_eq!(words(&agent.on_elsewhere_over(grant(8), &at(5))), [""; 0]);
    assert_eq!(told(&agent.on_look(look(6, &[1, 8]), &at(6))).orphans, grants(&[8]));
}

#[test]
fn what_is_left_of_a_grant_that_another_agent_has_ended_ends_here_too() {
    let mut agent = provisioned();
    let moved = Welcome { elsewhere: [grant(1)].into(), ..welcome(vec![], at(5).wall) };
    agent.on_welcome(moved, false, &at(5));
    let steps = agent.on_elsewhere_over(grant(1), &at(6));
    assert_eq!(words(&steps), ["write revoke-intended NotStanding", "revoke"]);
}

#[test]
fn a_removed_orphan_is_told_until_it_is_on_record() {
    let mut agent = alone();
    agent.on_look(look(6, &[1, 8]), &at(6));
    assert_eq!(removed(&mut agent, 8, 7), ["tell orphan removed"]);
    let welcomed = |agent: &mut Agent, s: i64| {
        let standing = welcome(vec![provision(1, 1, 600)], at(s).wall);
        words(&agent.on_welcome(standing, false, &at(s)))
    };
    // Its stream broke, and nobody knows whether the broker heard.
    assert_eq!(welcomed(&mut agent, 8), ["tell orphan removed", "tell 1 provisioned"]);
    agent.on_orphan_recorded(&orders(), grant(8));
    assert_eq!(welcomed(&mut agent, 9), ["tell 1 provisioned"]);
}

#[test]
fn what_this_agent_takes_over_is_its_own_from_then_on() {
    let mut agent = agent();
    let elsewhere = Welcome { elsewhere: [grant(1)].into(), ..welcome(vec![], at(5).wall) };
    agent.on_welcome(elsewhere, false, &at(5));
    agent.on_order(provision(1, 2, 600), false, &at(6));
    agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(7));
    assert_eq!(told(&agent.on_look(look(8, &[]), &at(8))).missing, grants(&[1]));
}

#[test]
fn what_another_agent_has_taken_over_keeps_its_deadline_here_too() {
    let mut agent = provisioned();
    let moved = Welcome { elsewhere: [grant(1)].into(), ..welcome(vec![], at(5).wall) };
    assert_eq!(words(&agent.on_welcome(moved, false, &at(5))), [""; 0]);
    let steps = agent.on_look(look(6, &[]), &at(6));
    assert_eq!(told(&steps).missing, [], "the other one looks after it");
    assert_eq!(words(&agent.on_tick(&at(600)))[1..], ["write revoke-intended Deadline", "revoke"]);
}

#[test]
fn a_welcome_that_is_not_whole_ends_nothing_and_removes_nothing() {
    let mut agent = provisioned().with_orphan_age(SignedDuration::ZERO);
    let torn = Welcome { whole: false, ..welcome(vec![], at(5).wall) };
    assert_eq!(words(&agent.on_welcome(torn, false, &at(5))), [""; 0]);
    assert_eq!(words(&agent.on_look(look(6, &[1, 8]), &at(6))), ["tell swept"]);
    agent.on_welcome(welcome(vec![provision(1, 1, 600)], at(7).wall), false, &at(7));
    assert_eq!(words(&agent.on_look(look(8, &[1, 8]), &at(8))), ["remove orphan", "tell swept"]);
}

#[test]
fn what_was_verified_gone_and_is_back_is_an_orphan() {
    let mut agent = torn_down().with_orphan_age(SignedDuration::ZERO);
    agent.on_welcome(welcome(vec![], at(20).wall), false, &at(20));
    let during = agent.on_look(look(10, &[1]), &at(21));
    assert_eq!(words(&during), ["tell swept"], "the look began before the teardown was verified");
    assert_eq!(words(&agent.on_look(look(30, &[1]), &at(30))), ["remove orphan", "tell swept"]);
}

#[test]
fn what_the_broker_gave_to_another_agent_is_left_alone() {
    let mut agent = provisioned();
    let moved = Welcome { served: [].into(), ..welcome(vec![], at(5).wall) };
    assert_eq!(words(&agent.on_welcome(moved, false, &at(5))), [""; 0]);
    assert_eq!(words(&agent.on_look(look(6, &[1, 2]), &at(6))), [""; 0]);
    // Its deadline stands all the same.
    assert!(words(&agent.on_tick(&at(601))).contains(&"revoke".to_owned()));
}

#[test]
fn an_active_grant_without_its_mark_ends() {
    let mut agent = alone();
    let steps = agent.on_look(look(6, &[]), &at(7));
    assert_eq!(words(&steps), ["write revoke-intended Missing", "revoke", "tell swept"]);
    assert_eq!(told(&steps).missing, grants(&[1]));
    assert_eq!(agent.state().get(grant(1)).unwrap().cause, Some(EndCause::Missing));
}

#[test]
fn a_grant_that_was_made_while_the_look_went_on_is_not_missing() {
    let mut agent = alone();
    agent.on_order(provision(2, 1, 600), false, &at(8));
    assert_eq!(words(&agent.on_look(look(9, &[1]), &at(9))), ["tell swept"], "not there yet");
    agent.on_done(grant(2), Done::Provision(Ok(Provisioned::default())), &at(12));
    assert_eq!(words(&agent.on_look(look(11, &[1]), &at(13))), ["tell swept"]);
    assert_eq!(told(&agent.on_look(look(13, &[1]), &at(14))).missing, grants(&[2]));
}

#[test]
fn a_grant_of_a_former_life_is_missed_by_the_first_look() {
    let mut agent = Agent::new(provisioned().state().clone(), BTreeSet::from([orders()]));
    agent.on_start(&at(5));
    agent.on_welcome(welcome(vec![provision(1, 1, 600)], at(5).wall), false, &at(5));
    assert_eq!(told(&agent.on_look(look(6, &[]), &at(6))).missing, grants(&[1]));
}

#[test]
fn a_target_that_does_not_mark_everything_tells_nothing_of_what_is_missing() {
    let look = Look { marks_every_grant: false, ..look(6, &[]) };
    assert_eq!(words(&alone().on_look(look, &at(6))), ["tell swept"]);
}

#[test]
fn a_look_that_failed_is_told_and_changes_nothing() {
    let look = Look { found: Err("could not connect".to_owned()), ..look(6, &[]) };
    let steps = alone().on_look(look, &at(6));
    assert_eq!(words(&steps), ["tell swept"]);
    assert_eq!(told(&steps).error.as_deref(), Some("could not connect"));
}
