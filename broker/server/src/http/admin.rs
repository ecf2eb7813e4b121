//! Agents and the audit log.

use axum::{Json, extract::State, http::StatusCode};
use ebbgate_broker_app::AppError;
use ebbgate_domain::{audit::AuditEvent, duration::AccessDuration, names::AgentName};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    dto::{Page, time},
    extract::{Body, Params, Person, page_size},
    problem::Problem,
    requests::parse,
};
use crate::system::random_hex;

/// For which agent a token is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    agent: String,
    /// For example 15m, the default; at most 24h.
    valid_for: Option<String>,
}

/// An enrolment token, shown once.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenBody {
    token_id: String,
    token: String,
    agent: String,
    expires_at: String,
}

/// An agent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentBody {
    id: String,
    name: String,
    connected: bool,
    last_seen: Option<String>,
    enrolled_at: String,
    certificate_expires_at: String,
    version: Option<String>,
    integrations: Vec<String>,
    /// Whether another agent has taken its name.
    retired: bool,
}

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

/// Makes an enrolment token.
#[utoipa::path(post, path = "/api/v1/agents/tokens", request_body = NewToken, responses((status = 201, body = TokenBody), (status = "4XX", body = Problem)))]
pub(crate) async fn new_token(
    State(api): State<Api>,
    Person(caller): Person,
    body: Body<NewToken>,
) -> Result<(StatusCode, Json<TokenBody>), Problem> {
    let mut mistakes = Vec::new();
    let agent: Option<AgentName> =
        parse(Some(body.value.agent), || "agent".to_owned(), &mut mistakes);
    let valid_for: Option<AccessDuration> =
        parse(body.value.valid_for, || "valid_for".to_owned(), &mut mistakes);
    let Some(agent) = agent.filter(|_| mistakes.is_empty()) else {
        return Err(Problem::invalid(mistakes));
    };
    let random = random_hex().map_err(|error| {
        tracing::error!(error = ebbgate_broker_ports::chain(&error), "cannot make a token");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the broker has no randomness")
    })?;
    // The part after the dot tells the agent which authority to trust: it needs no other proof.
    let secret = SecretString::from(format!("ebt_{random}.{}", api.authority.pin()));
    let token =
        api.broker.new_agent_token(&caller, &agent, valid_for, &secret, body.key.as_ref()).await?;
    let body = TokenBody {
        token_id: token.id.to_string(),
        token: secret.expose_secret().to_owned(),
        agent: agent.to_string(),
        expires_at: time(token.expires_at),
    };
    Ok((StatusCode::CREATED, Json(body)))
}

/// All agents.
#[utoipa::path(get, path = "/api/v1/agents", responses((status = 200, body = Page<AgentBody>)))]
pub(crate) async fn agents(
    State(api): State<Api>,
    Person(caller): Person,
) -> Result<Json<Page<AgentBody>>, Problem> {
    let items = api
        .broker
        .agents(&caller)
        .await?
        .into_iter()
        .map(|agent| AgentBody {
            id: agent.id.to_string(),
            connected: !agent.retired && api.hub.is_connected(&agent.name),
            name: agent.name.to_string(),
            last_seen: agent.last_seen.map(time),
            enrolled_at: time(agent.enrolled_at),
            certificate_expires_at: time(agent.certificate_expires_at),
            version: agent.version,
            integrations: agent.integrations.iter().map(ToString::to_string).collect(),
            retired: agent.retired,
        })
        .collect();
    Ok(Json(Page { items, next_cursor: None }))
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
    let items = records
        .into_iter()
        .map(|record| RecordBody {
            event: serde_json::from_str(&record.body).ok().map(event),
            seq: record.seq,
            hash: record.hash,
            prev_hash: record.prev_hash,
        })
        .collect();
    Ok(Json(Page::new(items, limit, |record: &RecordBody| record.seq.to_string())))
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
