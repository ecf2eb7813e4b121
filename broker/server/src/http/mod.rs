//! REST + JSON. The door stands before every operation: it finds the rule in the table, finds out
//! who calls, and refuses what no rule allows.

mod admin;
mod agents;
mod applied;
mod approval;
mod channels;
mod delegations;
mod dto;
mod endpoints;
mod explain;
mod extract;
mod flows;
mod grants;
mod life;
mod openapi;
mod problem;
mod reports;
mod requests;
mod reviews;
mod sessions;
mod system;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use ebbgate_broker_app::{Broker, Caller};
use ebbgate_domain::audit::Actor;
use tower_http::{catch_panic::CatchPanicLayer, limit::RequestBodyLimitLayer};

use self::{endpoints::Rule, extract::Person, problem::Problem};
use crate::{agents::Hub, config::LiveConfig, metrics::Metrics, tls::Authority};

pub(crate) use openapi::document;

/// The largest body that is read, in bytes.
const LARGEST_BODY: usize = 256 * 1024;

/// The same for flows, which come all at once.
const LARGEST_FLOWS: usize = 4 * 1024 * 1024;

/// What handlers work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub broker: Broker,
    pub config: Arc<LiveConfig>,
    pub authority: Arc<Authority>,
    pub hub: Arc<Hub>,
    pub metrics: Arc<Metrics>,
}

/// All operations behind the door.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route("/healthz", get(system::healthz))
        .route("/readyz", get(system::readyz))
        .route("/metrics", get(system::metrics))
        .route("/api/v1/openapi.json", get(openapi::show))
        .route("/api/v1/ca.pem", get(system::authority))
        .route("/api/v1/whoami", get(system::whoami))
        .route("/api/v1/resources", get(requests::resources))
        .route("/api/v1/explain", get(explain::explain))
        .route("/api/v1/explain/reach", get(explain::reach))
        .route("/api/v1/flows/versions", get(applied::versions))
        .route("/api/v1/flows/versions/{id}", get(applied::version))
        .route("/api/v1/inventory", get(flows::inventory))
        .route("/api/v1/requests", get(requests::list).post(requests::submit))
        .route("/api/v1/requests/{id}", get(requests::show))
        .route("/api/v1/requests/{id}/approve", post(requests::approve))
        .route("/api/v1/requests/{id}/deny", post(requests::deny))
        .route("/api/v1/requests/{id}/cancel", post(requests::cancel))
        .route("/api/v1/requests/{id}/claim", post(approval::claim))
        .route("/api/v1/delegations", get(delegations::list).post(delegations::create))
        .route("/api/v1/delegations/{id}/end", post(delegations::end))
        .route("/api/v1/requests/{id}/activate", post(life::activate))
        .route("/api/v1/requests/{id}/extend", post(life::extend))
        .route("/api/v1/reports", get(reports::overview))
        .route("/api/v1/reports/{id}", get(reports::show))
        .route("/api/v1/reviews", get(reviews::list))
        .route("/api/v1/reviews/{id}", get(reviews::show).post(reviews::write))
        .route("/api/v1/grants", get(grants::list))
        .route("/api/v1/grants/{id}", get(grants::show))
        .route("/api/v1/grants/{id}/release", post(grants::release))
        .route("/api/v1/grants/{id}/revoke", post(grants::revoke))
        .route("/api/v1/grants/{id}/credentials", post(grants::credentials))
        .route("/api/v1/agents/tokens", post(agents::new_token))
        .route("/api/v1/agents", get(agents::list))
        .route("/api/v1/agents/{id}/revoke", post(agents::revoke))
        .route("/api/v1/channels", get(channels::list))
        .route("/api/v1/channels/{id}/replay", post(channels::replay))
        .route("/api/v1/drift", get(agents::drift))
        .route("/api/v1/sessions", get(sessions::list))
        .route("/api/v1/sessions/end", post(sessions::end))
        .route("/api/v1/audit", get(admin::audit))
        .route("/api/v1/audit/verify", get(admin::verify))
        .layer(RequestBodyLimitLayer::new(LARGEST_BODY))
        .merge(
            Router::new()
                .route("/api/v1/flows", get(flows::flows).put(applied::apply))
                .layer(RequestBodyLimitLayer::new(LARGEST_FLOWS))
                .layer(DefaultBodyLimit::disable()),
        )
        .route_layer(middleware::from_fn_with_state(api.clone(), door))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::new())
        .with_state(api)
}

async fn nothing_here(request: Request) -> Problem {
    let path = request.uri().path().to_owned();
    Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is nothing at {path}"))
}

async fn wrong_method(request: Request) -> Problem {
    let detail = format!("{} does not take {}", request.uri().path(), request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// Lets a call through, or not.
async fn door(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let path = path.unwrap_or_default();
    let operation = format!("{} {path}", request.method());
    let Some(endpoint) = endpoints::find(request.method(), &path) else {
        tracing::error!(operation, "an operation without a rule was refused");
        return Problem::forbidden("none: this operation has no rule").into_response();
    };
    if endpoint.rule != Rule::Public {
        // Found before anything is awaited: a body must not be borrowed meanwhile.
        let caller = caller(&api, &request);
        match admit(&api, caller, endpoint.rule, &operation).await {
            Ok(caller) => request.extensions_mut().insert(Person(caller)),
            Err(refusal) => return refusal.into_response(),
        };
    }
    let response = next.run(request).await;
    api.metrics.answered(&operation, response.status());
    response
}

async fn admit(
    api: &Api,
    caller: Option<Caller>,
    rule: Rule,
    operation: &str,
) -> Result<Caller, Problem> {
    let Some(caller) = caller else {
        // Not in the audit log: whoever can reach the port could fill it.
        api.metrics.turned_away("unauthenticated");
        tracing::info!(operation, "a call without a valid token");
        return Err(Problem::unauthenticated());
    };
    let lacks = match rule {
        Rule::Administrator if !caller.administrator => Some("administrator"),
        Rule::Auditor if !caller.auditor => Some("auditor"),
        _ => None,
    };
    let Some(role) = lacks else { return Ok(caller) };
    api.broker.note_refused(Actor::Principal(caller.id), operation, "forbidden").await?;
    Err(Problem::forbidden(role))
}

fn caller(api: &Api, request: &Request<Body>) -> Option<Caller> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let tokens = api.config.tokens();
    api.broker.caller(tokens.owner(token.trim())?)
}
