//! IAM's policy language: reading documents and deciding by them. Pure: no clock, no state.
//!
//! Written here because the one crate for it that is kept (iam-rs 0.8) fills no policy variables in
//! conditions, lets a missing variable match the empty text, knows one kind of principal per
//! statement and none of AWS's rules for accounts and sessions, and can't combine identity,
//! boundary and session policies.

mod condition;
mod context;
mod eval;
mod parse;
mod pattern;

pub(crate) use context::Context;
pub(crate) use eval::{Denial, Layers, Question, Trust, Trustee, trust};
pub(crate) use parse::{Kind, Policy, Principal};
