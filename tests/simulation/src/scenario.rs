//! What a seed decides before the run begins: which faults there are, how often, and how much goes
//! on. Each kind of fault is in about half of the runs, so that what one of them hides shows where
//! it is absent.

use crate::kernel::{Millis, Sim};

/// A deed that breaks a promise on purpose: it shows that the checker can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Servers admit roles without log-in.
    IgnoredNologin,
    /// Agents take every deadline for one a month off.
    NoDeadlines,
    /// The store forgets the audit events of some commits.
    NoAudit,
    /// The store forgets the notices of some commits.
    LostNotices,
    /// The connector claims to have verified what it has not.
    Unverified,
    /// Agents begin effects before their records are on disk.
    EffectFirst,
    /// Agents' disks forget that a teardown was intended.
    ForgottenTeardowns,
    /// Agents do not look for what nobody knows.
    NoSweep,
    /// An approver group admits the requester.
    OwnApproval,
    /// The agent writes verifiers into its journal.
    LeakedVerifier,
    /// Agents begin no teardown.
    IdleTeardowns,
    /// Provisioning twice makes two roles.
    SecondRole,
    /// Agents provision what they have just torn down.
    ComesBack,
    /// Nobody looks at what is under way when settings change.
    LeaversStay,
    /// Grants get more time than was given.
    MoreThanGiven,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::IgnoredNologin,
        Self::NoDeadlines,
        Self::NoAudit,
        Self::LostNotices,
        Self::Unverified,
        Self::EffectFirst,
        Self::ForgottenTeardowns,
        Self::NoSweep,
        Self::OwnApproval,
        Self::LeakedVerifier,
        Self::IdleTeardowns,
        Self::SecondRole,
        Self::ComesBack,
        Self::LeaversStay,
        Self::MoreThanGiven,
    ];
}

/// What a run is like.
#[derive(Debug, Clone)]
pub struct Profile {
    /// For how long people act and misfortune strikes.
    pub busy: Millis,
    /// The mean pause between two deeds of people.
    pub people_pause: Millis,
    /// The mean pause between two misfortunes.
    pub fault_pause: Millis,
    /// The misfortunes of this run.
    pub faults: Vec<Fault>,
    /// In how many of a thousand commits the broker dies, at each boundary.
    pub broker_crash: u64,
    /// In how many of a thousand calls the store fails.
    pub store_failure: u64,
    /// At how many of a thousand points an agent dies.
    pub agent_crash: u64,
    /// How many of a thousand messages are taken up twice.
    pub duplicates: u64,
    /// How many of a thousand deliveries to people fail.
    pub undelivered: u64,
    /// How far apart clocks are at the beginning, in milliseconds.
    pub skew: u64,
}

/// A misfortune.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The broker is killed.
    BrokerKilled,
    /// The broker stands still for a while.
    BrokerFrozen,
    /// An agent is killed.
    AgentKilled,
    /// An agent's host stands still for a while.
    AgentFrozen,
    /// An agent's host is off for a while, and boots.
    AgentRebooted,
    /// An agent's stream breaks.
    StreamBroken,
    /// An agent is cut off from the broker.
    Partition,
    /// An agent's wall clock jumps.
    AgentClock,
    /// The broker's wall clock jumps.
    BrokerClock,
    /// A server stops for a while.
    ServerStopped,
    /// A server cannot be reached by agents for a while.
    ServerCutOff,
    /// A server is slow for a while.
    ServerSlow,
    /// A server refuses its administrator for a while.
    ServerRefusing,
    /// A server is put back to an earlier state.
    ServerRestored,
    /// Somebody drops a role on a server.
    RoleDropped,
    /// An agent's disk is full for a while.
    DiskFull,
    /// Somebody leaves, or comes back.
    Leaver,
}

impl Fault {
    const ALL: [Self; 17] = [
        Self::BrokerKilled,
        Self::BrokerFrozen,
        Self::AgentKilled,
        Self::AgentFrozen,
        Self::AgentRebooted,
        Self::StreamBroken,
        Self::Partition,
        Self::AgentClock,
        Self::BrokerClock,
        Self::ServerStopped,
        Self::ServerCutOff,
        Self::ServerSlow,
        Self::ServerRefusing,
        Self::ServerRestored,
        Self::RoleDropped,
        Self::DiskFull,
        Self::Leaver,
    ];
}

impl Profile {
    /// What the seed gives.
    pub fn draw(sim: &Sim) -> Self {
        let maybe = |per_mille: u64| if sim.chance(500) { per_mille } else { 0 };
        Self {
            busy: sim.between(90, 300) * 1_000,
            people_pause: sim.between(1_000, 6_000),
            fault_pause: sim.between(3_000, 40_000),
            faults: Fault::ALL.into_iter().filter(|_| sim.chance(400)).collect(),
            broker_crash: maybe(4),
            store_failure: maybe(3),
            agent_crash: maybe(15),
            duplicates: maybe(30),
            undelivered: maybe(200),
            skew: *sim.pick(&[0, 200, 3_000, 30_000]).unwrap_or(&0),
        }
    }
}
