//! Orders and effects that waited: an agent that stood still, or was cut off, must not give access on
//! the word of before. Meanwhile another agent may have had the grant, and ended it.

use ebbgate_agent_core::{Agent, Done, Effect, Failure, Ordered, Step};
use ebbgate_domain::order::Provisioned;

use crate::support::*;

/// The order to provision grant `n`, sent at second `sent`.
fn sent(n: u8, sent: i64) -> Ordered {
    Ordered { sent_at: Some(at(sent).wall), ..provision(n, 1, 600) }
}

/// An agent that was welcomed at second 0, with nothing on the way.
fn welcomed() -> Agent {
    let mut agent = agent();
    agent.on_asking(true, &at(0));
    agent.on_welcome(welcome(vec![], at(0).wall), false, &at(0));
    agent
}

fn is_refused(steps: &[Step]) -> bool {
    matches!(&words(steps)[..], [told] if told.contains("it takes only fresh ones"))
}

#[test]
fn an_order_that_was_buffered_while_the_agent_stood_still_gives_nothing() {
    let mut agent = welcomed();
    assert!(is_refused(&agent.on_order(sent(1, 10), false, &at(70))));
    assert!(agent.state().get(grant(1)).is_none());
    let again = agent.on_order(sent(1, 69), false, &at(71));
    assert_eq!(words(&again), ["write provision-intended", "provision"]);
}

#[test]
fn one_that_took_some_seconds_is_carried_out() {
    let steps = welcomed().on_order(sent(1, 10), false, &at(29));
    assert_eq!(words(&steps), ["write provision-intended", "provision"]);
}

#[test]
fn a_clock_that_is_off_makes_no_order_look_old_or_fresh() {
    // The broker's clock is 40 s behind this one's, and the agent knows.
    let mut agent = agent();
    agent.on_asking(true, &at(100));
    agent.on_welcome(welcome(vec![], at(60).wall), false, &at(100));
    let fresh = agent.on_order(sent(1, 70), false, &at(110));
    assert_eq!(words(&fresh)[..], ["write provision-intended", "provision"]);
    assert!(is_refused(&agent.on_order(sent(2, 70), false, &at(131))));
}

#[test]
fn where_the_brokers_answer_itself_was_late_the_doubt_counts_against_the_order() {
    let mut agent = agent();
    agent.on_asking(true, &at(0));
    // Asked at 0, answered at 1, and heard at 60 because the agent stood still.
    let steps = agent.on_welcome(welcome(vec![sent(1, 1)], at(1).wall), false, &at(60));
    let told = words(&steps);
    assert!(told.iter().any(|word| word.contains("it takes only fresh ones")), "{told:?}");
    // The next answer clears it up.
    agent.on_asking(false, &at(61));
    agent.on_broker_time(at(61).wall, &at(61));
    let again = agent.on_order(sent(1, 62), false, &at(62));
    assert_eq!(words(&again), ["write provision-intended", "provision"]);
}

#[test]
fn an_old_order_to_end_is_carried_out_whatever_its_age() {
    let mut agent = welcomed();
    let old = Ordered { sent_at: Some(at(1).wall), ..revoke(1, 2, 600) };
    let steps = agent.on_order(old, false, &at(300));
    assert_eq!(words(&steps), ["write revoke-intended Ordered", "revoke"]);
}

#[test]
fn an_old_order_for_what_is_there_already_is_only_answered() {
    let mut agent = welcomed();
    agent.on_order(sent(1, 0), false, &at(0));
    agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(1));
    assert_eq!(words(&agent.on_order(sent(1, 1), false, &at(90))), ["tell 1 provisioned"]);
}

#[test]
fn a_standstill_is_noticed_once() {
    let mut agent = welcomed();
    agent.on_tick(&at(1));
    assert!(!agent.has_stood_still(&at(2)));
    assert!(agent.has_stood_still(&at(40)));
    agent.on_tick(&at(40));
    assert!(!agent.has_stood_still(&at(41)));
}

#[test]
fn what_waits_for_its_place_is_overtaken_by_its_teardown() {
    let mut agent = welcomed();
    let steps = agent.on_order(sent(1, 0), false, &at(0));
    let Some(Step::Begin(waits @ Effect::Provision(_))) = steps.last() else { panic!("{steps:?}") };
    assert!(!agent.is_overtaken(waits));
    agent.on_order(revoke(1, 2, 600), false, &at(1));
    assert!(agent.is_overtaken(waits));
    let told = agent.on_done(grant(1), waits.failed(Failure::passing("late")), &at(2));
    assert_eq!(words(&told), ["revoke"]);
}
