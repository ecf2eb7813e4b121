//! The audit log: events, and the hash chain that makes a change to them visible.
//!
//! Each record's hash covers its number, its predecessor's hash and its body, so a changed, removed
//! or inserted record breaks the chain at that place. Whoever can rewrite the whole log can
//! rewrite the chain too; therefore the head's hash is exported and logged, for safe keeping
//! elsewhere.

use std::{collections::BTreeMap, fmt, str::FromStr};

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ids::{GrantId, RequestId},
    names::{AgentName, PrincipalId},
};

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

/// A link of the chain: SHA-256, written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash([u8; 32]);

impl Hash {
    /// What stands before the first record.
    pub const GENESIS: Self = Self([0; 32]);

    /// The hash of record `seq` whose predecessor's hash is `self` and whose body is `body`,
    /// byte for byte as stored.
    pub fn then(&self, seq: u64, body: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"ebbgate-audit-1\0");
        context.update(&self.0);
        context.update(&seq.to_be_bytes());
        context.update(body.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self(hash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hex digits")]
pub struct InvalidHash;

impl FromStr for Hash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| InvalidHash)?;
        Ok(Self(hash))
    }
}

impl TryFrom<String> for Hash {
    type Error = InvalidHash;

    fn try_from(text: String) -> Result<Self, InvalidHash> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> String {
        hash.to_string()
    }
}

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// Its predecessor's hash.
    pub prev_hash: String,
    /// Its own hash.
    pub hash: String,
    /// The event as JSON, byte for byte as it was hashed.
    pub body: String,
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("audit record {seq} is broken: {reason}")]
pub struct BrokenChain {
    /// The first record that is not as it was written.
    pub seq: u64,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Walks a chain record by record.
#[derive(Debug, Clone)]
pub struct ChainWalk {
    next: u64,
    head: Hash,
}

impl Default for ChainWalk {
    fn default() -> Self {
        Self { next: 1, head: Hash::GENESIS }
    }
}

impl ChainWalk {
    /// A walk that goes on after so many records, of which the last one's hash is `head`.
    pub fn after(records: u64, head: Hash) -> Self {
        Self { next: records.saturating_add(1), head }
    }

    /// Checks the next record.
    ///
    /// # Errors
    /// Names the record where the chain breaks, and how.
    pub fn step(&mut self, record: &AuditRecord) -> Result<(), BrokenChain> {
        let broken = |seq, reason| Err(BrokenChain { seq, reason });
        if record.seq != self.next {
            return broken(self.next, "it is missing");
        }
        if record.prev_hash != self.head.to_string() {
            return broken(record.seq, "it does not follow its predecessor");
        }
        let hash = self.head.then(record.seq, &record.body);
        if record.hash != hash.to_string() {
            return broken(record.seq, "its content does not match its hash");
        }
        self.next += 1;
        self.head = hash;
        Ok(())
    }

    /// Checks the end against what the store remembers of it: how many records, and the last hash.
    ///
    /// # Errors
    /// Names the first missing record where the tail was cut off.
    pub fn finish(&self, records: u64, head: &str) -> Result<(), BrokenChain> {
        if self.records() != records {
            return Err(BrokenChain { seq: self.next, reason: "it is missing" });
        }
        if self.head.to_string() != head {
            return Err(BrokenChain {
                seq: records,
                reason: "it is not the head that was recorded",
            });
        }
        Ok(())
    }

    /// How many records were good so far.
    pub fn records(&self) -> u64 {
        self.next - 1
    }

    /// The last good record's hash.
    pub fn head(&self) -> Hash {
        self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(bodies: &[&str]) -> Vec<AuditRecord> {
        let mut head = Hash::GENESIS;
        bodies
            .iter()
            .zip(1..)
            .map(|(body, seq)| {
                let prev_hash = head.to_string();
                head = head.then(seq, body);
                AuditRecord { seq, prev_hash, hash: head.to_string(), body: (*body).to_owned() }
            })
            .collect()
    }

    fn walk(records: &[AuditRecord]) -> Result<ChainWalk, BrokenChain> {
        let mut walk = ChainWalk::default();
        records.iter().try_for_each(|record| walk.step(record))?;
        Ok(walk)
    }

    #[test]
    fn a_whole_chain_is_whole() {
        let records = chain(&["a", "b", "c"]);
        let walk = walk(&records).unwrap();
        walk.finish(3, &records[2].hash).unwrap();
    }

    #[test]
    fn a_walk_goes_on_where_another_one_stopped() {
        let records = chain(&["a", "b", "c"]);
        let half = walk(&records[..2]).unwrap();
        let mut rest = ChainWalk::after(half.records(), half.head());
        rest.step(&records[2]).unwrap();
        rest.finish(3, &records[2].hash).unwrap();
    }

    #[test]
    fn names_the_first_broken_record() {
        let mut changed = chain(&["a", "b", "c"]);
        changed[1].body = "B".to_owned();
        assert_eq!(walk(&changed).unwrap_err().seq, 2);

        let mut removed = chain(&["a", "b", "c"]);
        removed.remove(1);
        assert_eq!(walk(&removed).unwrap_err().seq, 2);

        let mut rehashed = chain(&["a", "b", "c"]);
        rehashed[1].body = "B".to_owned();
        rehashed[1].hash = rehashed[0].hash.parse::<Hash>().unwrap().then(2, "B").to_string();
        assert_eq!(walk(&rehashed).unwrap_err().seq, 3);

        let cut = chain(&["a", "b", "c"]);
        let broken = walk(&cut[..2]).unwrap().finish(3, &cut[2].hash).unwrap_err();
        assert_eq!(broken.seq, 3);
    }

    #[test]
    fn actions_have_stable_names() {
        assert_eq!(Action::GrantRevoked.to_string(), "grant.revoked");
        assert_eq!(serde_json::to_string(&Action::RequestCreated).unwrap(), "\"request.created\"");
    }
}
