//! Bodies as they travel. Nothing of the domain is serialised to clients by itself: what they see
//! is decided here.

use std::collections::BTreeMap;

use ebbgate_broker_app::RequestView;
use ebbgate_broker_ports::{Address, Snapshot};
use ebbgate_domain::{
    Timestamp,
    approval::Verdict,
    grant::{Attempts, Grant, GrantState},
    inventory::ResourceKind,
    request::{AccessRequest, RequestState},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    approval::{ClaimBody, GroupBody, ToldBody},
    life::{ExtensionBody, UseReviewBody},
};

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    pub items: Vec<T>,
    /// Give it as `cursor` for the next page; null on the last one.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `limit` items; a full one may have a successor.
    pub(crate) fn new(items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let full = items.len() >= limit as usize;
        let next_cursor = items.last().filter(|_| full).map(cursor);
        Self { items, next_cursor }
    }
}

/// An access request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestBody {
    pub id: String,
    pub requester: String,
    pub flow: String,
    pub flow_version: String,
    /// pending, approved, active, denied, cancelled, lapsed or ended.
    pub state: &'static str,
    /// expired, released, revoked or failed, once it has ended.
    pub end_reason: Option<String>,
    pub items: Vec<ItemBody>,
    /// For example 30m.
    pub duration: String,
    pub reason: Option<String>,
    pub ticket: Option<String>,
    pub created_at: String,
    pub lapses_at: Option<String>,
    /// When access is to begin, where its requester asked for a later start.
    pub starts_at: Option<String>,
    /// Until when its requester may let access begin.
    pub activate_by: Option<String>,
    /// When access began.
    pub activated_at: Option<String>,
    /// Whether it is approved and access has yet to begin.
    pub awaits_activation: bool,
    /// More time that was asked for.
    pub extensions: Vec<ExtensionBody>,
    /// What is owed for an emergency; none where it was none.
    pub break_glass: Option<UseReviewBody>,
    pub reviews: Vec<ReviewBody>,
    /// The approver groups, and whom each still waits for.
    pub waiting_for: Vec<GroupBody>,
    /// Who was told that it waits for them.
    pub told: Vec<ToldBody>,
    /// Who said that they are looking.
    pub claims: Vec<ClaimBody>,
    pub grants: Vec<GrantBody>,
}

/// One resource of a request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ItemBody {
    pub grant_id: String,
    pub resource: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub permission: String,
    /// What an operator's own permission consists of.
    pub rights: Vec<String>,
    /// The resource's tags when it was asked for.
    pub tags: BTreeMap<String, String>,
}

/// What one person said.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReviewBody {
    pub by: String,
    /// approve or deny.
    pub verdict: &'static str,
    pub comment: Option<String>,
    pub at: String,
    /// In whose place they could speak, besides their own.
    pub may_speak_for: Vec<String>,
}

/// A grant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantBody {
    pub id: String,
    pub request_id: String,
    pub principal: String,
    pub resource: String,
    pub integration: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub permission: String,
    pub flow: String,
    /// planned, provisioning, active, revoking, revoked or failed.
    pub state: &'static str,
    pub deadline: Option<String>,
    /// Where more time was granted that its place has not confirmed yet: the deadline that it knows
    /// for certain.
    pub confirmed_deadline: Option<String>,
    /// Failed attempts of what is being done now.
    pub attempts: u32,
    /// Whether its teardown has failed so often that somebody should look.
    pub stuck: bool,
    pub last_error: Option<String>,
    pub next_attempt_at: Option<String>,
    pub end_reason: Option<String>,
    pub finding: Option<FindingBody>,
    /// Of an emergency's, once it is active: whether and where the target records what is done.
    pub recording: Option<String>,
    pub planned_at: String,
    pub active_since: Option<String>,
    pub ended_at: Option<String>,
    pub connect: Option<ConnectBody>,
}

/// What was seen on the target after the teardown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FindingBody {
    pub checked_at: String,
    /// When access was closed: no log-in and no live session any more.
    pub closed_at: String,
    pub sessions_ended: u32,
    pub summary: String,
}

/// How the person's own tool gets there.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum ConnectBody {
    Postgres { host: String, port: u16, database: String },
    Mysql { host: String, port: u16, database: String },
    Aws { region: String, endpoint: Option<String>, account: String },
}

/// A moment as it travels: RFC 3339, UTC.
pub(crate) fn time(at: Timestamp) -> String {
    at.to_string()
}

impl RequestBody {
    pub(crate) fn new(view: RequestView, snapshot: &Snapshot) -> Self {
        let grants = view.grants.iter().map(|grant| GrantBody::new(grant, snapshot)).collect();
        let groups = view.tallies.iter().flat_map(|tally| &tally.groups);
        let groups = groups.map(GroupBody::new).collect();
        Self::of(view.request, groups, grants, view.now)
    }

    fn of(
        request: AccessRequest,
        waiting_for: Vec<GroupBody>,
        grants: Vec<GrantBody>,
        now: Timestamp,
    ) -> Self {
        let end_reason = match &request.state {
            RequestState::Ended { reason, .. } => word(reason),
            _ => None,
        };
        let claims = request.claims.iter();
        let claims = claims.map(|claim| ClaimBody::new(claim, &request.reviews, now)).collect();
        let awaits_activation = request.awaits_activation();
        Self {
            id: request.id.to_string(),
            claims,
            told: request.told.iter().flatten().map(ToldBody::new).collect(),
            requester: request.requester.to_string(),
            flow: request.flow.name.to_string(),
            state: request.state_name(),
            flow_version: request.flow_version.clone(),
            end_reason,
            items: request
                .items
                .iter()
                .map(|item| ItemBody {
                    grant_id: item.grant.to_string(),
                    resource: item.resource.id.to_string(),
                    kind: item.resource.kind.as_str(),
                    permission: item.permission.to_string(),
                    rights: item.rights.iter().map(ToString::to_string).collect(),
                    tags: item.resource.tags.clone(),
                })
                .collect(),
            duration: request.duration.to_string(),
            reason: request.reason.clone(),
            ticket: request.ticket.clone(),
            created_at: time(request.created_at),
            lapses_at: request.lapses_at.map(time),
            starts_at: request.starts_at.map(time),
            activate_by: request.activate_by.map(time),
            activated_at: request.activated_at.map(time),
            awaits_activation,
            extensions: request.extensions.iter().map(ExtensionBody::new).collect(),
            break_glass: request.use_review.as_ref().map(UseReviewBody::new),
            reviews: request
                .reviews
                .iter()
                .map(|review| ReviewBody {
                    may_speak_for: review
                        .seats()
                        .iter()
                        .filter(|seat| **seat != review.by)
                        .map(ToString::to_string)
                        .collect(),
                    by: review.by.to_string(),
                    verdict: match review.verdict {
                        Verdict::Approve => "approve",
                        Verdict::Deny => "deny",
                    },
                    comment: review.comment.clone(),
                    at: time(review.at),
                })
                .collect(),
            waiting_for,
            grants,
        }
    }
}

/// An enum's name in its serialised spelling.
fn word(value: &impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(ToOwned::to_owned)
}

impl GrantBody {
    pub(crate) fn new(grant: &Grant, snapshot: &Snapshot) -> Self {
        let attempts: Option<&Attempts> = match &grant.state {
            GrantState::Provisioning(attempts) | GrantState::Revoking { attempts, .. } => {
                Some(attempts)
            }
            _ => None,
        };
        let (end_reason, ended_at, finding, error) = match &grant.state {
            GrantState::Revoking { reason, .. } => (Some(reason.as_str()), None, None, None),
            GrantState::Revoked { reason, at, finding } => {
                (Some(reason.as_str()), Some(*at), finding.as_ref(), None)
            }
            GrantState::Failed { error, at } => {
                (Some("failed"), Some(*at), None, Some(error.clone()))
            }
            _ => (None, None, None, None),
        };
        Self {
            id: grant.id.to_string(),
            request_id: grant.request.to_string(),
            principal: grant.principal.to_string(),
            resource: grant.resource.to_string(),
            integration: grant.integration.to_string(),
            kind: grant.kind.as_str(),
            permission: grant.permission.to_string(),
            flow: grant.flow.to_string(),
            state: grant.state_name(),
            deadline: grant.deadline.map(time),
            confirmed_deadline: grant.extending.as_ref().map(|extending| time(extending.from)),
            attempts: attempts.map_or(0, |attempts| attempts.failed),
            stuck: grant.is_stuck(),
            last_error: attempts.and_then(|attempts| attempts.last_error.clone()).or(error),
            next_attempt_at: attempts.map(|attempts| time(attempts.next_at)),
            end_reason: end_reason.map(ToOwned::to_owned),
            finding: finding.map(|finding| FindingBody {
                checked_at: time(finding.checked_at),
                closed_at: time(finding.closed_at),
                sessions_ended: finding.sessions_ended,
                summary: finding.summary.clone(),
            }),
            recording: grant.recording.clone(),
            planned_at: time(grant.planned_at),
            active_since: grant.active_since.map(time),
            ended_at: ended_at.map(time),
            connect: connect(grant, snapshot),
        }
    }
}

fn connect(grant: &Grant, snapshot: &Snapshot) -> Option<ConnectBody> {
    match (grant.kind, snapshot.addresses.get(&grant.integration)?) {
        (ResourceKind::Postgres, Address::Postgres { host, port }) => Some(ConnectBody::Postgres {
            host: host.clone(),
            port: *port,
            database: grant.native.clone(),
        }),
        (ResourceKind::Mysql, Address::Mysql { host, port }) => Some(ConnectBody::Mysql {
            host: host.clone(),
            port: *port,
            database: grant.native.clone(),
        }),
        (ResourceKind::S3, Address::Aws { region, account, endpoint }) => Some(ConnectBody::Aws {
            region: region.clone(),
            endpoint: endpoint.clone(),
            account: account.clone(),
        }),
        _ => None,
    }
}
