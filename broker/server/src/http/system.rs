//! The broker about itself: alive, ready, counted; and who the caller is.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, extract::Person, problem::Problem};

/// Who calls.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhoBody {
    id: String,
    name: String,
    groups: Vec<String>,
    /// administrator, auditor.
    roles: Vec<&'static str>,
}

/// Whether the process is alive.
#[utoipa::path(get, path = "/healthz", responses((status = 200)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether it can work: its store answers.
#[utoipa::path(get, path = "/readyz", responses((status = 200), (status = 503, body = Problem)))]
pub(crate) async fn readyz(State(api): State<Api>) -> Result<&'static str, Problem> {
    match api.broker.ping().await {
        Ok(()) => Ok("ready\n"),
        Err(error) => {
            tracing::error!(error = ebbgate_broker_ports::chain(&error), "not ready");
            let detail = "the store does not answer";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail))
        }
    }
}

/// Counters and gauges in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", responses((status = 200, content_type = "text/plain")))]
pub(crate) async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    api.metrics.not_believed(api.broker.not_believed());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], api.metrics.text())
}

/// The certificate of the broker's own authority: what tools must trust.
#[utoipa::path(get, path = "/api/v1/ca.pem", responses((status = 200, content_type = "application/x-pem-file")))]
pub(crate) async fn authority(State(api): State<Api>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/x-pem-file")], api.authority.pem().to_owned())
}

/// Who I am.
#[utoipa::path(get, path = "/api/v1/whoami", responses((status = 200, body = WhoBody)))]
pub(crate) async fn whoami(
    State(api): State<Api>,
    Person(caller): Person,
) -> Result<Json<WhoBody>, Problem> {
    let snapshot = api.broker.snapshot();
    let principal = snapshot.directory.active(&caller.id).ok_or_else(Problem::unauthenticated)?;
    let roles = [(caller.administrator, "administrator"), (caller.auditor, "auditor")];
    Ok(Json(WhoBody {
        id: caller.id.to_string(),
        name: principal.display_name.clone(),
        groups: principal.groups.iter().map(ToString::to_string).collect(),
        roles: roles.into_iter().filter(|(has, _)| *has).map(|(_, role)| role).collect(),
    }))
}
