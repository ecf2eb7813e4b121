//! More time for a grant that is held: an order to provision it with a later deadline.

use crate::support::*;
use ebbgate_agent_core::{Agent, AgentState, Done, Failure, Record, Stage, Step};
use ebbgate_domain::order::Provisioned;
use std::collections::BTreeSet;

/// What a tick does beside noting the time.
fn tick(agent: &mut Agent, seconds: i64) -> Vec<String> {
    let mut words = words(&agent.on_tick(&at(seconds)));
    words.retain(|word| word != "write clock");
    words
}

#[test]
fn a_later_deadline_is_written_down_done_and_told() {
    let mut agent = provisioned();
    let steps = agent.on_order(provision(1, 2, 1_200), false, &at(300));
    assert_eq!(words(&steps), ["write provision-intended", "provision"]);
    let steps = agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(301));
    assert_eq!(words(&steps), ["write provisioned", "tell 2 provisioned"]);

    assert!(tick(&mut agent, 600).is_empty(), "past its old end");
    assert!(tick(&mut agent, 1_199).is_empty());
    assert_eq!(tick(&mut agent, 1_200), ["write revoke-intended Deadline", "revoke"]);
}

#[test]
fn an_agent_that_never_got_the_order_ends_at_the_deadline_it_knows() {
    let mut agent = provisioned();
    assert_eq!(tick(&mut agent, 600), ["write revoke-intended Deadline", "revoke"]);
    // It comes when the teardown has begun: what ends never comes back.
    let steps = agent.on_order(provision(1, 2, 1_200), false, &at(601));
    let refused = "tell 2 not provisioned: the agent is tearing the grant down already";
    assert_eq!(words(&steps), ["write seq 2", refused]);
    let steps = agent.on_done(grant(1), Done::Revoke(Ok(finding(&at(602)))), &at(602));
    assert_eq!(words(&steps), ["write torn-down", "tell 2 torn down"]);
}

#[test]
fn an_order_with_the_old_deadline_that_comes_late_does_nothing() {
    let mut agent = provisioned();
    agent.on_order(provision(1, 3, 1_200), false, &at(300));
    agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(301));
    let steps = agent.on_order(provision(1, 2, 600), false, &at(302));
    assert_eq!(words(&steps), ["tell 2 stale, newest 3"]);
    assert!(tick(&mut agent, 600).is_empty());
}

#[test]
fn a_target_that_cannot_be_told_does_not_move_the_end_away() {
    let mut agent = provisioned();
    agent.on_order(provision(1, 2, 1_200), false, &at(300));
    let failed = Done::Provision(Err(Failure::passing("could not connect")));
    let steps = agent.on_done(grant(1), failed, &at(301));
    assert_eq!(
        words(&steps),
        ["write provision-failed", "tell 2 not provisioned: could not connect"]
    );
    // The broker sends it again; meanwhile and afterwards the promised end holds.
    let steps = agent.on_order(provision(1, 3, 1_200), false, &at(330));
    assert_eq!(words(&steps), ["write seq 3", "provision"]);
    agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(331));
    assert_eq!(tick(&mut agent, 1_200), ["write revoke-intended Deadline", "revoke"]);
}

#[test]
fn a_draining_agent_keeps_what_it_has_for_longer() {
    let mut agent = provisioned();
    let steps = agent.on_order(provision(1, 2, 1_200), true, &at(300));
    assert_eq!(words(&steps), ["write provision-intended", "provision"]);
}

/// Whatever of the journal is on disk when it dies, it ends at one of the two deadlines: the old one
/// where the new one was not written down, and otherwise the new one.
#[test]
fn whenever_it_dies_the_end_is_the_one_on_record() {
    let mut agent = provisioned();
    let mut records: Vec<Record> = agent.state().snapshot();
    let before = records.len();
    let mut steps = agent.on_order(provision(1, 2, 1_200), false, &at(300));
    steps.extend(agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(301)));
    records.extend(steps.into_iter().filter_map(|step| match step {
        Step::Append(record) => Some(record),
        _ => None,
    }));
    for written in before..=records.len() {
        let state = AgentState::fold(records.iter().take(written).cloned());
        let mut again = Agent::new(state, BTreeSet::from([orders()]));
        again.on_start(&at(310));
        let end = if written == before { 600 } else { 1_200 };
        again.on_tick(&at(end - 1));
        assert!(
            again.state().get(grant(1)).is_some_and(|held| held.stage != Stage::RevokeIntended)
        );
        again.on_tick(&at(end));
        let held = again.state().get(grant(1)).unwrap();
        assert_eq!(held.stage, Stage::RevokeIntended, "{written} records, at {end}");
    }
}
