//! Carrying effects out: each in a task of its own that nobody cuts short, so many at a time for
//! each integration, and teardowns before everything else. A target that is dead fills its own lane
//! and no other.
//!
//! Many teardowns run at once, since a connector may do together what comes together; how many it
//! asks of its target at a time is for the connector to say.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use ebbgate_agent_core::{Done, Effect, Failure};
use ebbgate_connector_api::{Connector, ConnectorError, Credential, CredentialWish, crash};
use ebbgate_domain::{Timestamp, ids::GrantId, names::IntegrationName};
use tokio::sync::mpsc;

use crate::{clock::Clocks, keeper::Event, settings::Connectors, telemetry::chain};

/// How many teardowns run at once on one integration.
const TEARDOWNS_AT_ONCE: usize = 512;
/// How many effects that are no teardowns run at once on one integration.
const OTHERS_AT_ONCE: usize = 6;

/// An effect has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub integration: IntegrationName,
    pub grant: GrantId,
    pub done: Done,
}

/// Where effects run.
pub(crate) struct Lanes {
    connectors: Connectors,
    clocks: Arc<dyn Clocks>,
    events: mpsc::UnboundedSender<Event>,
    lanes: HashMap<IntegrationName, Lane>,
    closed: bool,
}

#[derive(Default)]
struct Lane {
    teardowns_running: usize,
    others_running: usize,
    /// Ended before their deadline: somebody waits for that.
    early: VecDeque<Effect>,
    /// By deadline, and in the order in which they came.
    due: BTreeMap<(Timestamp, u64), Effect>,
    came: u64,
    others: VecDeque<Effect>,
}

/// One of the places in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Teardown,
    Other,
}

impl Lane {
    fn add(&mut self, effect: Effect, now: Timestamp) {
        match &effect {
            Effect::Revoke(spec) if spec.deadline > now => self.early.push_back(effect),
            Effect::Revoke(spec) => {
                self.came += 1;
                self.due.insert((spec.deadline, self.came), effect);
            }
            _ => self.others.push_back(effect),
        }
    }

    /// Nothing else is begun while a teardown waits.
    fn next(&mut self) -> Option<(Place, Effect)> {
        if self.early.is_empty() && self.due.is_empty() {
            if self.others_running >= OTHERS_AT_ONCE {
                return None;
            }
            let other = self.others.pop_front()?;
            self.others_running += 1;
            return Some((Place::Other, other));
        }
        if self.teardowns_running >= TEARDOWNS_AT_ONCE {
            return None;
        }
        let teardown = match self.early.pop_front() {
            Some(early) => early,
            None => self.due.pop_first()?.1,
        };
        self.teardowns_running += 1;
        Some((Place::Teardown, teardown))
    }

    fn leave(&mut self, place: Place) {
        let running = match place {
            Place::Teardown => &mut self.teardowns_running,
            Place::Other => &mut self.others_running,
        };
        *running = running.saturating_sub(1);
    }

    fn running(&self) -> usize {
        self.teardowns_running + self.others_running
    }
}

impl Lanes {
    /// Lanes for these connectors; the end of each effect is sent to `events`.
    pub(crate) fn new(
        connectors: Connectors,
        clocks: Arc<dyn Clocks>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        Self { connectors, clocks, events, lanes: HashMap::new(), closed: false }
    }

    /// Begins an effect, as soon as there is a place for it.
    pub(crate) fn push(&mut self, effect: Effect) {
        let integration = effect.integration().clone();
        let now = self.clocks.now();
        self.lanes.entry(integration.clone()).or_default().add(effect, now);
        self.run(&integration);
    }

    /// Gives the place of an effect that has ended to the next one.
    pub(crate) fn ended(&mut self, integration: &IntegrationName, done: &Done) {
        if let Some(lane) = self.lanes.get_mut(integration) {
            lane.leave(match done {
                Done::Revoke(_) => Place::Teardown,
                _ => Place::Other,
            });
        }
        self.run(integration);
    }

    /// Takes out what waits and must not begin any more. Only what gives access is asked for, and what
    /// looks after marks: a teardown is never taken back.
    pub(crate) fn withdraw(&mut self, unwanted: impl Fn(&Effect) -> bool) -> Vec<Effect> {
        let mut withdrawn = Vec::new();
        for lane in self.lanes.values_mut() {
            let waiting = std::mem::take(&mut lane.others).into_iter();
            let (out, stays): (VecDeque<_>, VecDeque<_>) =
                waiting.partition(|effect| unwanted(effect));
            lane.others = stays;
            withdrawn.extend(out);
        }
        withdrawn
    }

    /// Begins nothing more. What waits is on record, and taken up by the next start.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// How many effects run now.
    pub(crate) fn running(&self) -> usize {
        self.lanes.values().map(Lane::running).sum()
    }

    fn run(&mut self, integration: &IntegrationName) {
        let Some(lane) = self.lanes.get_mut(integration).filter(|_| !self.closed) else { return };
        while let Some((_, effect)) = lane.next() {
            let connector = self.connectors.get(integration).map(Arc::clone);
            tokio::spawn(see_through(
                effect,
                connector,
                Arc::clone(&self.clocks),
                self.events.clone(),
            ));
        }
    }
}

/// Carries an effect out and tells its end, whatever becomes of it.
async fn see_through(
    effect: Effect,
    connector: Option<Arc<dyn Connector>>,
    clocks: Arc<dyn Clocks>,
    events: mpsc::UnboundedSender<Event>,
) {
    let (integration, grant) = (effect.integration().clone(), effect.grant());
    let done = match connector {
        Some(connector) => {
            let work = tokio::spawn(carry_out(effect.clone(), connector, clocks));
            work.await.unwrap_or_else(|error| {
                tracing::error!(grant.id = %grant, error = chain(&error), "a connector broke off");
                effect.failed(Failure::passing("the connector broke off: see the agent's log"))
            })
        }
        None => effect.failed(Failure::lasting(format!(
            "the integration {integration} is not in the agent's settings any more: put it back, so that its grants can be torn down"
        ))),
    };
    // Nobody listens any more where the agent has given up waiting at its end.
    drop(events.send(Event::Ended(Ended { integration, grant, done })));
}

async fn carry_out(effect: Effect, connector: Arc<dyn Connector>, clocks: Arc<dyn Clocks>) -> Done {
    match effect {
        Effect::Provision(spec) => {
            let result = connector.provision(&spec, clocks.now()).await;
            crash::point("agent.provision.after_effect");
            Done::Provision(result.map_err(failure))
        }
        Effect::Revoke(spec) => {
            let result = connector.revoke(&spec, clocks.as_ref()).await;
            crash::point("agent.revoke.after_effect");
            Done::Revoke(result.map_err(failure))
        }
        Effect::Credential { spec, seq, verifier } => {
            let wish = CredentialWish::Verifier(verifier);
            let result = match connector.credential(&spec, wish, clocks.now()).await {
                Ok(Credential::Login { user }) => Ok(user),
                Ok(Credential::Aws(_)) => Err(Failure::lasting(
                    "the connector made credentials that agents do not hand out",
                )),
                Err(error) => Err(failure(error)),
            };
            Done::Credential { seq, result }
        }
        Effect::RemoveOrphan { integration, grant } => {
            let result = connector.remove_orphan(grant, clocks.as_ref()).await;
            Done::Orphan { integration, result: result.map_err(failure) }
        }
    }
}

fn failure(error: ConnectorError) -> Failure {
    Failure { message: error.chain(), may_pass: error.may_pass() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeConnector, ManualClocks, at, connectors, orders, spec};

    struct Bench {
        lanes: Lanes,
        target: Arc<FakeConnector>,
        events: mpsc::UnboundedReceiver<Event>,
    }

    fn bench() -> Bench {
        let (sender, events) = mpsc::unbounded_channel();
        let target = Arc::new(FakeConnector::default());
        let lanes = Lanes::new(connectors(&target), Arc::new(ManualClocks::default()), sender);
        Bench { lanes, target, events }
    }

    impl Bench {
        async fn next_end(&mut self) -> Ended {
            let Some(Event::Ended(ended)) = self.events.recv().await else { panic!("no end") };
            self.lanes.ended(&ended.integration, &ended.done);
            ended
        }
    }

    #[tokio::test]
    async fn teardowns_come_first_and_always_find_a_place() {
        let mut bench = bench();
        bench.target.hang(true);
        for n in 0..20 {
            bench.lanes.push(Effect::Provision(spec(n, 600)));
        }
        assert_eq!(bench.lanes.running(), OTHERS_AT_ONCE);
        for n in 20..120 {
            bench.lanes.push(Effect::Revoke(spec(n, 600)));
        }
        assert_eq!(bench.lanes.running(), OTHERS_AT_ONCE + 100);
        bench.target.hang(false);
        for _ in 0..120 {
            bench.next_end().await;
        }
        assert_eq!(bench.lanes.running(), 0);
        let calls = bench.target.calls();
        let last_teardown = calls.iter().rposition(|call| call.starts_with("revoke")).unwrap();
        let provisions_before =
            calls[..last_teardown].iter().filter(|call| call.starts_with("provision")).count();
        assert!(provisions_before < 20, "no teardown waits for all the others: {calls:?}");
    }

    /// What a lane begins next, though nothing ends: `r` for a revoke, `p` for a provision.
    fn begun(lane: &mut Lane) -> Vec<String> {
        std::iter::from_fn(|| lane.next())
            .map(|(_, effect)| match effect {
                Effect::Revoke(spec) => {
                    format!("r{}", spec.deadline.as_second() - at(0).wall.as_second())
                }
                _ => "p".to_owned(),
            })
            .collect()
    }

    #[test]
    fn the_earliest_deadline_is_first_and_who_is_waited_for_before_all_of_them() {
        let mut lane = Lane::default();
        lane.add(Effect::Provision(spec(0, 900)), at(500).wall);
        for deadline in [300, 100, 700, 200] {
            lane.add(Effect::Revoke(spec(1, deadline)), at(500).wall);
        }
        assert_eq!(begun(&mut lane), ["r700", "r100", "r200", "r300", "p"]);
    }

    #[test]
    fn thousands_of_teardowns_are_bounded_and_nothing_else_is_begun_before_them() {
        let mut lane = Lane::default();
        (0..2_000).for_each(|_| lane.add(Effect::Revoke(spec(1, 100)), at(500).wall));
        lane.add(Effect::Provision(spec(0, 900)), at(500).wall);
        assert_eq!(begun(&mut lane).len(), TEARDOWNS_AT_ONCE);
        (0..TEARDOWNS_AT_ONCE).for_each(|_| lane.leave(Place::Teardown));
        assert!(!begun(&mut lane).contains(&"p".to_owned()));
    }

    #[tokio::test]
    async fn a_dead_target_does_not_hold_up_another() {
        let mut bench = bench();
        bench.target.hang(true);
        let alive = Arc::new(FakeConnector::default());
        bench.lanes.connectors.insert("billing".parse().unwrap(), alive);
        for n in 0..20 {
            bench.lanes.push(Effect::Revoke(spec(n, 600)));
        }
        let mut elsewhere = spec(50, 600);
        elsewhere.integration = "billing".parse().unwrap();
        bench.lanes.push(Effect::Revoke(elsewhere));
        let ended = bench.next_end().await;
        assert_eq!(ended.integration.as_str(), "billing");
        assert!(matches!(ended.done, Done::Revoke(Ok(_))));
    }

    #[tokio::test]
    async fn a_missing_connector_and_one_that_breaks_off_are_failures() {
        let mut bench = bench();
        let mut unknown = spec(1, 600);
        unknown.integration = "gone".parse().unwrap();
        bench.lanes.push(Effect::Revoke(unknown));
        let Done::Revoke(Err(failure)) = bench.next_end().await.done else { panic!("no failure") };
        assert!(failure.message.contains("not in the agent's settings any more"));

        bench.target.panic_next();
        bench.lanes.push(Effect::Revoke(spec(1, 600)));
        let ended = bench.next_end().await;
        assert_eq!(ended.integration, orders());
        assert!(matches!(ended.done, Done::Revoke(Err(Failure { may_pass: true, .. }))));
    }

    #[tokio::test]
    async fn closed_lanes_begin_nothing() {
        let mut bench = bench();
        bench.lanes.close();
        bench.lanes.push(Effect::Revoke(spec(1, 600)));
        assert_eq!(bench.lanes.running(), 0);
    }
}
