//! The core from outside: its rules as examples, and its invariants under random histories.

#![expect(clippy::unwrap_used, reason = "a panic is the report, in helpers of tests too")]

mod clocks;
mod drift;
mod extension;
mod partition;
mod properties;
mod rules;
mod standstill;
mod support;
