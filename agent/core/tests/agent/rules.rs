//! The rules one by one, as examples.

use std::collections::BTreeSet;

use crate::support::*;
use ebbgate_agent_core::{
    Agent, AgentState, CredentialOrder, Done, Failure, Ordered, Outcome, Record, Report, Stage,
    Step, Welcome,
};
use ebbgate_domain::{
    order::{EndCause, Provisioned},
    verifier::Verifier,
};

fn credential(seq: u64) -> CredentialOrder {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let verifier = format!("SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==${key}:{key}");
    CredentialOrder { grant: grant(1), seq, verifier: Verifier::Scram(verifier.parse().unwrap()) }
}

#[test]
fn a_provision_is_written_down_done_and_told() {
    let mut agent = agent();
    let steps = agent.on_order(provision(1, 1, 600), false, &at(0));
    assert_eq!(words(&steps), ["write provision-intended", "provision"]);
    let steps = agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(1));
    assert_eq!(words(&steps), ["write provisioned", "tell 1 provisioned"]);
}

#[test]
fn the_same_order_again_is_only_answered_again() {
    let steps = provisioned().on_order(provision(1, 1, 600), false, &at(5));
    assert_eq!(words(&steps), ["tell 1 provisioned"]);
}

#[test]
fn an_order_that_comes_again_while_it_runs_is_answered_once_under_its_newest_number() {
    let mut agent = agent();
    agent.on_order(provision(1, 1, 600), false, &at(0));
    assert_eq!(words(&agent.on_order(provision(1, 2, 600), false, &at(30))), ["write seq 2"]);
    let steps = agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(31));
    assert_eq!(words(&steps), ["write provisioned", "tell 2 provisioned"]);
}

#[test]
fn an_order_of_a_past_number_does_nothing() {
    let steps = torn_down().on_order(provision(1, 1, 600), false, &at(20));
    assert_eq!(words(&steps), ["tell 1 stale, newest 2"]);
}

/// The fence against an order to give access that is still under way is the number in the journal: it
/// needs neither clocks nor the order's age, and outlives the process.
#[test]
fn a_provision_that_its_own_teardown_has_overtaken_does_nothing() {
    let late = |agent: &mut Agent| {
        let order = Ordered { sent_at: Some(at(0).wall), ..provision(7, 1, 600) };
        let steps = agent.on_order(order, false, &at(5));
        assert_eq!(words(&steps), ["tell 1 stale, newest 2"]);
    };
    let mut agent = agent();
    // Never seen before, whether by an order or in a welcome.
    agent.on_order(revoke(7, 2, 600), false, &at(1));
    late(&mut agent);
    late(&mut Agent::new(agent.state().clone(), BTreeSet::from([orders()])));
    agent.on_done(grant(7), Done::Revoke(Ok(finding(&at(2)))), &at(2));
    late(&mut agent);
    agent.on_recorded(grant(7), 2);
    late(&mut agent);
    late(&mut Agent::new(agent.state().clone(), BTreeSet::from([orders()])));

    let mut agent = self::agent();
    agent.on_welcome(welcome(vec![revoke(7, 2, 600)], at(1).wall), false, &at(1));
    late(&mut agent);
}

#[test]
fn what_was_torn_down_never_comes_back_even_by_a_newer_order() {
    let steps = torn_down().on_order(provision(1, 3, 600), false, &at(20));
    assert_eq!(words(&steps), ["write seq 3", "tell 3 torn down"]);
}

#[test]
fn what_was_torn_down_is_remembered_until_its_deadline_even_when_the_broker_has_it() {
    let mut agent = torn_down();
    assert_eq!(words(&agent.on_recorded(grant(1), 2)), ["write end-recorded"]);
    let steps = agent.on_order(provision(1, 3, 600), false, &at(20));
    assert_eq!(words(&steps), ["write seq 3", "tell 3 torn down"]);
    assert_eq!(words(&agent.on_tick(&at(600))), ["write forgotten"]);
    assert!(agent.state().get(grant(1)).is_none());
}

#[test]
fn an_acknowledgement_of_an_earlier_outcome_is_not_one_of_the_end() {
    assert!(torn_down().on_recorded(grant(1), 1).is_empty());
    assert!(provisioned().on_recorded(grant(1), 1).is_empty());
}

#[test]
fn a_deadline_needs_no_order() {
    let mut agent = provisioned();
    assert_eq!(words(&agent.on_tick(&at(599))), ["write clock"]);
    assert_eq!(words(&agent.on_tick(&at(600))), ["write revoke-intended Deadline", "revoke"]);
    let steps = agent.on_done(grant(1), Done::Revoke(Ok(finding(&at(601)))), &at(601));
    assert_eq!(words(&steps), ["write torn-down", "tell 1 torn down"]);
}

#[test]
fn a_teardown_waits_for_the_provision_that_is_under_way_and_no_longer() {
    let mut agent = agent();
    agent.on_order(provision(1, 1, 600), false, &at(0));
    assert_eq!(
        words(&agent.on_order(revoke(1, 2, 600), false, &at(1))),
        ["write revoke-intended Ordered"]
    );
    assert_eq!(
        words(&agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(2))),
        ["revoke"]
    );
}

#[test]
fn a_revoke_for_a_grant_that_was_never_seen_is_carried_out() {
    let steps = agent().on_order(revoke(7, 4, 600), false, &at(0));
    assert_eq!(words(&steps), ["write revoke-intended Ordered", "revoke"]);
}

#[test]
fn a_failed_teardown_is_tried_again_later_and_by_a_newer_order_at_once() {
    let mut agent = provisioned();
    agent.on_order(revoke(1, 2, 600), false, &at(10));
    let failed = || Done::Revoke(Err(Failure::passing("could not connect")));
    let steps = agent.on_done(grant(1), failed(), &at(10));
    assert_eq!(words(&steps), ["write teardown-failed", "tell 2 not torn down: could not connect"]);
    assert!(agent.on_tick(&at(10)).is_empty(), "not at once");
    assert_eq!(words(&agent.on_tick(&at(12))), ["revoke"]);
    agent.on_done(grant(1), failed(), &at(13));
    assert_eq!(
        words(&agent.on_order(revoke(1, 3, 600), false, &at(13))),
        ["write seq 3", "revoke"]
    );
    agent.on_done(grant(1), failed(), &at(14));
    assert_eq!(agent.state().get(grant(1)).unwrap().failures, 3);
}

#[test]
fn a_failed_provision_waits_for_the_broker_or_the_deadline() {
    let mut agent = agent();
    agent.on_order(provision(1, 1, 600), false, &at(0));
    let failed = Done::Provision(Err(Failure::passing("could not connect")));
    let steps = agent.on_done(grant(1), failed, &at(1));
    assert_eq!(
        words(&steps),
        ["write provision-failed", "tell 1 not provisioned: could not connect"]
    );
    assert!(agent.on_tick(&at(30)).is_empty());
    assert_eq!(
        words(&agent.on_order(provision(1, 2, 600), false, &at(31))),
        ["write seq 2", "provision"]
    );
    agent.on_done(grant(1), Done::Provision(Err(Failure::passing("again"))), &at(32));
    assert_eq!(words(&agent.on_tick(&at(600)))[1..], ["write revoke-intended Deadline", "revoke"]);
}

#[test]
fn new_grants_are_refused_with_the_reason() {
    let mut agent = agent();
    let told = |steps: &[Step]| words(steps).join(", ");
    assert!(told(&agent.on_order(provision(1, 1, 600), true, &at(0))).contains("draining"));
    assert!(
        told(&agent.on_order(provision(2, 1, 600), false, &at(600)))
            .contains("has passed by the agent's clock")
    );
    let mut elsewhere = provision(3, 1, 600);
    elsewhere.order.spec.integration = "billing".parse().unwrap();
    assert!(
        told(&agent.on_order(elsewhere, false, &at(0)))
            .contains("does not serve the integration billing")
    );
    assert_eq!(agent.state().held().count(), 0);
}

#[test]
fn draining_keeps_teardowns_and_held_grants_going() {
    let mut agent = provisioned();
    assert_eq!(words(&agent.on_order(provision(1, 1, 600), true, &at(5))), ["tell 1 provisioned"]);
    assert_eq!(words(&agent.on_order(revoke(1, 2, 600), true, &at(6)))[1..], ["revoke"]);
}

#[test]
fn a_welcome_without_a_grant_ends_it() {
    let steps = provisioned().on_welcome(welcome(vec![], at(5).wall), false, &at(5));
    assert_eq!(words(&steps), ["write revoke-intended NotStanding", "revoke"]);
}

#[test]
fn a_welcome_with_a_grant_keeps_it() {
    let steps =
        provisioned().on_welcome(welcome(vec![provision(1, 1, 600)], at(5).wall), false, &at(5));
    assert_eq!(words(&steps), ["tell 1 provisioned"]);
}

#[test]
fn an_order_that_is_not_understood_stands_all_the_same() {
    let welcome = Welcome { unread: vec![grant(1)], ..welcome(vec![], at(5).wall) };
    assert!(provisioned().on_welcome(welcome, false, &at(5)).is_empty());
}

#[test]
fn a_welcome_tells_an_end_again_until_it_is_on_record() {
    let mut agent = torn_down();
    assert_eq!(
        words(&agent.on_welcome(welcome(vec![], at(20).wall), false, &at(20))),
        ["tell 2 torn down"]
    );
    agent.on_recorded(grant(1), 2);
    assert!(agent.on_welcome(welcome(vec![], at(30).wall), false, &at(30)).is_empty());
}

#[test]
fn a_welcome_says_nothing_about_an_integration_that_is_not_served() {
    let state = provisioned().state().clone();
    let mut agent = Agent::new(state, BTreeSet::new());
    assert!(agent.on_welcome(welcome(vec![], at(5).wall), false, &at(5)).is_empty());
}

#[test]
fn a_restart_takes_up_what_was_begun_and_what_is_overdue() {
    let mut agent = provisioned();
    agent.on_order(provision(2, 1, 5_000), false, &at(0));
    agent.on_order(revoke(2, 2, 5_000), false, &at(2));
    let mut restarted = Agent::new(agent.state().clone(), BTreeSet::from([orders()]));
    let steps = words(&restarted.on_start(&at(700)));
    assert_eq!(steps, ["write clock", "write revoke-intended Deadline", "revoke", "revoke"]);
}

#[test]
fn a_credential_needs_a_provisioned_grant_and_goes_on_record_by_its_number_alone() {
    let mut agent = provisioned();
    let steps = agent.on_credential(credential(2), &at(5));
    assert_eq!(words(&steps), ["write seq 2", "credential"]);
    let record = serde_json::to_string(match &steps[0] {
        Step::Append(record) => record,
        other => panic!("{other:?}"),
    });
    assert!(!record.unwrap().contains("SCRAM"));
    // A second one waits its turn, a late one is refused.
    assert_eq!(words(&agent.on_credential(credential(3), &at(5))), ["write seq 3"]);
    let late = words(&agent.on_credential(credential(2), &at(5)));
    assert_eq!(
        late,
        [
            "tell no credential: the credential order 2 is older than 3, the newest the agent has seen"
        ]
    );
    let done = |seq| Done::Credential { seq, result: Ok("ebb_1".to_owned()) };
    assert_eq!(words(&agent.on_done(grant(1), done(2), &at(6))), ["tell user ebb_1", "credential"]);
    assert_eq!(words(&agent.on_done(grant(1), done(3), &at(6))), ["tell user ebb_1"]);
}

#[test]
fn a_credential_waits_for_the_provision_that_is_under_way() {
    let mut agent = agent();
    agent.on_order(provision(1, 1, 600), false, &at(0));
    assert_eq!(words(&agent.on_credential(credential(2), &at(0))), ["write seq 2"]);
    let steps = agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(1));
    assert_eq!(words(&steps), ["write provisioned", "tell 2 provisioned", "credential"]);
}

#[test]
fn a_credential_that_waits_for_a_provision_is_refused_with_it() {
    let mut agent = agent();
    agent.on_order(provision(1, 1, 600), false, &at(0));
    agent.on_credential(credential(2), &at(0));
    let failed = Done::Provision(Err(Failure::passing("could not connect")));
    let told = words(&agent.on_done(grant(1), failed, &at(1))).join(", ");
    assert!(told.contains("tell no credential: the grant is not provisioned yet"), "{told}");
}

#[test]
fn credentials_that_wait_are_refused_when_the_grant_ends() {
    let mut agent = provisioned();
    agent.on_credential(credential(2), &at(5));
    agent.on_credential(credential(3), &at(5));
    agent.on_order(revoke(1, 4, 600), false, &at(6));
    let done = Done::Credential { seq: 2, result: Ok("ebb_1".to_owned()) };
    let steps = words(&agent.on_done(grant(1), done, &at(7)));
    assert_eq!(steps, ["tell user ebb_1", "revoke", "tell no credential: the grant has ended"]);
}

#[test]
fn nobody_gets_a_credential_for_a_grant_that_is_not_there() {
    let told = |agent: &mut Agent, s| words(&agent.on_credential(credential(9), &at(s))).join(", ");
    assert!(told(&mut agent(), 1).contains("does not hold"));
    assert!(told(&mut torn_down(), 20).contains("has ended"));
    assert!(
        told(&mut provisioned(), 600).contains("has ended"),
        "past the deadline, before the tick"
    );
}

#[test]
fn a_new_deadline_by_a_newer_order_replaces_the_old_one() {
    let mut agent = provisioned();
    let steps = agent.on_order(provision(1, 2, 900), false, &at(100));
    assert_eq!(words(&steps), ["write provision-intended", "provision"]);
    agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(101));
    assert!(!words(&agent.on_tick(&at(600))).contains(&"revoke".to_owned()));
    assert!(words(&agent.on_tick(&at(900))).contains(&"revoke".to_owned()));
}

#[test]
fn a_record_of_a_revoke_stands_without_the_records_before_it() {
    let record =
        Record::RevokeIntended { seq: 3, spec: spec(1, 600), cause: EndCause::Ordered, at: at(5) };
    let state = AgentState::fold([
        Record::Provisioned { grant: grant(1), told: Provisioned::default() },
        record,
    ]);
    assert_eq!(state.get(grant(1)).unwrap().stage, Stage::RevokeIntended);
}

#[test]
fn terms_that_change_while_a_provision_runs_are_carried_out_after_it() {
    let mut agent = agent();
    agent.on_order(provision(1, 1, 600), false, &at(0));
    let changed = agent.on_order(provision(1, 2, 900), false, &at(1));
    assert_eq!(words(&changed), ["write provision-intended"]);
    assert_eq!(words(&agent.on_order(provision(1, 3, 900), false, &at(31))), ["write seq 3"]);
    let steps = agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(32));
    assert_eq!(words(&steps), ["provision"]);
    let steps = agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(33));
    assert_eq!(words(&steps), ["write provisioned", "tell 3 provisioned"]);
}

#[test]
fn no_record_brings_back_what_is_being_torn_down() {
    let intended =
        |seq, at| Record::ProvisionIntended { seq, spec: spec(1, 600), remaining_ms: 600_000, at };
    let revoke =
        Record::RevokeIntended { seq: 2, spec: spec(1, 600), cause: EndCause::Ordered, at: at(5) };
    let mut state = AgentState::fold([intended(1, at(0)), revoke]);
    let before = state.get(grant(1)).cloned();
    state.apply(intended(3, at(6)));
    state.apply(Record::Provisioned { grant: grant(1), told: Provisioned::default() });
    assert_eq!(state.get(grant(1)).cloned(), before);
}

#[test]
fn an_end_is_told_with_its_cause_even_after_a_restart() {
    let told = |agent: &mut Agent| {
        let done = Done::Revoke(Ok(finding(&at(700))));
        let steps = agent.on_done(grant(1), done, &at(700));
        let Some(Step::Report(Report::Outcome {
            outcome: Outcome::TornDown { cause, .. }, ..
        })) = steps.last()
        else {
            panic!("{steps:?}")
        };
        *cause
    };
    let mut ordered = provisioned();
    ordered.on_order(revoke(1, 2, 600), false, &at(10));
    // Ordered it was, whatever passes while it is tried.
    ordered.on_tick(&at(650));
    assert_eq!(told(&mut ordered), Some(EndCause::Ordered));

    let mut expired = provisioned();
    expired.on_tick(&at(600));
    let mut restarted = Agent::new(expired.state().clone(), BTreeSet::from([orders()]));
    restarted.on_start(&at(650));
    assert_eq!(told(&mut restarted), Some(EndCause::Deadline));
}
