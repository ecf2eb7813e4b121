//! The agent as a process, with a real PostgreSQL, and a broker in this test that speaks the
//! agents' protocol over mutual TLS.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is the report, in helpers of tests too"
)]

mod agent;
mod broker;
mod crashes;
mod enrolment;
mod footprint;
mod journal;
mod lifecycle;
mod partition;
mod settings;
mod support;
mod trust;
mod watch;
