//! What the keeper's tests stand on: a target in memory, clocks that stand still, and ways to wait
//! for what it says.

use std::{collections::BTreeSet, path::Path};

use ebbgate_agent_core::Stage;
use ebbgate_domain::order::GrantSpec;
use jiff::SignedDuration;

use super::super::*;
use crate::{
    journal,
    testing::{
        FakeConnector, ManualClocks, at, connectors, grant, order, orders, signed, spec, trust,
    },
};
/// A keeper with its target, its clocks and what it says.
pub(super) struct Bench {
    pub(super) keeper: Keeper,
    pub(super) inbox: mpsc::UnboundedReceiver<Event>,
    pub(super) said: mpsc::Receiver<v1::AgentMessage>,
    pub(super) target: Arc<FakeConnector>,
    pub(super) clocks: Arc<ManualClocks>,
    pub(super) dir: tempfile::TempDir,
}

pub(super) fn keeper(
    dir: &Path,
    target: &Arc<FakeConnector>,
    clocks: &Arc<ManualClocks>,
) -> (Keeper, mpsc::UnboundedReceiver<Event>) {
    let (events, inbox) = mpsc::unbounded_channel();
    let (journal, recovered) = Journal::open(dir).unwrap();
    let agent = Agent::new(recovered.state, BTreeSet::from([orders()]))
        .with_orphan_age(SignedDuration::from_secs(60));
    let clocks: Arc<dyn Clocks> = clocks.clone();
    let ways = Ways {
        events,
        redial: Arc::default(),
        draining: dir.join("draining"),
        sweep_every: Duration::from_secs(600),
    };
    let mut keeper = Keeper::new(agent, journal, connectors(target), clocks, ways);
    keeper.start();
    (keeper, inbox)
}

impl Bench {
    /// A keeper that runs and has been welcomed.
    pub(super) async fn new() -> Self {
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
    pub(super) fn restart(&mut self) {
        let (keeper, inbox) = keeper(self.dir.path(), &self.target, &self.clocks);
        self.keeper = keeper;
        self.inbox = inbox;
    }

    pub(super) async fn welcome(&mut self, orders: Vec<v1::Order>) {
        let (outbox, said) = mpsc::channel(64);
        self.said = said;
        self.keeper.turn(vec![Event::Attached(outbox)]);
        let hello = self.said.recv().await.unwrap();
        assert!(matches!(hello.message, Some(v1::agent_message::Message::Hello(_))));
        let now_ms = self.clocks.reading().wall.as_millisecond();
        self.hear(v1::broker_message::Message::Welcome(v1::Welcome {
            now_ms,
            orders: orders.iter().map(signed).collect(),
            integrations: vec!["orders".to_owned()],
            elsewhere: vec![],
        }));
        self.settle().await;
    }

    pub(super) fn hear(&mut self, message: v1::broker_message::Message) {
        let message = v1::BrokerMessage { message: Some(message) };
        let heard = convert::heard(message, &trust()).unwrap().unwrap();
        self.keeper.turn(vec![Event::Heard(heard)]);
    }

    pub(super) fn order(&mut self, n: u8, seq: u64, action: v1::Action) {
        self.hear(v1::broker_message::Message::Order(signed(&order(n, seq, action, 600))));
    }

    /// Lets the effects under way end, and the looks at the target come back.
    pub(super) async fn settle(&mut self) {
        // The look that a Welcome asks for.
        if let Ok(event) = self.inbox.try_recv() {
            self.keeper.turn(vec![event]);
        }
        while self.keeper.lanes.running() > 0 {
            let event = self.inbox.recv().await.unwrap();
            self.keeper.turn(vec![event]);
        }
    }

    pub(super) async fn provisioned(&mut self, n: u8) {
        self.order(n, 1, v1::Action::Provision);
        self.settle().await;
        assert_eq!(self.outcome().await, format!("{} 1 provisioned", grant(n)));
    }

    /// What the broker is told next, but for looks at the target and heartbeats.
    pub(super) async fn said(&mut self) -> v1::agent_message::Message {
        loop {
            let message = self.said.recv().await.unwrap().message.unwrap();
            if !matches!(
                message,
                v1::agent_message::Message::SweepReport(_)
                    | v1::agent_message::Message::Heartbeat(_)
            ) {
                return message;
            }
        }
    }

    /// The next outcome that the broker is told.
    pub(super) async fn outcome(&mut self) -> String {
        let message = self.said().await;
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

    /// The next message, whatever events that takes.
    pub(super) async fn next_message(&mut self) -> v1::agent_message::Message {
        loop {
            if let Ok(message) = self.said.try_recv() {
                return message.message.unwrap();
            }
            let event = self.inbox.recv().await.unwrap();
            self.keeper.turn(vec![event]);
        }
    }

    /// The next look at the target.
    pub(super) async fn swept(&mut self) -> v1::SweepReport {
        loop {
            if let v1::agent_message::Message::SweepReport(swept) = self.next_message().await {
                return swept;
            }
        }
    }

    pub(super) fn stage(&self, n: u8) -> Stage {
        let state = journal::look(self.dir.path()).unwrap().state;
        state.get(grant(n)).unwrap().stage.clone()
    }
}

pub(super) fn numbered(n: u16) -> GrantId {
    let [high, low] = n.to_be_bytes();
    GrantId::new(at(0).wall, [0, 0, 0, 0, 0, 0, 0, 0, high, low])
}

pub(super) fn provision_intended_of(grant: GrantId) -> Record {
    let spec = GrantSpec { grant, ..spec(1, 600) };
    Record::ProvisionIntended { seq: 1, spec, remaining_ms: 600_000, at: at(0) }
}
