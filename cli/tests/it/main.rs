//! `ebb` as people and SDKs run it: the built program against a broker's API on loopback.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod aws_configure;
mod creds;
mod db;
mod exit_codes;
mod fleet;
mod harness;
mod login;
mod report;
mod request;
mod review;
