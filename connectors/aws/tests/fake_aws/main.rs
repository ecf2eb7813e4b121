//! The connector against a double of AWS that checks signatures, evaluates policies and lets sessions
//! expire, over the wire.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test's helpers too a panic is the report"
)]

mod person;
mod support;

mod ending;
mod failing;
mod using;
