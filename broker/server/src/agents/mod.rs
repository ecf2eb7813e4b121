//! Agents: the gRPC service, the streams that stand, and the messages on them.

mod attending;
mod convert;
mod hub;
mod questions;
mod service;

pub(crate) use hub::Hub;
pub(crate) use service::{Agents, PeerAgent};
