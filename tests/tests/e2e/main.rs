//! End to end: every test starts a world of its own from the built programs and looks at it from
//! outside. One binary, so that it links once; a file for each subject.
//!
//! Grants here last seconds. No test asserts how fast something is: it waits for what must come
//! about, and fails when that doesn't happen or when something happens too early.

mod activation;
mod agent_protocol;
mod applied_flows;
mod approval;
mod audit;
mod break_glass;
mod clocks;
mod coverage;
mod crash;
mod cut_off;
mod drift;
mod explain;
mod extension;
mod fleet;
mod flows_as_code;
mod forged;
mod guardrails;
mod leavers;
mod live_sessions;
mod localstack;
mod mysql;
mod networks;
mod notifications;
mod partition;
mod permissions;
mod races;
mod refusals;
mod refusals_admin;
mod reports;
mod secrets;
mod settings;
mod story_ebb;
mod story_http;
mod target_down;
