//! A deterministic simulation of Ebbgate: one thread, virtual time, a seed that decides everything.
//! The broker's use cases, the agent's core and the domain are the real ones; store, network,
//! clocks, disks, targets and people are small models. After every step the invariants I1-I12 are
//! checked. `docs/simulation.md` tells more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is a test: a panic ends the run and is reported with its seed"
)]

pub mod agent;
pub mod broker;
pub mod check;
pub mod clocks;
pub mod connector;
pub mod disk;
mod effects;
pub mod faults;
pub mod gate;
mod hub;
pub mod kernel;
pub mod ledger;
pub mod messages;
pub mod outbox;
pub mod people;
mod ports;
pub mod rng;
pub mod run;
pub mod scenario;
pub mod server;
pub mod settings;
pub mod store;
pub mod trace;
pub mod wire;
pub mod world;
