//! Random histories: orders in any order, ticks, effects that succeed or fail, clocks that jump,
//! reboots, and death at every boundary between two records. Whatever happens, the invariants hold.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::*;
use ebbgate_agent_core::{
    Agent, AgentState, Done, Effect, Failure, Outcome, Reading, Record, Report, Stage, Step,
    Welcome,
};
use ebbgate_domain::{
    Timestamp,
    ids::GrantId,
    order::{GrantSpec, OrderAction, Provisioned},
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Event {
    Order { n: u8, seq: u64, revoke: bool, deadline_s: i64, slack_s: i64 },
    Welcome { standing: Vec<(u8, u64, bool)> },
    Pass { ms: u64 },
    WallJump { ms: i64 },
    Finish { n: u8, works: bool },
    Recorded { n: u8, seq: u64 },
    Restart,
    Reboot { wall_ms: i64 },
}

fn event() -> impl Strategy<Value = Event> {
    let n = 0..3_u8;
    let seq = 1..8_u64;
    prop_oneof![
        6 => (n.clone(), seq.clone(), any::<bool>(), 1..900_i64, -400..100_i64).prop_map(
            |(n, seq, revoke, deadline_s, slack_s)| Event::Order { n, seq, revoke, deadline_s, slack_s }
        ),
        2 => prop::collection::vec((n.clone(), seq.clone(), any::<bool>()), 0..3)
            .prop_map(|standing| Event::Welcome { standing }),
        6 => (1..200_000_u64).prop_map(|ms| Event::Pass { ms }),
        1 => (-4_000_000..4_000_000_i64).prop_map(|ms| Event::WallJump { ms }),
        6 => (n.clone(), prop::bool::weighted(0.7)).prop_map(|(n, works)| Event::Finish { n, works }),
        2 => (n, seq).prop_map(|(n, seq)| Event::Recorded { n, seq }),
        1 => Just(Event::Restart),
        1 => (-4_000_000..4_000_000_i64).prop_map(|wall_ms| Event::Reboot { wall_ms }),
    ]
}

/// What the world looks like from outside the agent.
struct World {
    agent: Agent,
    journal: Vec<Record>,
    /// Effects that run now; they die with the process.
    running: BTreeMap<GrantId, Effect>,
    /// What may be on the target: until when, and how much longer at most in milliseconds lived.
    given: BTreeMap<GrantId, (Timestamp, i64)>,
    wall_ms: i64,
    boot: u32,
    boot_ms: u64,
    /// The process dies after this many more records.
    dies_after: Option<usize>,
}

impl World {
    fn new(dies_after: Option<usize>) -> Self {
        let mut world = Self {
            agent: Agent::new(AgentState::default(), BTreeSet::from([orders()])),
            journal: Vec::new(),
            running: BTreeMap::new(),
            given: BTreeMap::new(),
            wall_ms: 0,
            boot: 0,
            boot_ms: 5_000,
            dies_after,
        };
        world.start();
        world
    }

    fn now(&self) -> Reading {
        reading(self.wall_ms, &format!("boot-{}", self.boot), self.boot_ms)
    }

    fn start(&mut self) {
        self.running.clear();
        self.agent = Agent::new(AgentState::fold(self.journal.clone()), BTreeSet::from([orders()]));
        let steps = self.agent.on_start(&self.now());
        self.carry_out(steps);
    }

    fn happen(&mut self, event: Event) {
        let now = self.now();
        let steps = match event {
            Event::Order { n, seq, revoke, deadline_s, slack_s } => {
                let action = if revoke { OrderAction::Revoke } else { OrderAction::Provision };
                let deadline_s = self.wall_ms / 1_000 + deadline_s;
                let order = ordered(
                    action,
                    n,
                    seq,
                    deadline_s,
                    deadline_s - self.wall_ms / 1_000 + slack_s,
                );
                let newest = self.agent.state().get(grant(n)).map(|held| held.seq);
                let steps = self.agent.on_order(order, false, &now);
                if newest.is_some_and(|newest| seq < newest) {
                    let stale = matches!(
                        steps.as_slice(),
                        [Step::Report(Report::Outcome { outcome: Outcome::Stale { .. }, .. })]
                    );
                    assert!(stale, "a past number does nothing: {steps:?}");
                }
                steps
            }
            Event::Welcome { standing } => {
                let standing: BTreeMap<u8, _> =
                    standing.into_iter().map(|(n, seq, revoke)| (n, (seq, revoke))).collect();
                let orders = standing.into_iter().map(|(n, (seq, revoke))| {
                    let action = if revoke { OrderAction::Revoke } else { OrderAction::Provision };
                    let deadline_s = self.wall_ms / 1_000 + 300;
                    ordered(action, n, seq, deadline_s, 300)
                });
                let welcome = Welcome {
                    orders: orders.collect(),
                    unread: vec![],
                    whole: true,
                    elsewhere: BTreeSet::new(),
                    served: ["orders".parse().unwrap()].into(),
                    broker_now: now.wall,
                };
                self.agent.on_welcome(welcome, false, &now)
            }
            Event::Pass { ms } => return self.pass(ms),
            Event::WallJump { ms } => {
                self.wall_ms += ms;
                Vec::new()
            }
            Event::Finish { n, works } => match self.running.remove(&grant(n)) {
                Some(effect) => self.finish(&effect, works),
                None => return,
            },
            Event::Recorded { n, seq } => self.agent.on_recorded(grant(n), seq),
            Event::Restart => return self.start(),
            Event::Reboot { wall_ms } => {
                self.boot += 1;
                self.boot_ms = 1_000;
                self.wall_ms += wall_ms;
                // At most a minute is lived twice: so often the clocks go on record.
                self.given.values_mut().for_each(|(_, left)| *left += 61_000);
                return self.start();
            }
        };
        if self.carry_out(steps) {
            self.tick();
        }
    }

    fn pass(&mut self, ms: u64) {
        // Nobody sleeps longer than a second or past what is due.
        let mut left = ms;
        while left > 0 {
            let wake = self.agent.next_wake(&self.now());
            let wake = wake.map_or(u64::MAX, |wake| u64::try_from(wake.as_millis()).unwrap());
            let step = left.min(1_000).min(wake.max(1));
            self.boot_ms += step;
            self.wall_ms += i64::try_from(step).unwrap();
            let step = i64::try_from(step).unwrap();
            self.given.values_mut().for_each(|(_, left)| *left -= step);
            left -= u64::try_from(step).unwrap();
            self.tick();
        }
    }

    fn tick(&mut self) {
        let steps = self.agent.on_tick(&self.now());
        if !self.carry_out(steps) {
            return;
        }
        let now = self.now();
        for held in self.agent.state().held() {
            let grant = held.spec.grant;
            let past_wall = now.wall >= held.spec.deadline;
            let past_life = self.given.get(&grant).is_some_and(|(_, left)| *left <= 0);
            if past_wall || past_life {
                assert!(
                    !held.is_given(),
                    "nothing stays given past its deadline: {held:?} at {now:?}"
                );
            }
            if held.stage == Stage::RevokeIntended {
                let wake = self.agent.next_wake(&now);
                let tried = self.running.contains_key(&grant)
                    || wake.is_some_and(|wake| wake <= jiff::SignedDuration::from_secs(375));
                assert!(tried, "a teardown is running or will be tried: {held:?}");
            }
        }
    }

    /// To be asked whenever the journal has grown.
    fn journal_tells_all(&self) {
        let state = self.agent.state();
        assert_eq!(
            &AgentState::fold(self.journal.clone()),
            state,
            "the state is the journal's fold"
        );
        assert_eq!(&AgentState::fold(state.snapshot()), state, "compaction loses nothing");
    }

    /// Does what the daemon does: first the records, then the effects. False where the process
    /// died, and has been started again, in the middle.
    fn carry_out(&mut self, steps: Vec<Step>) -> bool {
        for step in &steps {
            if let Step::Append(record) = step {
                if self.dies_after == Some(0) {
                    self.dies_after = None;
                    self.start();
                    return false;
                }
                self.dies_after = self.dies_after.map(|left| left - 1);
                self.journal.push(record.clone());
                if let Record::ProvisionIntended { spec, remaining_ms, .. } = record {
                    self.give(spec, *remaining_ms);
                }
            }
        }
        if steps.iter().any(|step| matches!(step, Step::Append(_))) {
            self.journal_tells_all();
        }
        for step in steps {
            if let Step::Begin(effect) = step {
                self.begin(effect);
            }
        }
        true
    }

    /// The same deadline, told again, never gives more life; another one does.
    fn give(&mut self, spec: &GrantSpec, remaining_ms: i64) {
        let by_wall = spec.deadline.duration_since(self.now().wall).as_millis();
        let left = remaining_ms.min(i64::try_from(by_wall).unwrap());
        let given = self.given.entry(spec.grant).or_insert((spec.deadline, left));
        if given.0 != spec.deadline || left < given.1 {
            *given = (spec.deadline, left);
        }
    }

    fn begin(&mut self, effect: Effect) {
        let grant = effect.grant();
        let begun = |record: &Record| match (record, &effect) {
            (Record::ProvisionIntended { spec, .. }, Effect::Provision(_)) => spec.grant == grant,
            (Record::RevokeIntended { spec, .. }, Effect::Revoke(_)) => spec.grant == grant,
            _ => false,
        };
        // A grant that was forgotten has had its deadline; only what came after that counts.
        let forgotten = self.journal.iter().rposition(
            |record| matches!(record, Record::Forgotten { grant: gone } if *gone == grant),
        );
        let history = &self.journal[forgotten.map_or(0, |at| at + 1)..];
        assert!(history.iter().any(begun), "the record comes first: {effect:?}");
        if let Effect::Provision(spec) = &effect {
            let ended = history.iter().any(
                |record| matches!(record, Record::RevokeIntended { spec, .. } if spec.grant == grant),
            );
            assert!(!ended, "nothing is provisioned after a teardown was intended: {spec:?}");
        }
        let overlapping = self.running.insert(grant, effect);
        assert!(overlapping.is_none(), "effects of one grant never overlap: {overlapping:?}");
    }

    fn finish(&mut self, effect: &Effect, works: bool) -> Vec<Step> {
        let now = self.now();
        let done = match effect {
            _ if !works => effect.failed(Failure::passing("the target is away")),
            Effect::Provision(_) => Done::Provision(Ok(Provisioned::default())),
            Effect::Revoke(spec) => {
                self.given.remove(&spec.grant);
                Done::Revoke(Ok(finding(&now)))
            }
            Effect::Credential { .. } | Effect::RemoveOrphan { .. } => {
                unreachable!("never begun here")
            }
        };
        self.agent.on_done(effect.grant(), done, &now)
    }

    /// The broker is gone for good and the target works: time alone must end everything.
    fn end(&mut self) {
        self.dies_after = None;
        for _ in 0..10 {
            self.pass(400_000);
            for n in 0..3 {
                self.happen(Event::Finish { n, works: true });
            }
        }
        assert!(self.given.is_empty(), "everything ends by itself: {:?}", self.given);
        for held in self.agent.state().held() {
            assert!(matches!(held.stage, Stage::TornDown { .. }), "{held:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_whatever_happens(
        events in prop::collection::vec(event(), 1..60),
        dies_after in prop::option::of(0..40_usize),
    ) {
        let mut world = World::new(dies_after);
        for event in events {
            world.happen(event);
        }
        world.end();
    }
}

/// One plain history, with death at every single boundary between two records.
#[test]
fn death_at_every_boundary_leaves_nothing_behind() {
    let history = || {
        vec![
            Event::Order { n: 0, seq: 1, revoke: false, deadline_s: 600, slack_s: 0 },
            Event::Order { n: 1, seq: 1, revoke: false, deadline_s: 30, slack_s: 0 },
            Event::Finish { n: 0, works: true },
            Event::Finish { n: 1, works: false },
            Event::Order { n: 1, seq: 2, revoke: false, deadline_s: 30, slack_s: 0 },
            Event::Finish { n: 1, works: true },
            Event::Pass { ms: 40_000 },
            Event::Finish { n: 1, works: false },
            Event::Pass { ms: 5_000 },
            Event::Finish { n: 1, works: true },
            Event::Order { n: 0, seq: 3, revoke: true, deadline_s: 555, slack_s: 0 },
            Event::Finish { n: 0, works: true },
            Event::Recorded { n: 0, seq: 3 },
            Event::Order { n: 0, seq: 2, revoke: false, deadline_s: 555, slack_s: 0 },
        ]
    };
    let mut undisturbed = World::new(None);
    history().into_iter().for_each(|event| undisturbed.happen(event));
    let boundaries = undisturbed.journal.len();
    assert!(boundaries > 10, "{boundaries}");
    for dies_after in 0..boundaries {
        let mut world = World::new(Some(dies_after));
        history().into_iter().for_each(|event| world.happen(event));
        world.end();
    }
}
