//! The places that run connectors: the broker itself, or an agent.

use async_trait::async_trait;
use ebbgate_connector_api::{ConnectorError, Credential, CredentialWish};
use ebbgate_domain::{
    Timestamp,
    grant::Grant,
    ids::AgentId,
    names::{AgentName, IntegrationName},
    order::{EndCause, Finding, GrantSpec, Order, Provisioned},
    placing::Runner,
    session::LiveSession,
};

/// An order could not be handed over; the scheduler sends it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPlaced {
    /// None of the integration's agents is connected, or the one that it was for has just left.
    #[error("{}", away(.agents))]
    AgentAway {
        /// Their names.
        agents: Vec<AgentName>,
    },
    /// No such integration is configured any more.
    #[error("the integration {integration} is not configured")]
    UnknownIntegration {
        /// Its name.
        integration: String,
    },
}

fn away(agents: &[AgentName]) -> String {
    match agents {
        [only] => format!("the agent {only} is not connected"),
        many => {
            let names: Vec<_> = many.iter().map(AgentName::as_str).collect();
            format!("none of the agents {} can take it now", names.join(", "))
        }
    }
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The target has the permission.
    Provisioned(Provisioned),
    /// It could not be made.
    ProvisionFailed {
        /// What went wrong, with its causes.
        error: String,
        /// Whether trying again may help.
        may_pass: bool,
    },
    /// Torn down and verified.
    TornDown {
        /// The proof.
        finding: Finding,
        /// Why the place did it.
        cause: EndCause,
    },
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
    /// The integrations on which new grants can be made now.
    fn ready(&self) -> Vec<IntegrationName>;

    /// Who could carry out an order for the integration now.
    fn runner(&self, integration: &IntegrationName) -> Runner;

    /// Hands over an order: to the agent `place`, or to the broker's own connector.
    ///
    /// # Errors
    /// Its place is not there.
    async fn send(&self, order: Order, place: Option<&AgentName>) -> Result<(), NotPlaced>;

    /// A grant is over: whoever knows that another agent holds it should know that, too.
    fn over(&self, grant: &Grant);

    /// Ends the stream of an agent that may not speak any more, at once.
    fn shut_out(&self, agent: AgentId);

    /// For how long, in seconds, a credential handed out now would live on by itself.
    fn credential_lifetime_seconds(&self, grant: &GrantSpec, now: Timestamp) -> Option<u32>;

    /// Hands out or registers a credential where the grant is, and waits for the answer.
    ///
    /// # Errors
    /// The place or the target could not be reached, or refused.
    async fn credential(
        &self,
        grant: &GrantSpec,
        place: Option<&AgentName>,
        seq: u64,
        wish: CredentialWish,
        now: Timestamp,
    ) -> Result<Credential, ConnectorError>;

    /// The live sessions under any grant on the integration, as its target shows them now.
    ///
    /// # Errors
    /// Nobody who could look is there, or the target could not be asked in time.
    async fn sessions(
        &self,
        integration: &IntegrationName,
    ) -> Result<Vec<LiveSession>, ConnectorError>;

    /// Ends one live session and waits until it is gone. False where it was gone already.
    ///
    /// # Errors
    /// It is still there, or the target could not be asked.
    async fn end_session(
        &self,
        integration: &IntegrationName,
        session: &LiveSession,
    ) -> Result<bool, ConnectorError>;
}
