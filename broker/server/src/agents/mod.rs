//! Agents: the gRPC service, the streams that stand, and the messages on them.

mod convert;
mod hub;
mod service;

pub(crate) use hub::Hub;
pub(crate) use service::{Agents, PeerAgent};
