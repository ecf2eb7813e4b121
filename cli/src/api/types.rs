//! What the API sends and takes. Words that a newer broker may add are kept as they came.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::approval::{Claim, Told, WaitingFor};

use super::life::{Extension, UseReview};

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next_cursor: Option<String>,
}

/// Who the token belongs to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WhoAmI {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
}

/// Something to ask for, with the ways to do so.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Resource {
    pub(crate) id: String,
    pub(crate) integration: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) tags: serde_json::Map<String, Value>,
    pub(crate) offers: Vec<Offer>,
}

/// One permission on a resource through one flow.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Offer {
    pub(crate) permission: String,
    pub(crate) flow: String,
    /// `automatic`, or who must approve, in words.
    pub(crate) approval: String,
    pub(crate) default_duration: String,
    pub(crate) max_duration: String,
    #[serde(default)]
    pub(crate) justification_required: bool,
    #[serde(default)]
    pub(crate) ticket_pattern: Option<String>,
    /// Whether it is for emergencies.
    #[serde(default)]
    pub(crate) break_glass: bool,
}

/// A wish, as it is sent.
#[derive(Debug, Serialize)]
pub(crate) struct NewRequest {
    pub(crate) resources: Vec<Wanted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flow: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ticket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) starts_at: Option<Timestamp>,
}

/// One resource of a wish.
#[derive(Debug, Serialize)]
pub(crate) struct Wanted {
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) permission: Option<String>,
}

/// How far a request is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RequestState {
    Pending,
    Approved,
    Active,
    Denied,
    Cancelled,
    Lapsed,
    Ended,
    #[serde(untagged)]
    Other(String),
}

/// How far a grant is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GrantState {
    Planned,
    Provisioning,
    Active,
    Revoking,
    Revoked,
    Failed,
    #[serde(untagged)]
    Other(String),
}

/// Why access ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EndReason {
    Expired,
    Released,
    Revoked,
    Failed,
    #[serde(untagged)]
    Other(String),
}

macro_rules! shown_as_sent {
    ($($name:ident),*) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.serialize(f)
            }
        }
    )*};
}

shown_as_sent!(RequestState, GrantState, EndReason);

/// An access request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) requester: String,
    pub(crate) flow: String,
    #[serde(default)]
    pub(crate) flow_version: Value,
    pub(crate) state: RequestState,
    #[serde(default)]
    pub(crate) end_reason: Option<EndReason>,
    pub(crate) items: Vec<Item>,
    pub(crate) duration: String,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) ticket: Option<String>,
    pub(crate) created_at: Timestamp,
    #[serde(default)]
    pub(crate) lapses_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) starts_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) activate_by: Option<Timestamp>,
    #[serde(default)]
    pub(crate) activated_at: Option<Timestamp>,
    /// Whether it is approved and access has yet to begin.
    #[serde(default)]
    pub(crate) awaits_activation: bool,
    #[serde(default)]
    pub(crate) extensions: Vec<Extension>,
    #[serde(default)]
    pub(crate) break_glass: Option<UseReview>,
    #[serde(default)]
    pub(crate) reviews: Vec<Review>,
    #[serde(default)]
    pub(crate) waiting_for: Vec<WaitingFor>,
    #[serde(default)]
    pub(crate) told: Vec<Told>,
    #[serde(default)]
    pub(crate) claims: Vec<Claim>,
    #[serde(default)]
    pub(crate) grants: Vec<Grant>,
}

/// One resource of a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Item {
    #[serde(default)]
    pub(crate) grant_id: Option<String>,
    pub(crate) resource: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) permission: String,
    #[serde(default)]
    pub(crate) rights: Vec<String>,
    #[serde(default)]
    pub(crate) tags: serde_json::Map<String, Value>,
}

/// One person's verdict.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Review {
    pub(crate) by: String,
    /// `approve` or `deny`.
    pub(crate) verdict: String,
    #[serde(default)]
    pub(crate) comment: Option<String>,
    pub(crate) at: Timestamp,
}

/// One resource, one permission, one person, one deadline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) id: String,
    pub(crate) request_id: String,
    pub(crate) principal: String,
    pub(crate) resource: String,
    pub(crate) integration: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) permission: String,
    pub(crate) flow: String,
    pub(crate) state: GrantState,
    #[serde(default)]
    pub(crate) deadline: Option<Timestamp>,
    #[serde(default)]
    pub(crate) attempts: u32,
    #[serde(default)]
    pub(crate) stuck: bool,
    #[serde(default)]
    pub(crate) last_error: Option<String>,
    #[serde(default)]
    pub(crate) next_attempt_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) end_reason: Option<EndReason>,
    #[serde(default)]
    pub(crate) finding: Option<Finding>,
    /// Whether and where the target records what is done, of an emergency's.
    #[serde(default)]
    pub(crate) recording: Option<String>,
    #[serde(default)]
    pub(crate) planned_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) active_since: Option<Timestamp>,
    #[serde(default)]
    pub(crate) ended_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) connect: Option<Connect>,
}

/// What was found on the target after teardown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) checked_at: Timestamp,
    /// When access was closed: no log-in and no live session any more.
    #[serde(default)]
    pub(crate) closed_at: Option<Timestamp>,
    pub(crate) summary: String,
    #[serde(default)]
    pub(crate) sessions_ended: u64,
}

/// How to reach what a grant gives access to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Connect {
    Postgres {
        host: String,
        port: u16,
        database: String,
    },
    Mysql {
        host: String,
        port: u16,
        database: String,
    },
    Aws {
        region: String,
        #[serde(default)]
        endpoint: Option<String>,
        #[serde(default)]
        account: Option<String>,
    },
    #[serde(other)]
    Other,
}

/// What `POST /grants/{id}/credentials` hands out.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Credentials {
    Postgres(DatabaseLogin),
    Mysql(DatabaseLogin),
    Aws(AwsCredentials),
}

/// Where a password's verifier is in force, and for how long.
#[derive(Debug, Deserialize)]
pub(crate) struct DatabaseLogin {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) valid_until: Timestamp,
}

/// Keys of one AWS session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AwsCredentials {
    pub(crate) access_key_id: String,
    #[serde(serialize_with = "expose")]
    pub(crate) secret_access_key: SecretString,
    #[serde(serialize_with = "expose")]
    pub(crate) session_token: SecretString,
    pub(crate) expiration: Timestamp,
}

/// Writes a secret where it must be read again: into the owner's own cache.
fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

/// An agent as the broker sees it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Agent {
    pub(crate) id: String,
    pub(crate) name: String,
    /// connected, draining, away or revoked.
    pub(crate) state: String,
    /// How far its clock is ahead of the broker's, in milliseconds.
    #[serde(default)]
    pub(crate) clock_offset_ms: Option<i64>,
    /// ok, alarm or refused.
    #[serde(default)]
    pub(crate) clock: Option<String>,
    /// How many grants it holds.
    #[serde(default)]
    pub(crate) held: Option<u64>,
    #[serde(default)]
    pub(crate) last_seen: Option<Timestamp>,
    #[serde(default)]
    pub(crate) certificate_expires_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) version: Option<String>,
    #[serde(default)]
    pub(crate) integrations: Vec<String>,
}

/// How far a channel is behind.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) waiting: u64,
    #[serde(default)]
    pub(crate) oldest: Option<Timestamp>,
    pub(crate) set_aside: u64,
    #[serde(default)]
    pub(crate) last_error: Option<String>,
    pub(crate) configured: bool,
}

/// How many notices are tried again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Replayed {
    pub(crate) notices: u64,
}

/// What the last look at one integration's target found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Drift {
    pub(crate) integration: String,
    pub(crate) at: Timestamp,
    pub(crate) by: String,
    pub(crate) marked: u64,
    #[serde(default)]
    pub(crate) orphans: Vec<String>,
    #[serde(default)]
    pub(crate) missing: Vec<String>,
    #[serde(default)]
    pub(crate) error: Option<String>,
}

/// The live sessions, and the integrations that could not be asked.
#[derive(Debug, Deserialize)]
pub(crate) struct LiveSessions {
    pub(crate) items: Vec<Session>,
    #[serde(default)]
    pub(crate) unavailable: Vec<Unavailable>,
}

/// One live session under a grant.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) grant_id: String,
    pub(crate) principal: String,
    pub(crate) resource: String,
    pub(crate) integration: String,
    pub(crate) permission: String,
    pub(crate) started_at: Timestamp,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) state_since: Option<Timestamp>,
    #[serde(default)]
    pub(crate) client: Option<String>,
    #[serde(default)]
    pub(crate) application: Option<String>,
}

/// An integration that could not be asked for its sessions.
#[derive(Debug, Deserialize)]
pub(crate) struct Unavailable {
    pub(crate) integration: String,
    pub(crate) reason: String,
}

/// What became of ending a session.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionEnd {
    /// Whether it was there.
    pub(crate) found: bool,
}

/// A token with which one agent may enrol once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AgentToken {
    pub(crate) token_id: String,
    #[serde(serialize_with = "expose")]
    pub(crate) token: SecretString,
    pub(crate) agent: String,
    pub(crate) expires_at: Timestamp,
}

/// One link of the audit log's chain.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AuditRecord {
    pub(crate) seq: u64,
    pub(crate) hash: String,
    pub(crate) prev_hash: String,
    pub(crate) at: Timestamp,
    pub(crate) action: String,
    pub(crate) actor: Value,
    #[serde(default)]
    pub(crate) request_id: Option<String>,
    #[serde(default)]
    pub(crate) grant_id: Option<String>,
    #[serde(default)]
    pub(crate) details: Value,
}

/// Whether the audit log's chain holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Verification {
    pub(crate) intact: bool,
    pub(crate) records: u64,
    #[serde(default)]
    pub(crate) head_hash: Option<String>,
    #[serde(default)]
    pub(crate) broken: Option<BrokenLink>,
}

/// Where the chain breaks first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BrokenLink {
    pub(crate) seq: u64,
    pub(crate) reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_newer_broker_are_kept() {
        let state: GrantState = serde_json::from_str("\"suspended\"").unwrap();
        assert_eq!(state, GrantState::Other("suspended".into()));
        assert_eq!(state.to_string(), "suspended");
        assert_eq!(GrantState::Active.to_string(), "active");
        assert_eq!(serde_json::to_string(&state).unwrap(), "\"suspended\"");
        let connect: Connect = serde_json::from_str(r#"{"kind":"oracle","host":"x"}"#).unwrap();
        assert_eq!(connect, Connect::Other);
    }

    #[test]
    fn debug_shows_no_secret() {
        let credentials: Credentials = serde_json::from_str(
            r#"{"kind":"aws","access_key_id":"AKIA","secret_access_key":"hush","session_token":"hush",
                "expiration":"2026-03-04T14:03:10Z","region":"eu-west-1","endpoint":null}"#,
        )
        .unwrap();
        assert!(!format!("{credentials:?}").contains("hush"));
    }
}
