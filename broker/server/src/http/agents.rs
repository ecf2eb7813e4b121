//! Agents, and what they found on their targets that should not be so.

use axum::{Json, extract::State, http::StatusCode};
use ebbgate_broker_app::{DriftReport, TokenWish};
use ebbgate_broker_ports::store::AgentRecord;
use ebbgate_domain::{
    audit::Actor,
    duration::AccessDuration,
    ids::{AgentId, GrantId},
    names::{AgentName, IntegrationName},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api,
    dto::{Page, time},
    extract::{Body, Id, Person},
    grants::Why,
    problem::Problem,
    requests::parse,
};
use crate::system::random_hex;

/// For which agent a token is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    agent: String,
    /// The integrations that the agent may serve; all that the settings give it where none is named.
    integrations: Option<Vec<String>>,
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
    /// connected, draining, away, revoked, or retired: another agent has taken its name.
    state: &'static str,
    connected: bool,
    /// How far its clock is ahead of the broker's.
    clock_offset_ms: Option<i64>,
    /// ok; alarm from 5 s on; refused from 60 s on, where it gets no new grants.
    clock: Option<&'static str>,
    /// How many grants it has given and not torn down.
    held: Option<u32>,
    last_seen: Option<String>,
    enrolled_at: String,
    certificate_expires_at: String,
    version: Option<String>,
    integrations: Vec<String>,
    /// Those that it may serve; null: all that the settings give it.
    allowed_integrations: Option<Vec<String>>,
}

impl AgentBody {
    fn new(agent: AgentRecord, api: &Api) -> Self {
        let pulse = api.hub.pulse(&agent.name, agent.id).filter(|_| !agent.retired);
        let state = match (&pulse, &agent.revoked) {
            (_, Some(_)) => "revoked",
            _ if agent.retired => "retired",
            (Some(pulse), _) if pulse.draining => "draining",
            (Some(_), _) => "connected",
            (None, _) => "away",
        };
        let offset = pulse.map(|pulse| pulse.offset.as_millis());
        Self {
            id: agent.id.to_string(),
            name: agent.name.to_string(),
            state,
            connected: pulse.is_some(),
            clock_offset_ms: offset.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            clock: pulse.map(|pulse| pulse.clock().as_str()),
            held: pulse.map(|pulse| pulse.held),
            last_seen: agent.last_seen.map(time),
            enrolled_at: time(agent.enrolled_at),
            certificate_expires_at: time(agent.certificate_expires_at),
            version: agent.version,
            integrations: names(&agent.integrations),
            allowed_integrations: agent.allowed_integrations.as_deref().map(names),
        }
    }
}

fn names(integrations: &[IntegrationName]) -> Vec<String> {
    integrations.iter().map(ToString::to_string).collect()
}

/// What the last look at one integration's target found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DriftBody {
    integration: String,
    at: String,
    /// Who looked: an agent's name, or broker.
    by: String,
    /// How many grants' marks the target bears.
    marked: u32,
    /// Marks of grants that nobody knows.
    orphans: Vec<String>,
    /// Active grants without a mark.
    missing: Vec<String>,
    /// Why the target could not be looked at.
    error: Option<String>,
}

impl DriftBody {
    fn new(report: DriftReport) -> Self {
        let ids = |grants: &[GrantId]| grants.iter().map(ToString::to_string).collect();
        Self {
            integration: report.integration.to_string(),
            at: time(report.at),
            by: match &report.by {
                Actor::Agent(name) => name.to_string(),
                other => other.to_string(),
            },
            marked: report.marked,
            orphans: ids(&report.orphans),
            missing: ids(&report.missing),
            error: report.error,
        }
    }
}

/// Makes an enrolment token.
#[utoipa::path(post, path = "/api/v1/agents/tokens", request_body = NewToken, responses((status = 201, body = TokenBody), (status = "4XX", body = Problem)))]
pub(crate) async fn new_token(
    State(api): State<Api>,
    Person(caller): Person,
    body: Body<NewToken>,
) -> Result<(StatusCode, Json<TokenBody>), Problem> {
    let mut mistakes = Vec::new();
    let NewToken { agent, integrations, valid_for } = body.value;
    let agent: Option<AgentName> = parse(Some(agent), || "agent".to_owned(), &mut mistakes);
    let ttl: Option<AccessDuration> = parse(valid_for, || "valid_for".to_owned(), &mut mistakes);
    let integrations = integrations.map(|named| {
        let read = named.into_iter().enumerate().filter_map(|(index, name)| {
            parse(Some(name), || format!("integrations[{index}]"), &mut mistakes)
        });
        read.collect::<Vec<IntegrationName>>()
    });
    let Some(agent) = agent.filter(|_| mistakes.is_empty()) else {
        return Err(Problem::invalid(mistakes));
    };
    let random = random_hex().map_err(|error| {
        tracing::error!(error = ebbgate_broker_ports::chain(&error), "cannot make a token");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the broker has no randomness")
    })?;
    // The part after the dot tells the agent which authority to trust: it needs no other proof.
    let secret = SecretString::from(format!("ebt_{random}.{}", api.authority.pin()));
    let wish = TokenWish { agent: agent.clone(), integrations, ttl };
    let token = api.broker.new_agent_token(&caller, wish, &secret, body.key.as_ref()).await?;
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
pub(crate) async fn list(
    State(api): State<Api>,
    Person(caller): Person,
) -> Result<Json<Page<AgentBody>>, Problem> {
    let agents = api.broker.agents(&caller).await?;
    let items = agents.into_iter().map(|agent| AgentBody::new(agent, &api)).collect();
    Ok(Json(Page { items, next_cursor: None }))
}

/// Shuts an agent out at once; its grants go to other agents of its integrations.
#[utoipa::path(post, path = "/api/v1/agents/{id}/revoke", params(("id" = String, Path)), request_body = Why, responses((status = 200, body = AgentBody), (status = "4XX", body = Problem)))]
pub(crate) async fn revoke(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<AgentId>,
    body: Body<Why>,
) -> Result<Json<AgentBody>, Problem> {
    let agent =
        api.broker.revoke_agent(&caller, id, &body.value.comment, body.key.as_ref()).await?;
    Ok(Json(AgentBody::new(agent, &api)))
}

/// What the last look at each target found that should not be so.
#[utoipa::path(get, path = "/api/v1/drift", responses((status = 200, body = Page<DriftBody>)))]
pub(crate) async fn drift(
    State(api): State<Api>,
    Person(caller): Person,
) -> Result<Json<Page<DriftBody>>, Problem> {
    let looks = api.broker.drift(&caller).await?;
    let items = looks.into_iter().map(DriftBody::new).collect();
    Ok(Json(Page { items, next_cursor: None }))
}
