//! Live sessions: what runs now under which grant.

use axum::{Json, extract::State};
use ebbgate_broker_app::{EndSession, SessionView};
use ebbgate_domain::{Timestamp, ids::GrantId, names::IntegrationName};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    dto::time,
    extract::{Body, Params, Person},
    problem::Problem,
    requests::parse,
};

/// Which sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionFilter {
    /// Only those on this integration.
    integration: Option<String>,
    /// Only those under this grant.
    grant: Option<String>,
}

/// The live sessions that could be told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionsBody {
    items: Vec<SessionBody>,
    /// The integrations that could not be asked: their sessions are missing here.
    unavailable: Vec<UnavailableBody>,
}

/// One live session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionBody {
    /// The target's own name for it.
    id: String,
    grant_id: String,
    principal: String,
    resource: String,
    integration: String,
    permission: String,
    started_at: String,
    /// What it does, in the target's words.
    state: String,
    state_since: Option<String>,
    client: Option<String>,
    application: Option<String>,
}

/// An integration that could not be asked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnavailableBody {
    integration: String,
    reason: String,
}

/// Which session to end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionToEnd {
    grant_id: String,
    id: String,
    /// As it was listed: the target may have given its name to another session by now.
    started_at: String,
    comment: String,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionEndBody {
    /// Whether it was still there.
    found: bool,
}

impl SessionBody {
    fn new(SessionView { session, grant }: SessionView) -> Self {
        Self {
            id: session.id,
            grant_id: grant.id.to_string(),
            principal: grant.principal.to_string(),
            resource: grant.resource.to_string(),
            integration: grant.integration.to_string(),
            permission: grant.permission.to_string(),
            started_at: time(session.started_at),
            state: session.state,
            state_since: session.state_since.map(time),
            client: session.client,
            application: session.application,
        }
    }
}

/// The live sessions under my grants, or under everybody's for those who may read everything.
#[utoipa::path(get, path = "/api/v1/sessions", params(SessionFilter), responses((status = 200, body = SessionsBody), (status = "4XX", body = Problem)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Person(caller): Person,
    Params(filter): Params<SessionFilter>,
) -> Result<Json<SessionsBody>, Problem> {
    let mut mistakes = Vec::new();
    let integration: Option<IntegrationName> =
        parse(filter.integration, || "integration".to_owned(), &mut mistakes);
    let grant: Option<GrantId> = parse(filter.grant, || "grant".to_owned(), &mut mistakes);
    if !mistakes.is_empty() {
        return Err(Problem::invalid(mistakes));
    }
    let found = api.broker.sessions(&caller, integration.as_ref(), grant).await?;
    Ok(Json(SessionsBody {
        items: found.items.into_iter().map(SessionBody::new).collect(),
        unavailable: found
            .unavailable
            .into_iter()
            .map(|(integration, reason)| UnavailableBody {
                integration: integration.to_string(),
                reason,
            })
            .collect(),
    }))
}

/// Ends one session; its grant stays.
#[utoipa::path(post, path = "/api/v1/sessions/end", request_body = SessionToEnd, responses((status = 200, body = SessionEndBody), (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
pub(crate) async fn end(
    State(api): State<Api>,
    Person(caller): Person,
    body: Body<SessionToEnd>,
) -> Result<Json<SessionEndBody>, Problem> {
    let mut mistakes = Vec::new();
    let SessionToEnd { grant_id, id, started_at, comment } = body.value;
    let grant: Option<GrantId> = parse(Some(grant_id), || "grant_id".to_owned(), &mut mistakes);
    let started_at: Option<Timestamp> =
        parse(Some(started_at), || "started_at".to_owned(), &mut mistakes);
    let (Some(grant), Some(started_at)) = (grant, started_at) else {
        return Err(Problem::invalid(mistakes));
    };
    let wish = EndSession { grant, id, started_at, comment };
    let found = api.broker.end_session(&caller, &wish, body.key.as_ref()).await?;
    Ok(Json(SessionEndBody { found }))
}
