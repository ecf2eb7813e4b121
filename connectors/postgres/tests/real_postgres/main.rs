//! The connector against a real PostgreSQL: one server for all tests, a database for each.

#![expect(clippy::unwrap_used, reason = "a panic is the report, in helpers of tests too")]

mod claims;
mod crashes;
mod credentials;
mod crowds;
mod custom;
mod errors;
mod foreign_rights;
mod hostile;
mod less_rights;
mod levels;
mod live_sessions;
mod pooler;
mod recording;
mod replicas;
mod rights;
mod support;
mod survivors;
mod teardown;
