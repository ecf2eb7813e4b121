//! What travels between an agent and the broker. The real messages are protobuf; what they say is
//! this.

use ebbgate_agent_core::{CredentialOrder, Ordered, Outcome as AgentOutcome, Report, Welcome};
use ebbgate_broker_ports::Outcome;
use ebbgate_domain::{
    Timestamp,
    ids::GrantId,
    names::IntegrationName,
    order::{EndCause, Order},
};
use jiff::SignedDuration;

/// What an agent says.
#[derive(Debug, Clone)]
pub enum ToBroker {
    /// First of all: which integrations it serves, and what its clock says.
    Hello {
        /// The integrations.
        integrations: Vec<IntegrationName>,
        /// The wall clock.
        now: Timestamp,
    },
    /// It lives.
    Heartbeat {
        /// The wall clock.
        now: Timestamp,
    },
    /// What became of something.
    Report(Report),
}

/// What the broker says.
#[derive(Debug, Clone)]
pub enum ToAgent {
    /// First of all: what stands.
    Welcome(Welcome),
    /// An order.
    Order(Box<Ordered>),
    /// Another agent is about to be given a grant on a target that this one serves, too.
    Elsewhere(GrantId),
    /// That one is over.
    ElsewhereOver(GrantId),
    /// It is on record that an orphan was removed.
    OrphanRecorded(IntegrationName, GrantId),
    /// A credential order.
    Credential(CredentialOrder),
    /// The broker's time: the answer to a heartbeat.
    Time(Timestamp),
    /// An outcome that was an end is on record.
    Recorded {
        /// The grant.
        grant: GrantId,
        /// The order's number.
        seq: u64,
    },
}

/// What an agent tells, as the broker takes it up; and whether it was the grant's end.
pub(crate) fn outcome_of(outcome: AgentOutcome) -> (Outcome, bool) {
    match outcome {
        AgentOutcome::Provisioned(told) => (Outcome::Provisioned(told), false),
        AgentOutcome::ProvisionFailed(failure) => {
            let (error, may_pass) = (failure.message, failure.may_pass);
            (Outcome::ProvisionFailed { error, may_pass }, false)
        }
        AgentOutcome::TornDown { finding, cause } => {
            let cause = cause.unwrap_or(EndCause::Deadline);
            (Outcome::TornDown { finding, cause }, true)
        }
        AgentOutcome::TeardownFailed(failure) => {
            (Outcome::TeardownFailed { error: failure.message }, false)
        }
        AgentOutcome::Stale { newest } => (Outcome::Stale { newest }, false),
    }
}

/// An order, with how long is left by the broker's clock.
pub(crate) fn ordered(order: Order, now: Timestamp) -> Ordered {
    let remaining = order.spec.deadline.duration_since(now).max(SignedDuration::ZERO);
    Ordered { order, remaining, sent_at: Some(now) }
}
