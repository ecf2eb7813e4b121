//! What rests in the store beside requests and grants.

use ebbgate_domain::{
    Timestamp,
    flow_set::FlowSet,
    ids::{AgentId, NoticeId, TokenId},
    names::{AgentName, ChannelName, IntegrationName, PrincipalId, ResourceId},
    notice::Notice,
};
use serde::{Deserialize, Serialize};

/// The flows that were applied last, as the audit log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Their number.
    pub number: u64,
    /// The set; none where it is not there any more, or not believed.
    pub set: Option<FlowSet>,
}

/// When a resource was in the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Which.
    pub resource: ResourceId,
    /// When it was first seen.
    pub first: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
}

/// A notice on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxItem {
    /// Its stable id.
    pub id: NoticeId,
    /// Through which channel.
    pub channel: ChannelName,
    /// The notice.
    pub notice: Notice,
    /// When it was put in.
    pub at: Timestamp,
    /// How often delivery failed.
    pub failures: u32,
}

/// How far a channel is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The channel.
    pub channel: ChannelName,
    /// How many notices wait.
    pub waiting: u64,
    /// Since when the oldest of them waits.
    pub oldest: Option<Timestamp>,
    /// How many were set aside.
    pub set_aside: u64,
    /// Why the last attempt at one of them failed.
    pub last_error: Option<String>,
}

impl Backlog {
    /// A channel that is not behind.
    pub fn nothing(channel: ChannelName) -> Self {
        Self { channel, waiting: 0, oldest: None, set_aside: 0, last_error: None }
    }
}

/// A client's key for one POST: the same key with the same body gives the same result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose key it is.
    pub principal: PrincipalId,
    /// The key.
    pub key: String,
    /// SHA-256 of operation and body, in hex.
    pub fingerprint: String,
    /// The id of what was made or changed.
    pub subject: String,
    /// When.
    pub at: Timestamp,
}

/// A one-time token for enrolling an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolmentToken {
    /// Its public name.
    pub id: TokenId,
    /// SHA-256 of the secret, in hex; the secret itself is not kept.
    pub secret_hash: String,
    /// The agent it is for.
    pub agent: AgentName,
    /// The integrations that the agent may serve; none: all that the settings give it.
    pub integrations: Option<Vec<IntegrationName>>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was spent.
    pub spent_at: Option<Timestamp>,
}

/// What the broker knows of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// Its id: the common name of its certificate.
    pub id: AgentId,
    /// Its name.
    pub name: AgentName,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
    /// When its newest certificate ends.
    pub certificate_expires_at: Timestamp,
    /// When its stream last began or ended.
    pub last_seen: Option<Timestamp>,
    /// Its program's version.
    pub version: Option<String>,
    /// The integrations it serves.
    pub integrations: Vec<IntegrationName>,
    /// The integrations that it may serve, out of its token; none: all that the settings give it.
    #[serde(default)]
    pub allowed_integrations: Option<Vec<IntegrationName>>,
    /// Whether it may not speak any more: another agent has taken its name, or it was revoked.
    pub retired: bool,
    /// Who shut it out, where somebody did.
    #[serde(default)]
    pub revoked: Option<AgentRevocation>,
}

/// An administrator's word that an agent may not speak any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRevocation {
    /// Who.
    pub by: PrincipalId,
    /// In their words.
    pub comment: String,
    /// When.
    pub at: Timestamp,
}
