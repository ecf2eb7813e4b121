//! What the broker's use cases need of the world: a store, a catalogue, places that run connectors,
//! channels to people, and randomness. Adapters implement these traits; nothing here does IO.

mod audit_walk;
mod catalogue;
mod channel;
mod meter;
mod placement;
pub mod store;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use audit_walk::verify_audit;
pub use catalogue::{Address, AppliedFlows, Catalogue, FlowMistake, FlowPlan, Snapshot};
pub use channel::{Channel, ChannelError};
pub use ebbgate_connector_api::{Clock, crash};
pub use meter::Meter;
pub use placement::{NotPlaced, Outcome, Placement};
pub use store::{Store, StoreError};

use ebbgate_domain::ids::Entropy;

/// Randomness for identifiers.
pub trait Ids: Send + Sync {
    /// Ten bytes that nobody can guess.
    fn entropy(&self) -> Entropy;
}

/// An error and its causes in one line, for the log: its JSON form would keep the first alone.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
