//! The places that run connectors: the broker itself, or an agent.

use async_trait::async_trait;
use ebbgate_connector_api::{ConnectorError, Credential, CredentialWish};
use ebbgate_domain::{
    Timestamp,
    names::IntegrationName,
    order::{Finding, GrantSpec, Order},
};

/// An order could not be handed over; the scheduler sends it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPlaced {
    /// The integration's agent is not connected.
    #[error("the agent {agent} is not connected")]
    AgentAway {
        /// Its name.
        agent: String,
    },
    /// No such integration is configured any more.
    #[error("the integration {integration} is not configured")]
    UnknownIntegration {
        /// Its name.
        integration: String,
    },
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The target has the permission.
    Provisioned,
    /// It could not be made.
    ProvisionFailed {
        /// What went wrong, with its causes.
        error: String,
        /// Whether trying again may help.
        may_pass: bool,
    },
    /// Torn down and verified.
    TornDown(Finding),
    /// Not torn down yet.
    TeardownFailed {
        /// What went wrong, with its causes.
        error: String,
    },
    /// The place had seen a newer order and did nothing.
    Stale {
        /// The newest number it has seen.
        newest: u64,
    },
}

/// Hands orders to where the connectors run. What becomes of an order comes back to the use case
/// `record_outcome`, maybe much later, maybe twice.
#[async_trait]
pub trait Placement: Send + Sync {
    /// The integrations whose place is there now.
    fn ready(&self) -> Vec<IntegrationName>;

    /// Hands over an order.
    ///
    /// # Errors
    /// Its place is not there.
    async fn send(&self, order: Order) -> Result<(), NotPlaced>;

    /// For how long, in seconds, a credential handed out now would live on by itself.
    fn credential_lifetime_seconds(&self, grant: &GrantSpec, now: Timestamp) -> Option<u32>;

    /// Hands out or registers a credential and waits for the answer.
    ///
    /// # Errors
    /// The place or the target could not be reached, or refused.
    async fn credential(
        &self,
        grant: &GrantSpec,
        seq: u64,
        wish: CredentialWish,
        now: Timestamp,
    ) -> Result<Credential, ConnectorError>;
}
