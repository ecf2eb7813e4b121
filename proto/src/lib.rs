//! The agents' protocol, generated from `ebbgate/agent/v1/agent.proto` and checked in, so that a
//! build needs no generator. A test generates it again and compares.

/// Messages and service of version 1.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    clippy::manual_let_else,
    rust_2018_idioms
)]
pub mod v1 {
    include!("generated/ebbgate.agent.v1.rs");
}
