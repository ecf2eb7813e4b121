//! The connector against a real MariaDB: one server for all tests, a database for each.

#![expect(clippy::unwrap_used, reason = "a panic is the report, in helpers of tests too")]

mod crashes;
mod credentials;
mod definers;
mod errors;
mod less_rights;
mod live;
mod owner;
mod quoting;
mod recording;
mod rights;
mod support;
mod survivors;
mod teardown;
