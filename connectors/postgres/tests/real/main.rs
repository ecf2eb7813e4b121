//! The connector against a real PostgreSQL: one server for all tests, a database for each.

#![expect(clippy::unwrap_used, reason = "a panic is the report, in helpers of tests too")]

mod credentials;
mod errors;
mod less_rights;
mod rights;
mod support;
mod survivors;
mod teardown;
