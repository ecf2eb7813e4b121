//! Errors as clients see them: RFC 9457 problem documents with a stable code. Inner causes go to
//! the log, never to the client.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use ebbgate_broker_app::{AppError, Mistake};
use ebbgate_broker_ports::{FlowMistake, StoreError};
use ebbgate_connector_api::ErrorKind;
use serde::Serialize;
use utoipa::ToSchema;

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// A page that explains the code.
    #[serde(rename = "type")]
    kind: String,
    /// The HTTP status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What happened, in one sentence.
    detail: String,
    /// The stable code: what programs look at.
    code: &'static str,
    /// Single fields that make no sense.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
}

/// One field that makes no sense.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldProblem {
    field: String,
    message: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("https://ebbgate.dev/errors/{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            errors: Vec::new(),
        }
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "a valid API token is needed: Authorization: Bearer ebu_…",
        )
    }

    pub(crate) fn forbidden(role: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", format!("this needs the role {role}"))
    }

    pub(crate) fn invalid(mistakes: Vec<Mistake>) -> Self {
        let detail =
            mistakes.iter().map(|m| format!("{}: {}", m.field, m.message)).collect::<Vec<_>>();
        let mut problem =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail.join("; "));
        problem.errors = mistakes
            .into_iter()
            .map(|mistake| FieldProblem { field: mistake.field, message: mistake.message })
            .collect();
        problem
    }

    /// Each mistake with its place is a field of its own.
    fn flow_mistakes(mistakes: Vec<FlowMistake>) -> Self {
        let (count, s) = (mistakes.len(), if mistakes.len() == 1 { "" } else { "s" });
        let detail = format!("{count} mistake{s} in the flows: nothing was applied");
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "flows_invalid", detail);
        let field = |FlowMistake { place, message }| FieldProblem { field: place, message };
        problem.errors = mistakes.into_iter().map(field).collect();
        problem
    }

    fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the broker could not do this; its log says why",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let json = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        let text = error.to_string();
        match error {
            AppError::Refused(refusal) => Self::new(refused(refusal.code()), refusal.code(), text),
            AppError::Forbidden { role } => Self::forbidden(role),
            AppError::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, "not_found", text),
            AppError::Invalid(mistakes) => Self::invalid(mistakes),
            AppError::KeyReused | AppError::KeySpent => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", text)
            }
            AppError::FlowsInFiles => Self::new(StatusCode::CONFLICT, "flows_in_files", text),
            AppError::FlowsChanged { .. } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "flows_changed", text)
            }
            AppError::FlowMistakes(mistakes) => Self::flow_mistakes(mistakes),
            AppError::FlowsUnknown => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "flows_unknown", text)
            }
            AppError::TokenRefused => Self::new(StatusCode::FORBIDDEN, "token_refused", text),
            AppError::Connector(error) => {
                tracing::warn!(
                    error = ebbgate_broker_ports::chain(&error),
                    "a target did not hand out a credential"
                );
                let (status, code) = match error.kind() {
                    ErrorKind::AgentAway => (StatusCode::SERVICE_UNAVAILABLE, "agent_unavailable"),
                    ErrorKind::Unreachable | ErrorKind::Throttled | ErrorKind::StillPresent => {
                        (StatusCode::SERVICE_UNAVAILABLE, "target_unavailable")
                    }
                    ErrorKind::Refused => (StatusCode::BAD_GATEWAY, "target_refused"),
                    ErrorKind::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_request"),
                };
                Self::new(status, code, error.chain())
            }
            AppError::Store(StoreError::Conflict) => Self::new(
                StatusCode::CONFLICT,
                "conflict",
                "others changed this at the same time: try again",
            ),
            AppError::Store(StoreError::NotBelieved { table, id, .. }) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "record_not_believed",
                format!(
                    "{id} in {table} was not written by a broker of this store, or was set back: \
                     nothing is done by it until somebody has looked; the broker's log says more"
                ),
            ),
            AppError::Store(error) => {
                tracing::error!(error = ebbgate_broker_ports::chain(&error), "a call failed");
                Self::internal()
            }
        }
    }
}

fn refused(code: &str) -> StatusCode {
    match code {
        "not_a_requester"
        | "resource_out_of_scope"
        | "permission_not_offered"
        | "own_request"
        | "not_an_approver"
        | "not_the_requester"
        | "review_overdue"
        | "forbidden_by_guardrail" => StatusCode::FORBIDDEN,
        "already_reviewed"
        | "already_claimed"
        | "claimed_before"
        | "already_decided"
        | "request_lapsed"
        | "grant_not_active"
        | "nothing_to_activate"
        | "not_yet"
        | "extension_not_possible"
        | "no_review_due"
        | "stale_order" => StatusCode::CONFLICT,
        "grant_expired" => StatusCode::GONE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
