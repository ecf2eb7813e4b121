//! The audit log: what is told in it, and the chain that makes a change to it visible.

mod chain;

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ids::{GrantId, RequestId},
    names::{AgentName, PrincipalId},
};

pub use chain::{AuditRecord, BrokenChain, ChainWalk, Hash, InvalidHash};

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// A person or a service account.
    Principal(PrincipalId),
    /// An agent.
    Agent(AgentName),
    /// The broker of its own accord: a timer, a rule.
    Broker,
    /// Somebody who could not say who they are.
    Anonymous,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(id) => write!(f, "user:{id}"),
            Self::Agent(name) => write!(f, "agent:{name}"),
            Self::Broker => f.write_str("broker"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// What was done. The names are stable: people search for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// A request was made.
    #[serde(rename = "request.created")]
    RequestCreated,
    /// A request, a review or another wish was refused; the code tells why.
    #[serde(rename = "request.refused")]
    RequestRefused,
    /// Somebody approved; more may be needed.
    #[serde(rename = "request.reviewed")]
    RequestReviewed,
    /// More people were asked, because those before had not decided.
    #[serde(rename = "request.escalated")]
    RequestEscalated,
    /// Somebody said that they are looking; escalation waits for them.
    #[serde(rename = "request.claimed")]
    RequestClaimed,
    /// A request got all the approvals it needs, or needed none.
    #[serde(rename = "request.approved")]
    RequestApproved,
    /// Somebody denied a request.
    #[serde(rename = "request.denied")]
    RequestDenied,
    /// A request was withdrawn, or its requester left.
    #[serde(rename = "request.cancelled")]
    RequestCancelled,
    /// Nobody decided in time.
    #[serde(rename = "request.lapsed")]
    RequestLapsed,
    /// Access of an approved request begins, which had to wait for its start or for its requester.
    #[serde(rename = "request.activated")]
    RequestActivated,
    /// More time was asked for.
    #[serde(rename = "request.extension_asked")]
    ExtensionAsked,
    /// More time got all the approvals it needs, or needed none.
    #[serde(rename = "request.extension_approved")]
    ExtensionApproved,
    /// Somebody denied more time.
    #[serde(rename = "request.extension_denied")]
    ExtensionDenied,
    /// Nobody decided on more time while it could be given.
    #[serde(rename = "request.extension_lapsed")]
    ExtensionLapsed,
    /// Somebody used a flow for emergencies.
    #[serde(rename = "breakglass.activated")]
    BreakglassActivated,
    /// Somebody was reminded of a review that they owe.
    #[serde(rename = "review.reminded")]
    ReviewReminded,
    /// The review of an emergency was written; the details hold it.
    #[serde(rename = "review.written")]
    ReviewWritten,
    /// All grants of a request have ended.
    #[serde(rename = "request.ended")]
    RequestEnded,
    /// Somebody named a substitute for their approvals.
    #[serde(rename = "delegation.created")]
    DelegationCreated,
    /// A delegation was ended before its time.
    #[serde(rename = "delegation.ended")]
    DelegationEnded,
    /// The intent to provision was written down.
    #[serde(rename = "grant.provisioning")]
    GrantProvisioning,
    /// The target has the permission.
    #[serde(rename = "grant.active")]
    GrantActive,
    /// An attempt to provision failed.
    #[serde(rename = "grant.provision_failed")]
    GrantProvisionFailed,
    /// The intent to let it last longer was written down.
    #[serde(rename = "grant.extending")]
    GrantExtending,
    /// The place that has it knows of the later deadline.
    #[serde(rename = "grant.extended")]
    GrantExtended,
    /// The place that has it could not be told of the later deadline; it is tried again.
    #[serde(rename = "grant.extend_failed")]
    GrantExtendFailed,
    /// Its principal was warned that it ends soon.
    #[serde(rename = "grant.ending_soon")]
    GrantEndingSoon,
    /// The intent to tear down was written down.
    #[serde(rename = "grant.revoking")]
    GrantRevoking,
    /// An attempt to tear down failed; it goes on.
    #[serde(rename = "grant.teardown_failed")]
    GrantTeardownFailed,
    /// Torn down and verified; the details hold the finding (I6).
    #[serde(rename = "grant.revoked")]
    GrantRevoked,
    /// Could not be provisioned; what was begun is verified gone.
    #[serde(rename = "grant.failed")]
    GrantFailed,
    /// Another agent of its integration carries out its orders from now on.
    #[serde(rename = "grant.moved")]
    GrantMoved,
    /// An agent or connector answered to an order that is no longer the newest.
    #[serde(rename = "grant.stale_order")]
    GrantStaleOrder,
    /// The intent to hand out a credential was written down.
    #[serde(rename = "credential.requested")]
    CredentialRequested,
    /// A credential was handed out or a verifier registered.
    #[serde(rename = "credential.issued")]
    CredentialIssued,
    /// A credential could not be made.
    #[serde(rename = "credential.failed")]
    CredentialFailed,
    /// The intent to end one live session was written down.
    #[serde(rename = "session.ending")]
    SessionEnding,
    /// One live session was ended, or was gone already; its grant stays.
    #[serde(rename = "session.ended")]
    SessionEnded,
    /// One live session could not be ended.
    #[serde(rename = "session.end_failed")]
    SessionEndFailed,
    /// An enrolment token was made.
    #[serde(rename = "agent.token_created")]
    AgentTokenCreated,
    /// An agent got its first certificate.
    #[serde(rename = "agent.enrolled")]
    AgentEnrolled,
    /// An agent got its next certificate.
    #[serde(rename = "agent.certificate_renewed")]
    AgentCertificateRenewed,
    /// An agent's stream began.
    #[serde(rename = "agent.connected")]
    AgentConnected,
    /// An agent's stream ended.
    #[serde(rename = "agent.disconnected")]
    AgentDisconnected,
    /// An administrator shut an agent out.
    #[serde(rename = "agent.revoked")]
    AgentRevoked,
    /// What a look at a target found that should not be so has changed (I7).
    #[serde(rename = "drift.found")]
    DriftFound,
    /// An agent found something that bore our mark and removed it (I7).
    #[serde(rename = "agent.orphan_removed")]
    AgentOrphanRemoved,
    /// An administrator had a channel try again what it had set aside.
    #[serde(rename = "channel.replayed")]
    ChannelReplayed,
    /// An administrator applied flows; the details tell which documents changed.
    #[serde(rename = "flows.applied")]
    FlowsApplied,
    /// Somebody was refused at the door.
    #[serde(rename = "access.refused")]
    AccessRefused,
    /// The broker read its settings.
    #[serde(rename = "broker.started")]
    BrokerStarted,
    /// Settings were read again.
    #[serde(rename = "broker.reloaded")]
    BrokerReloaded,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Serialize::serialize(self, f)
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    pub action: Action,
    /// Who.
    pub actor: Actor,
    /// The request it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// The grant it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// What else is to be known; never a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, Value>,
}

impl AuditEvent {
    /// An event with no details yet.
    pub fn new(action: Action, actor: Actor, at: Timestamp) -> Self {
        Self { at, action, actor, request: None, grant: None, details: BTreeMap::new() }
    }

    /// Says which request it belongs to.
    pub fn request(mut self, id: RequestId) -> Self {
        self.request = Some(id);
        self
    }

    /// Says which grant it belongs to.
    pub fn grant(mut self, id: GrantId) -> Self {
        self.grant = Some(id);
        self
    }

    /// Adds a detail.
    pub fn detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_have_stable_names() {
        assert_eq!(Action::GrantRevoked.to_string(), "grant.revoked");
        assert_eq!(serde_json::to_string(&Action::RequestCreated).unwrap(), "\"request.created\"");
    }
}
