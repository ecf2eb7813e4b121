//! The end-to-end harness: a whole small world — PostgreSQL, MariaDB, AWS's wire protocols, broker, agent and
//! people with their tools — started from the built programs on free ports and gone afterwards.
//!
//! It is black box: it launches programs, speaks HTTP, gRPC and SQL and reads files, and imports
//! nothing of the product but the agents' protocol. The end-to-end tests, the demo and the benchmark all stand on it.

pub mod agent;
pub mod api;
pub mod aws;
pub mod broker;
pub mod cable;
pub mod clock;
pub mod ebb;
pub mod fake_aws;
pub mod link;
pub mod localstack;
pub mod mail;
pub mod mariadb;
pub mod network;
pub mod people;
pub mod places;
pub mod postgres;
pub mod process;
pub mod receiver;
pub mod relay;
pub mod secrets;
pub mod settings;
pub mod waiting;
pub mod wire;
pub mod world;

pub use anyhow::{Context, Result, anyhow, bail, ensure};
pub use people::Person;
pub use serde_json::{Value, json};
pub use waiting::eventually;
pub use world::World;
