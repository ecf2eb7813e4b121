//! Everything that there is in one run, and where it stands.

use std::{collections::BTreeMap, sync::Arc};

use ebbgate_domain::{
    ids::{AgentId, NoticeId},
    names::{AgentName, IntegrationName},
    notice::Notice,
};
use parking_lot::Mutex;

use crate::{
    agent::{self, Host},
    broker::{self, House},
    clocks::{NodeClock, wall},
    disk::Disk,
    faults,
    gate::Gate,
    kernel::{Millis, Node, Sim},
    ledger::Ledger,
    people,
    scenario::{Profile, Sabotage},
    server::Server,
    settings::Settings,
    store::MemoryStore,
    wire::Wire,
};

/// The servers: each is one integration.
pub const INTEGRATIONS: [&str; 3] = ["orders", "billing", "stock"];
/// The agents, and what each serves: one integration is served by two.
pub const AGENTS: [(&str, &[&str]); 2] =
    [("site-a", &["orders", "stock"]), ("site-b", &["orders", "billing"])];
/// The integration whose grants end when its agent is without the broker for too long, and how long
/// that is.
const GRACE: (&str, Millis) = ("stock", 40_000);

/// One run's world.
pub struct World {
    /// Time and chance.
    pub sim: Sim,
    /// What this run is like.
    pub profile: Profile,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
    /// The store.
    pub store: MemoryStore,
    /// Its door.
    pub gate: Gate,
    /// The broker's settings.
    pub settings: Arc<Settings>,
    /// The broker's clock.
    pub broker_clock: Arc<NodeClock>,
    /// The broker.
    pub broker: House,
    /// The agents' machines.
    pub hosts: Vec<Arc<Host>>,
    /// The targets.
    pub servers: BTreeMap<IntegrationName, Server>,
    /// For how long an agent without the broker keeps what these integrations gave.
    pub graces: BTreeMap<IntegrationName, Millis>,
    /// The network.
    pub wire: Wire,
    /// What reached people.
    pub delivered: Mutex<Vec<(NoticeId, Notice)>>,
    /// Every verifier that was ever sent (I8).
    pub secrets: Mutex<Vec<String>>,
    /// Whether misfortune is over.
    pub healed: Mutex<bool>,
}

impl World {
    /// Sets everything up and lets it begin.
    pub fn begin(sim: &Sim, sabotage: Option<Sabotage>) -> Arc<Self> {
        let profile = Profile::draw(sim);
        let gate = Gate::new(sim, sabotage);
        let skew = || {
            let skew = i64::try_from(profile.skew).unwrap_or(0);
            i64::try_from(sim.below(profile.skew * 2 + 1)).unwrap_or(0) - skew
        };
        let servers = INTEGRATIONS.map(|name| {
            let name: IntegrationName = name.parse().unwrap();
            (name.clone(), Server::new(sim, name, sabotage))
        });
        let hosts = AGENTS.iter().enumerate().map(|(index, (name, serves))| {
            let entropy = [u8::try_from(index).unwrap_or(0); 10];
            Arc::new(Host {
                node: Node::Agent(index),
                name: name.parse().unwrap(),
                id: AgentId::new(wall(0, 0), entropy),
                integrations: serves.iter().map(|name| name.parse().unwrap()).collect(),
                clock: NodeClock::new(sim, skew()),
                disk: Disk::default(),
                ledger: Ledger::default(),
                up_since: Mutex::new(None),
                attached_since: Mutex::new(None),
                misdeeds: Mutex::default(),
                off: Mutex::new(false),
            })
        });
        let world = Arc::new(Self {
            sim: sim.clone(),
            sabotage,
            store: MemoryStore::behind(gate.clone()),
            settings: Arc::new(Settings::everybody()),
            broker_clock: Arc::new(NodeClock::new(sim, skew())),
            broker: House::default(),
            hosts: hosts.collect(),
            servers: servers.into_iter().collect(),
            graces: [(GRACE.0.parse().unwrap(), GRACE.1)].into(),
            wire: Wire::new(sim),
            delivered: Mutex::default(),
            secrets: Mutex::default(),
            healed: Mutex::new(false),
            gate,
            profile,
        });
        world.broker.settle(&world);
        let first = Arc::clone(&world);
        sim.spawn(Node::World, async move { first.live().await });
        world
    }

    async fn live(self: Arc<Self>) {
        for host in &self.hosts {
            broker::enrol(&self, host.id, &host.name).await;
        }
        self.gate.set_risks(self.profile.broker_crash, self.profile.store_failure);
        self.sim.spawn(Node::World, broker::supervise(Arc::clone(&self)));
        for index in 0..self.hosts.len() {
            self.sim.spawn(Node::World, agent::supervise(Arc::clone(&self), index));
        }
        self.sim.spawn(Node::World, people::act(Arc::clone(&self)));
        self.sim.spawn(Node::World, faults::strike(Arc::clone(&self)));
    }

    /// The id of the agent of that name.
    pub fn agent_id(&self, name: &AgentName) -> Option<AgentId> {
        self.hosts.iter().find(|host| host.name == *name).map(|host| host.id)
    }

    /// The agents that the settings give an integration.
    pub fn agents_of(&self, integration: &IntegrationName) -> Vec<AgentName> {
        let serving = self.hosts.iter().filter(|host| host.integrations.contains(integration));
        serving.map(|host| host.name.clone()).collect()
    }

    /// Which of the offered integrations the settings give an agent.
    pub fn served_by(
        &self,
        agent: &AgentName,
        offered: &[IntegrationName],
    ) -> Vec<IntegrationName> {
        offered.iter().filter(|name| self.agents_of(name).contains(agent)).cloned().collect()
    }

    /// At how many of a thousand points an agent dies now.
    pub fn agent_crash_risk(&self) -> u64 {
        if *self.healed.lock() { 0 } else { self.profile.agent_crash }
    }
}
