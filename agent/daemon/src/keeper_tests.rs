//! The keeper with a target in memory and clocks that stand still: what is done in which order, and
//! what a restart makes of it.

use std::{collections::BTreeSet, path::Path};

use ebbgate_agent_core::{CredentialOrder, Stage};
use ebbgate_domain::order::GrantSpec;

use super::*;
use crate::{
    journal,
    testing::{FakeConnector, ManualClocks, at, connectors, grant, order, orders, spec},
};

struct Bench {
    keeper: Keeper,
    inbox: mpsc::UnboundedReceiver<Event>,
    said: mpsc::Receiver<v1::AgentMessage>,
    target: Arc<FakeConnector>,
    clocks: Arc<ManualClocks>,
    dir: tempfile::TempDir,
}

fn keeper(
    dir: &Path,
    target: &Arc<FakeConnector>,
    clocks: &Arc<ManualClocks>,
) -> (Keeper, mpsc::UnboundedReceiver<Event>) {
    let (events, inbox) = mpsc::unbounded_channel();
    let (journal, recovered) = Journal::open(dir).unwrap();
    let agent = Agent::new(recovered.state, BTreeSet::from([orders()]));
    let clocks: Arc<dyn Clocks> = clocks.clone();
    let ways = Ways { events, redial: Arc::default(), draining: dir.join("draining") };
    let mut keeper = Keeper::new(agent, journal, connectors(target), clocks, ways);
    keeper.start();
    (keeper, inbox)
}

impl Bench {
    /// A keeper that runs and has been welcomed.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let target = Arc::new(FakeConnector::default());
        let clocks = Arc::new(ManualClocks::default());
        let (keeper, inbox) = keeper(dir.path(), &target, &clocks);
        let (_, said) = mpsc::channel(1);
        let mut bench = Self { keeper, inbox, said, target, clocks, dir };
        bench.welcome(vec![]).await;
        bench
    }

    /// The process dies and another takes its place. The broker is not there.
    fn restart(&mut self) {
        let (keeper, inbox) = keeper(self.dir.path(), &self.target, &self.clocks);
        self.keeper = keeper;
        self.inbox = inbox;
    }

    async fn welcome(&mut self, orders: Vec<v1::Order>) {
        let (outbox, said) = mpsc::channel(64);
        self.said = said;
        self.keeper.turn(vec![Event::Attached(outbox)]);
        let hello = self.said.recv().await.unwrap();
        assert!(matches!(hello.message, Some(v1::agent_message::Message::Hello(_))));
        let now_ms = self.clocks.reading().wall.as_millisecond();
        self.hear(v1::broker_message::Message::Welcome(v1::Welcome {
            now_ms,
            orders,
            integrations: vec!["orders".to_owned()],
        }));
        self.settle().await;
    }

    fn hear(&mut self, message: v1::broker_message::Message) {
        let message = v1::BrokerMessage { message: Some(message) };
        let heard = convert::heard(message).unwrap().unwrap();
        self.keeper.turn(vec![Event::Heard(heard)]);
    }

    fn order(&mut self, n: u8, seq: u64, action: v1::Action) {
        self.hear(v1::broker_message::Message::Order(order(n, seq, action, 600)));
    }

    /// Lets the effects under way end, and the looks at the target come back.
    async fn settle(&mut self) {
        // The look that a Welcome asks for.
        if let Ok(event) = self.inbox.try_recv() {
            self.keeper.turn(vec![event]);
        }
        while self.keeper.lanes.running() > 0 {
            let event = self.inbox.recv().await.unwrap();
            self.keeper.turn(vec![event]);
        }
    }

    async fn provisioned(&mut self, n: u8) {
        self.order(n, 1, v1::Action::Provision);
        self.settle().await;
        assert_eq!(self.outcome().await, format!("{} 1 provisioned", grant(n)));
    }

    /// The next outcome that the broker is told.
    async fn outcome(&mut self) -> String {
        let message = self.said.recv().await.unwrap().message.unwrap();
        match message {
            v1::agent_message::Message::Outcome(outcome) => {
                let result = match outcome.result.unwrap() {
                    v1::outcome::Result::Provisioned(_) => "provisioned".to_owned(),
                    v1::outcome::Result::ProvisionFailed(failure) => {
                        format!("not provisioned: {}", failure.message)
                    }
                    v1::outcome::Result::TornDown(_) => "torn down".to_owned(),
                    v1::outcome::Result::TeardownFailed(failure) => {
                        format!("not torn down: {}", failure.message)
                    }
                    v1::outcome::Result::Stale(stale) => format!("stale {}", stale.newest_seq),
                };
                format!("{} {} {result}", outcome.grant_id, outcome.seq)
            }
            other => panic!("{other:?}"),
        }
    }

    fn stage(&self, n: u8) -> Stage {
        let state = journal::look(self.dir.path()).unwrap().state;
        state.get(grant(n)).unwrap().stage.clone()
    }
}

fn numbered(n: u16) -> GrantId {
    let [high, low] = n.to_be_bytes();
    GrantId::new(at(0).wall, [0, 0, 0, 0, 0, 0, 0, 0, high, low])
}

fn provision_intended_of(grant: GrantId) -> Record {
    let spec = GrantSpec { grant, ..spec(1, 600) };
    Record::ProvisionIntended { seq: 1, spec, remaining_ms: 600_000, at: at(0) }
}

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

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_not_understood_is_refused_and_not_left_hanging() {
    let mut bench = Bench::new().await;
    let mut message = order(1, 1, v1::Action::Provision, 600);
    message.spec.as_mut().unwrap().kind = "mainframe".to_owned();
    bench.hear(v1::broker_message::Message::Order(message));
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
    let grant_id = grant(1).to_string();
    bench.hear(v1::broker_message::Message::CredentialOrder(v1::CredentialOrder {
        seq: 2,
        grant_id,
        scram_verifier,
    }));
    bench.settle().await;
    let Some(v1::agent_message::Message::CredentialOutcome(outcome)) =
        bench.said.recv().await.unwrap().message
    else {
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
async fn marks_that_nobody_knows_are_removed_after_a_welcome() {
    let mut bench = Bench::new().await;
    bench.provisioned(1).await;
    bench.target.put(grant(9)).await;
    bench.welcome(vec![order(1, 1, v1::Action::Provision, 600)]).await;
    let seen = |message: &v1::AgentMessage| {
        matches!(message.message, Some(v1::agent_message::Message::OrphanRemoved(_)))
    };
    loop {
        // The look at the target runs beside everything else.
        if let Ok(message) = bench.said.try_recv() {
            if seen(&message) {
                break;
            }
        } else {
            let event = bench.inbox.recv().await.unwrap();
            bench.keeper.turn(vec![event]);
        }
    }
    assert_eq!(bench.target.present().await, BTreeSet::from([grant(1)]));
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
    let late = convert::heard(v1::BrokerMessage {
        message: Some(v1::broker_message::Message::Order(order(2, 1, v1::Action::Provision, 600))),
    });
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
    let verifier =
        format!("SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==${key}:{key}").parse().unwrap();
    let order = CredentialOrder { grant: grant(1), seq: 2, verifier };
    bench.keeper.turn(vec![Event::Heard(Heard::Credential(order))]);
    let Some(v1::agent_message::Message::CredentialOutcome(outcome)) =
        bench.said.recv().await.unwrap().message
    else {
        panic!("no credential outcome")
    };
    assert!(matches!(outcome.result, Some(v1::credential_outcome::Result::Failure(_))));
}
