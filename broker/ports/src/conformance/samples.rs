//! Values for the suite: small, whole, and the same each time.

use std::{collections::BTreeMap, error::Error};

use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent},
    duration::AccessDuration,
    flow::{AccessFlow, ApprovalPolicy, DurationRule},
    grant::{Grant, GrantState, Plan},
    ids::{AgentId, GrantId, NoticeId, RequestId, TokenId},
    inventory::{Resource, ResourceKind},
    names::{ChannelName, IntegrationName},
    notice::Notice,
    request::AccessRequest,
};
use jiff::SignedDuration;

use crate::{
    Store, StoreError,
    store::{AgentRecord, Change, EnrolmentToken, IdempotencyKey, OutboxItem, Write},
};

pub(super) type Made<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// So many seconds after the suite's beginning, which has a fraction that milliseconds would lose.
pub(super) fn at(seconds: i64) -> Timestamp {
    let beginning = SignedDuration::new(1_700_000_000, 123_456_789);
    Timestamp::UNIX_EPOCH + beginning + SignedDuration::from_secs(seconds)
}

/// Ids grow with `n`.
fn entropy(n: u8) -> [u8; 10] {
    [n; 10]
}

pub(super) fn request_id(n: u8) -> RequestId {
    RequestId::new(at(i64::from(n)), entropy(n))
}

pub(super) fn grant_id(n: u8) -> GrantId {
    GrantId::new(at(i64::from(n)), entropy(n))
}

pub(super) fn agent_id(n: u8) -> AgentId {
    AgentId::new(at(i64::from(n)), entropy(n))
}

pub(super) fn token_id(n: u8) -> TokenId {
    TokenId::new(at(i64::from(n)), entropy(n))
}

pub(super) fn notice_id(n: u8) -> NoticeId {
    NoticeId::new(at(i64::from(n)), entropy(n))
}

fn hour() -> Made<AccessDuration> {
    Ok("1h".parse()?)
}

/// A pending request that nobody has to decide by any time.
pub(super) fn request(n: u8, requester: &str) -> Made<AccessRequest> {
    let flow = AccessFlow::new(
        "shop".parse()?,
        vec!["group:data".parse()?],
        Vec::new(),
        ApprovalPolicy::Automatic,
        DurationRule::new(hour()?, hour()?),
    );
    let reason = "quotes \" and ends\u{0} and \u{1f512}".to_owned();
    let requester = requester.parse()?;
    let request = AccessRequest::new(request_id(n), requester, flow, hour()?, at(i64::from(n)));
    Ok(AccessRequest { reason: Some(reason), ..request })
}

/// A planned grant of the request with the number `of`; planned, and so due, at `at(n)`.
pub(super) fn grant(n: u8, of: u8, principal: &str, integration: &str) -> Made<Grant> {
    let resource = Resource {
        id: format!("{integration}/postgres/shop").parse()?,
        integration: integration.parse()?,
        kind: ResourceKind::Postgres,
        native: "shop".to_owned(),
        tags: BTreeMap::new(),
    };
    let plan = Plan {
        id: grant_id(n),
        request: request_id(of),
        principal: &principal.parse()?,
        resource: &resource,
        permission: &"select".parse()?,
        rights: &[],
        flow: &"shop".parse()?,
        ticket: None,
        duration: hour()?,
        warn: None,
        recorded: false,
    };
    Ok(Grant::plan(plan, at(i64::from(n))))
}

/// The grant, active and due at `deadline`.
pub(super) fn active(grant: Grant, deadline: Timestamp) -> Grant {
    Grant {
        deadline: Some(deadline),
        active_since: Some(grant.planned_at),
        seq: 1,
        state: GrantState::Active,
        ..grant
    }
}

pub(super) fn event(seconds: i64) -> AuditEvent {
    AuditEvent::new(Action::BrokerReloaded, Actor::Broker, at(seconds)).detail("flows", "ü\u{0}")
}

/// A channel's name.
pub(super) fn channel(name: &str) -> Made<ChannelName> {
    Ok(name.parse()?)
}

/// The notice with the number `n` about the request with the number `of`, put in at `at(n)`.
pub(super) fn notice(n: u8, of: u8) -> Made<OutboxItem> {
    Ok(OutboxItem {
        id: notice_id(n),
        channel: channel("log")?,
        notice: Notice {
            event: "request.created".to_owned(),
            request: request_id(of),
            grant: None,
            to: ["ana@example.com".parse()?].into(),
            channels: [].into(),
            text: format!("notice {n}"),
            facts: Vec::new(),
        },
        at: at(i64::from(n)),
        failures: 0,
    })
}

pub(super) fn key(principal: &str, key: &str, subject: &str) -> Made<IdempotencyKey> {
    Ok(IdempotencyKey {
        principal: principal.parse()?,
        key: key.to_owned(),
        fingerprint: "f".repeat(64),
        subject: subject.to_owned(),
        at: at(0),
    })
}

/// The first is for any integration, the others for one.
pub(super) fn token(n: u8) -> Made<EnrolmentToken> {
    let one: IntegrationName = "prod-db".parse()?;
    Ok(EnrolmentToken {
        id: token_id(n),
        secret_hash: format!("{n:064}"),
        agent: "site-a".parse()?,
        integrations: (n > 1).then(|| vec![one]),
        expires_at: at(900),
        spent_at: None,
    })
}

pub(super) fn agent(n: u8, name: &str) -> Made<AgentRecord> {
    Ok(AgentRecord {
        id: agent_id(n),
        name: name.parse()?,
        enrolled_at: at(i64::from(n)),
        certificate_expires_at: at(86_400),
        last_seen: None,
        version: None,
        integrations: vec!["prod-db".parse()?],
        allowed_integrations: Some(vec!["prod-db".parse()?]),
        retired: false,
        revoked: None,
    })
}

/// Inserts requests and grants.
pub(super) async fn put(
    store: &dyn Store,
    requests: impl IntoIterator<Item = AccessRequest>,
    grants: impl IntoIterator<Item = Grant>,
) -> Result<(), StoreError> {
    let change = Change {
        requests: requests.into_iter().map(Write::Insert).collect(),
        grants: grants.into_iter().map(Write::Insert).collect(),
        ..Change::default()
    };
    store.commit(change).await
}
