//! The pure core of Ebbgate: words, rules and state machines, with no IO, no async and no clock.
//!
//! Every decision is a function of state and `now`. What changes is returned as a
//! [`Transition`]: the next state, the effects that somebody with hands must carry out, and the
//! audit events that are committed with it. Who calls is never asked for the time or for
//! randomness: both come in as arguments.

pub mod approval;
pub mod approver;
pub mod audit;
pub mod clock_offset;
pub mod condition;
pub mod delegation;
pub mod duration;
pub mod explain;
pub mod flow;
pub mod flow_set;
pub mod grant;
pub mod guardrail;
pub mod ids;
pub mod inventory;
pub mod mysql_verifier;
pub mod names;
pub mod notice;
pub mod offer;
pub mod order;
pub mod people;
pub mod placing;
pub mod principal;
pub mod refusal;
pub mod report;
pub mod request;
pub mod right;
pub mod schedule;
pub mod scope;
pub mod scram;
pub mod session;
pub mod tags;
pub mod terms;
pub mod transition;
pub mod verifier;
pub mod zone;

pub use jiff::Timestamp;
pub use transition::{Effect, Transition};
