//! The keeper with a target in memory and clocks that stand still: what is done in which order, and
//! what a restart makes of it.

use std::collections::BTreeSet;

use ebbgate_agent_core::{CredentialOrder, Stage};
use ebbgate_domain::verifier::Verifier;
use jiff::SignedDuration;

use super::*;
use crate::{
    journal,
    testing::{at, grant, order, signed, signed_credential, trust},
};

#[path = "keeper_bench.rs"]
mod bench;

use bench::{Bench, numbered, provision_intended_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_lives_and_ends_on_time_with_the_broker_gone() {
    let mut bench = Bench::new().await;
    bench.provisioned(1).await;
    assert_eq!(bench.target.present().await, BTreeSet::from([grant(1)]));

    bench.keeper.turn(vec![Event::Detached]);
    bench.clocks.set(599);
    bench.keeper.turn(vec![]);
    assert_eq!(bench.target.present().await.len(), 1);
    bench.clocks.set(600);
    bench.keeper.turn(vec![]);
    bench.settle().await;
    assert!(bench.target.present().await.is_empty());

    // The broker is back, and hears what it has missed.
    bench.welcome(vec![order(1, 1, v1::Action::Provision, 600)]).await;
    assert_eq!(bench.outcome().await, format!("{} 1 torn down", grant(1)));
    assert_eq!(bench.target.calls().len(), 2, "provisioned once, torn down once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_ends_what_is_overdue_before_anybody_calls() {
    let mut bench = Bench::new().await;
    bench.provisioned(1).await;
    bench.clocks.set(4_000);
    bench.restart();
    bench.settle().await;
    assert!(bench.target.present().await.is_empty());
    assert!(matches!(bench.stage(1), Stage::TornDown { recorded: false, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_overdue_grants_neither_block_the_start_nor_the_broker() {
    let mut bench = Bench::new().await;
    let grants: Vec<_> = (0..1_000_u16).map(numbered).collect();
    let records: Vec<_> = grants.iter().map(|grant| provision_intended_of(*grant)).collect();
    let mut state = bench.keeper.agent.state().clone();
    records.iter().for_each(|record| state.apply(record.clone()));
    bench.keeper.journal.append(&records, &state).unwrap();
    bench.target.hang(true);
    bench.clocks.set(4_000);
    bench.restart();
    // The target hangs; the agent says Hello all the same.
    let (outbox, mut said) = mpsc::channel(4_096);
    bench.keeper.turn(vec![Event::Attached(outbox)]);
    let Some(v1::agent_message::Message::Hello(hello)) = said.recv().await.unwrap().message else {
        panic!("no Hello")
    };
    assert_eq!(hello.held.len(), grants.len());
    bench.target.hang(false);
    bench.settle().await;
    assert_eq!(bench.target.calls().len(), grants.len());
    let torn_down = journal::look(bench.dir.path()).unwrap().state;
    assert!(torn_down.held().all(|held| matches!(held.stage, Stage::TornDown { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_intent_is_on_disk_while_the_target_is_at_work() {
    let mut bench = Bench::new().await;
    bench.target.hang(true);
    bench.order(1, 1, v1::Action::Provision);
    assert_eq!(bench.stage(1), Stage::ProvisionIntended);
    bench.order(1, 2, v1::Action::Revoke);
    assert_eq!(bench.stage(1), Stage::RevokeIntended);
    // Dead and alive again, it tears down what may have been begun, and provisions nothing.
    bench.restart();
    bench.target.hang(false);
    bench.settle().await;
    assert!(bench.target.calls().iter().any(|call| call.starts_with("revoke")));
    assert!(matches!(bench.stage(1), Stage::TornDown { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_away_is_tried_again_until_it_is_back() {
    let mut bench = Bench::new().await;
    bench.provisioned(1).await;
    bench.target.away(true);
    bench.order(1, 2, v1::Action::Revoke);
    bench.settle().await;
    assert!(
        bench
            .outcome()
            .await
            .starts_with(&format!("{} 2 not torn down: could not revoke", grant(1)))
    );
    for seconds in [100, 500, 1_000, 5_000, 50_000] {
        bench.clocks.set(seconds);
        bench.keeper.turn(vec![]);
        bench.settle().await;
        assert!(bench.outcome().await.contains("not torn down"));
    }
    bench.target.away(false);
    bench.clocks.set(51_000);
    bench.keeper.turn(vec![]);
    bench.settle().await;
    assert_eq!(bench.outcome().await, format!("{} 2 torn down", grant(1)));
    assert!(bench.target.present().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_journal_nothing_is_given_and_everything_is_taken() {
    let mut bench = Bench::new().await;
    bench.provisioned(1).await;
    bench.keeper.journal.break_it();
    bench.order(2, 1, v1::Action::Provision);
    let refused = bench.outcome().await;
    assert!(refused.contains("not provisioned: the agent cannot write its journal"), "{refused}");
    bench.order(1, 2, v1::Action::Revoke);
    bench.settle().await;
    assert_eq!(bench.outcome().await, format!("{} 2 torn down", grant(1)));
    assert!(bench.target.present().await.is_empty());

    bench.keeper.journal.mend_it(bench.dir.path());
    bench.order(2, 2, v1::Action::Provision);
    bench.settle().await;
    assert_eq!(bench.outcome().await, format!("{} 2 provisioned", grant(2)));
    assert_eq!(bench.stage(2), Stage::Provisioned);
    assert!(
        matches!(bench.stage(1), Stage::TornDown { .. }),
        "what was not written is made up for"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_order_is_answered_and_not_obeyed() {
    let mut bench = Bench::new().await;
    bench.provisioned(1).await;
    bench.order(1, 3, v1::Action::Revoke);
    bench.settle().await;
    assert_eq!(bench.outcome().await, format!("{} 3 torn down", grant(1)));
    bench.order(1, 2, v1::Action::Provision);
    assert_eq!(bench.outcome().await, format!("{} 2 stale 3", grant(1)));
    bench.settle().await;
    assert!(bench.target.present().await.is_empty());
}

/// Six provisions hang on the target, and the seventh waits for a place.
async fn one_waits(bench: &mut Bench) {
    bench.target.hang(true);
    for n in 1..=7 {
        bench.order(n, 1, v1::Action::Provision);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_place_is_not_begun_once_its_teardown_is_intended() {
    let mut bench = Bench::new().await;
    one_waits(&mut bench).await;
    bench.order(7, 2, v1::Action::Revoke);
    bench.target.hang(false);
    bench.settle().await;
    let calls = bench.target.calls();
    let of_7 = |what: &str| calls.contains(&format!("{what} {}", grant(7)));
    assert!(!of_7("provision") && of_7("revoke"), "{calls:?}");
    assert!(matches!(bench.stage(7), Stage::TornDown { .. }));
    assert_eq!(bench.target.present().await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_while_the_agent_stood_still_is_not_begun() {
    let mut bench = Bench::new().await;
    one_waits(&mut bench).await;
    bench.clocks.set(40);
    bench.keeper.turn(vec![]);
    let refused = bench.outcome().await;
    assert!(refused.contains("1 not provisioned: the agent stood still"), "{refused}");
    bench.target.hang(false);
    bench.settle().await;
    assert!(!bench.target.present().await.contains(&grant(7)));
    bench.order(7, 2, v1::Action::Provision);
    bench.settle().await;
    assert!(bench.target.present().await.contains(&grant(7)), "the broker orders it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_under_way_for_too_long_gives_nothing() {
    let mut bench = Bench::new().await;
    let sent_at_ms = at(0).wall.as_millisecond();
    let old = v1::Order { sent_at_ms, ..order(1, 1, v1::Action::Provision, 600) };
    bench.clocks.set(60);
    bench.hear(v1::broker_message::Message::Order(signed(&old)));
    let refused = bench.outcome().await;
    assert!(refused.contains("it takes only fresh ones"), "{refused}");
    assert!(bench.target.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_not_understood_is_refused_and_not_left_hanging() {
    let mut bench = Bench::new().await;
    let mut message = order(1, 1, v1::Action::Provision, 600);
    message.spec.as_mut().unwrap().kind = "mainframe".to_owned();
    bench.hear(v1::broker_message::Message::Order(signed(&message)));
    let refused = bench.outcome().await;
    assert!(
        refused.contains("not provisioned: the broker's message has no usable kind"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_is_looked_at_with_each_order() {
    let mut bench = Bench::new().await;
    std::fs::write(bench.dir.path().join("draining"), "").unwrap();
    bench.order(1, 1, v1::Action::Provision);
    assert!(bench.outcome().await.contains("draining"));
    std::fs::remove_file(bench.dir.path().join("draining")).unwrap();
    bench.order(1, 2, v1::Action::Provision);
    bench.settle().await;
    assert_eq!(bench.outcome().await, format!("{} 2 provisioned", grant(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_registered_and_its_verifier_is_not_on_disk() {
    let mut bench = Bench::new().await;
    bench.provisioned(1).await;
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let scram_verifier = format!("SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==${key}:{key}");
    let verifier = v1::credential_order::Verifier::ScramVerifier(scram_verifier);
    bench.hear(v1::broker_message::Message::CredentialOrder(signed_credential(
        1,
        2,
        Some(verifier),
    )));
    bench.settle().await;
    let v1::agent_message::Message::CredentialOutcome(outcome) = bench.said().await else {
        panic!("no credential outcome")
    };
    let user = format!("ebb_{}", grant(1));
    assert_eq!(outcome.result, Some(v1::credential_outcome::Result::User(user)));
    for entry in std::fs::read_dir(bench.dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(key));
    }
    let state = journal::look(bench.dir.path()).unwrap().state;
    assert_eq!(state.get(grant(1)).unwrap().seq, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_that_nobody_knows_are_removed_once_the_broker_has_been_asked_anew() {
    let mut bench = Bench::new().await;
    bench.target.put(grant(9)).await;
    let standing = || vec![order(1, 1, v1::Action::Provision, 3_600)];
    bench.welcome(standing()).await;
    assert_eq!(bench.swept().await.orphans, [grant(9).to_string()]);
    assert!(bench.keeper.outbox.is_some());

    bench.clocks.set(600);
    bench.keeper.turn(vec![]);
    // The stream is given up for a new one, with this look or, where one from before comes first,
    // with the next.
    while bench.keeper.outbox.is_some() {
        assert_eq!(bench.swept().await.orphans, [grant(9).to_string()]);
    }
    bench.welcome(standing()).await;
    loop {
        if let v1::agent_message::Message::OrphanRemoved(orphan) = bench.next_message().await {
            assert_eq!(orphan.grant_id, grant(9).to_string());
            break;
        }
    }
    assert_eq!(bench.target.present().await, BTreeSet::from([grant(1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_somebody_removed_on_the_target_ends_with_that_reason() {
    let mut bench = Bench::new().await;
    bench.provisioned(1).await;
    bench.target.take(grant(1)).await;
    bench.clocks.set(590);
    bench.welcome(vec![order(1, 1, v1::Action::Provision, 600)]).await;
    assert_eq!(bench.swept().await.missing, [grant(1).to_string()]);
    loop {
        match bench.next_message().await {
            v1::agent_message::Message::Outcome(outcome)
                if outcome.cause() == v1::EndCause::Missing =>
            {
                assert!(matches!(outcome.result, Some(v1::outcome::Result::TornDown(_))));
                break;
            }
            // What it was asked for in the Welcome.
            v1::agent_message::Message::Outcome(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_tells_what_is_held_and_whether_it_drains() {
    let mut bench = Bench::new().await;
    bench.provisioned(1).await;
    bench.clocks.set(9);
    bench.keeper.turn(vec![]);
    std::fs::write(bench.dir.path().join("draining"), "").unwrap();
    bench.clocks.set(10);
    bench.keeper.turn(vec![]);
    let now_ms = at(10).wall.as_millisecond();
    let beat = loop {
        if let v1::agent_message::Message::Heartbeat(beat) = bench.next_message().await {
            break beat;
        }
    };
    assert_eq!(beat, v1::Heartbeat { now_ms, draining: true, held: 1 });

    // By the broker's clock the machine is far ahead: nothing new.
    std::fs::remove_file(bench.dir.path().join("draining")).unwrap();
    let answer = v1::HeartbeatAnswer { now_ms: now_ms - 61_000 };
    bench.hear(v1::broker_message::Message::HeartbeatAnswer(answer));
    bench.order(2, 1, v1::Action::Provision);
    let refused = bench.outcome().await;
    assert!(refused.contains("clock is 61.0 s ahead of the broker's"), "{refused}");
    let contact = journal::look(bench.dir.path()).unwrap().state.contact().unwrap().clone();
    assert_eq!(contact.offset, Some(SignedDuration::from_secs(61)), "for `status`");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_asked_for_while_the_keeper_does_something_else() {
    let mut bench = Bench::new().await;
    bench.provisioned(1).await;
    bench.target.hang(true);
    let wanted = v1::SessionsWanted { query: 5, integration: "orders".to_owned() };
    bench.hear(v1::broker_message::Message::SessionsWanted(wanted));
    // The target hangs; the keeper does not.
    bench.order(1, 1, v1::Action::Provision);
    assert_eq!(bench.outcome().await, format!("{} 1 provisioned", grant(1)));
    bench.target.hang(false);
    let v1::agent_message::Message::SessionsFound(found) = bench.said().await else {
        panic!("no answer")
    };
    assert_eq!((found.query, found.sessions.len(), found.failure), (5, 0, None));

    let ask = v1::EndSession { query: 6, integration: "orders".to_owned(), session: None };
    bench.hear(v1::broker_message::Message::EndSession(ask));
    let v1::agent_message::Message::SessionEnded(ended) = bench.said().await else {
        panic!("no answer")
    };
    assert!(ended.query == 6 && ended.failure.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_what_is_in_hand_and_takes_nothing_new() {
    let mut bench = Bench::new().await;
    bench.target.hang(true);
    bench.order(1, 1, v1::Action::Provision);
    let stop = CancellationToken::new();
    stop.cancel();
    let events = bench.keeper.ways.events.clone();
    let running = tokio::spawn(bench.keeper.run(bench.inbox, stop));
    let late = v1::BrokerMessage {
        message: Some(v1::broker_message::Message::Order(signed(&order(
            2,
            1,
            v1::Action::Provision,
            600,
        )))),
    };
    let late = convert::heard(late, &trust());
    // The stop is taken up first or the late order is; either way the effect in hand ends.
    tokio::task::yield_now().await;
    events.send(Event::Heard(late.unwrap().unwrap())).unwrap();
    bench.target.hang(false);
    running.await.unwrap();
    assert!(bench.target.present().await.contains(&grant(1)));
    assert_eq!(
        journal::look(bench.dir.path()).unwrap().state.get(grant(1)).unwrap().stage,
        Stage::Provisioned
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_listen_is_hung_up_on() {
    let mut bench = Bench::new().await;
    bench.provisioned(1).await;
    for _ in 0..100 {
        bench.order(1, 1, v1::Action::Provision);
    }
    assert!(bench.keeper.outbox.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_order_while_stopping_is_answered() {
    let mut bench = Bench::new().await;
    bench.provisioned(1).await;
    bench.keeper.begin_to_stop();
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let verifier = format!("SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==${key}:{key}");
    let verifier = Verifier::Scram(verifier.parse().unwrap());
    let order = CredentialOrder { grant: grant(1), seq: 2, verifier };
    bench.keeper.turn(vec![Event::Heard(Heard::Credential(order))]);
    let v1::agent_message::Message::CredentialOutcome(outcome) = bench.said().await else {
        panic!("no credential outcome")
    };
    assert!(matches!(outcome.result, Some(v1::credential_outcome::Result::Failure(_))));
}
