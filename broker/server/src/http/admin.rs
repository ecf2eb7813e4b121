//! The audit log.

use axum::{Json, extract::State};
use ebbgate_broker_app::AppError;
use ebbgate_domain::audit::{AuditEvent, AuditRecord};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    dto::{Page, time},
    extract::{Params, Person, page_size},
    problem::Problem,
};

/// Which records.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditFilter {
    /// Only records after this number.
    after: Option<u64>,
    /// The same, under the name that all lists use.
    cursor: Option<u64>,
    limit: Option<u32>,
}

/// An audit record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordBody {
    seq: u64,
    hash: String,
    prev_hash: String,
    /// None where the record's content is broken.
    #[serde(flatten)]
    event: Option<EventBody>,
}

/// What happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventBody {
    at: String,
    action: String,
    actor: String,
    request_id: Option<String>,
    grant_id: Option<String>,
    #[schema(value_type = Object)]
    details: serde_json::Value,
}

/// How the chain was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditStateBody {
    intact: bool,
    records: u64,
    head_hash: String,
    broken: Option<BrokenBody>,
}

/// The first broken record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BrokenBody {
    seq: u64,
    reason: &'static str,
}

/// The audit log, oldest first.
#[utoipa::path(get, path = "/api/v1/audit", params(AuditFilter), responses((status = 200, body = Page<RecordBody>)))]
pub(crate) async fn audit(
    State(api): State<Api>,
    Person(caller): Person,
    Params(filter): Params<AuditFilter>,
) -> Result<Json<Page<RecordBody>>, Problem> {
    let limit = page_size(filter.limit)?;
    let after = filter.after.or(filter.cursor).unwrap_or(0);
    let records = api.broker.audit(&caller, after, limit).await?;
    let items = records.into_iter().map(RecordBody::new).collect();
    Ok(Json(Page::new(items, limit, |record: &RecordBody| record.seq.to_string())))
}

impl RecordBody {
    pub(crate) fn new(record: AuditRecord) -> Self {
        Self {
            event: serde_json::from_str(&record.body).ok().map(event),
            seq: record.seq,
            hash: record.hash,
            prev_hash: record.prev_hash,
        }
    }
}

fn event(event: AuditEvent) -> EventBody {
    EventBody {
        at: time(event.at),
        action: event.action.to_string(),
        actor: event.actor.to_string(),
        request_id: event.request.map(|id| id.to_string()),
        grant_id: event.grant.map(|id| id.to_string()),
        details: serde_json::Value::Object(event.details.into_iter().collect()),
    }
}

/// Walks the audit log's hash chain.
#[utoipa::path(get, path = "/api/v1/audit/verify", responses((status = 200, body = AuditStateBody)))]
pub(crate) async fn verify(
    State(api): State<Api>,
    Person(caller): Person,
) -> Result<Json<AuditStateBody>, Problem> {
    let state =
        api.broker.check_audit(&caller).await.map_err(|error: AppError| Problem::from(error))?;
    Ok(Json(AuditStateBody {
        intact: state.broken.is_none(),
        records: state.head.records,
        head_hash: state.head.hash,
        broken: state.broken.map(|broken| BrokenBody { seq: broken.seq, reason: broken.reason }),
    }))
}
