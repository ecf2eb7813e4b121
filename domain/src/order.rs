//! Orders: what the broker tells the place that runs a connector to do for a grant.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{GrantId, RequestId},
    inventory::ResourceKind,
    names::{FlowName, IntegrationName, PermissionName, PrincipalId, ResourceId},
    right::Right,
};

/// Everything a connector needs to know of a grant. It is written into the agent's journal, so that
/// the agent can tear down alone; it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantSpec {
    /// The grant. What is made on a target is named after it (I4).
    pub grant: GrantId,
    /// The request it came from.
    pub request: RequestId,
    /// Who gets it.
    pub principal: PrincipalId,
    /// Where.
    pub integration: IntegrationName,
    /// On what.
    pub resource: ResourceId,
    /// What that is.
    pub kind: ResourceKind,
    /// What the target calls it.
    pub native: String,
    /// Which level of access.
    pub permission: PermissionName,
    /// What that consists of where an operator has defined it; empty for one that its connector
    /// knows by name.
    #[serde(default)]
    pub rights: Vec<Right>,
    /// Through which flow.
    pub flow: FlowName,
    /// The ticket, for the target's own logs.
    pub ticket: Option<String>,
    /// When it ends: absolute, never 'remaining'.
    pub deadline: Timestamp,
    /// Until when credentials that the target handed out stay valid by themselves.
    pub credentials_until: Option<Timestamp>,
    /// Whether it is an emergency's: the target is to record what is done under it, as far as it can.
    #[serde(default)]
    pub recorded: bool,
}

/// One order. Its number grows with each order for the same grant; a late one does nothing (I5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number among the orders for this grant.
    pub seq: u64,
    /// What to do.
    pub action: OrderAction,
    /// For what.
    pub spec: GrantSpec,
}

/// What to do for a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderAction {
    /// Make the permission exist on the target until the deadline.
    Provision,
    /// End its sessions, remove it, verify that it is gone.
    Revoke,
}

/// What is to be known of a permission that a target has now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioned {
    /// Of a grant that is to be recorded: whether and where the target does so, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
}

/// What a connector found when it looked at the target after a teardown (I6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// When it looked.
    pub checked_at: Timestamp,
    /// When access was closed: log-in refused and no live session left.
    pub closed_at: Timestamp,
    /// How many live sessions were ended.
    pub sessions_ended: u32,
    /// What it saw, in one sentence.
    pub summary: String,
}

/// Why the place that runs a connector tore a grant down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndCause {
    /// The broker ordered it.
    Ordered,
    /// The deadline passed.
    Deadline,
    /// The broker did not list it among its standing orders.
    NotStanding,
    /// The broker could not be reached for longer than the integration's partition policy allows.
    CutOff,
    /// It was found missing on the target: somebody removed it there.
    Missing,
}
