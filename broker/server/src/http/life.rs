//! A request's life after its approval: letting access begin, and asking for more time.

use axum::{Json, extract::State};
use ebbgate_domain::{
    ids::RequestId,
    request::{Extension, ExtensionState, UseReview},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api,
    dto::{RequestBody, time},
    extract::{Body, Id, Person},
    problem::Problem,
    requests::{Nothing, parse, shown},
};

/// More time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MoreTime {
    /// How much, for example 30m.
    duration: String,
    reason: Option<String>,
}

/// More time that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExtensionBody {
    /// How much, for example 30m.
    pub by: String,
    /// For how long access then is in all.
    pub total: String,
    pub asked_at: String,
    pub reason: Option<String>,
    /// pending, approved, denied or lapsed.
    pub state: &'static str,
    /// When it lapses if nobody decides.
    pub lapses_at: Option<String>,
}

impl ExtensionBody {
    pub(crate) fn new(extension: &Extension) -> Self {
        Self {
            by: extension.by.to_string(),
            total: extension.total.to_string(),
            asked_at: time(extension.asked_at),
            reason: extension.reason.clone(),
            state: extension.state.as_str(),
            lapses_at: extension
                .lapses_at
                .filter(|_| extension.state == ExtensionState::Pending)
                .map(time),
        }
    }
}

/// What an emergency asks for afterwards.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UseReviewBody {
    /// Who was told at once.
    pub told: Vec<String>,
    /// By when the review must be written.
    pub due_at: String,
    pub reminded: u32,
    pub written: Option<WrittenBody>,
}

/// The review of an emergency.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WrittenBody {
    pub by: String,
    pub at: String,
    pub text: String,
}

impl UseReviewBody {
    pub(crate) fn new(review: &UseReview) -> Self {
        Self {
            told: review.told.clone(),
            due_at: time(review.due_at),
            reminded: review.reminded,
            written: review.written.as_ref().map(|written| WrittenBody {
                by: written.by.to_string(),
                at: time(written.at),
                text: written.text.clone(),
            }),
        }
    }
}

/// Lets the access of an approved request begin.
#[utoipa::path(post, path = "/api/v1/requests/{id}/activate", params(("id" = String, Path)), request_body = Nothing, responses((status = 200, body = RequestBody), (status = "4XX", body = Problem)))]
pub(crate) async fn activate(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<RequestId>,
    body: Body<Nothing>,
) -> Result<Json<RequestBody>, Problem> {
    let request = api.broker.activate(&caller, id, body.key.as_ref()).await?;
    shown(&api, request).await
}

/// Asks for more time under the same approval.
#[utoipa::path(post, path = "/api/v1/requests/{id}/extend", params(("id" = String, Path)), request_body = MoreTime, responses((status = 200, body = RequestBody), (status = "4XX", body = Problem)))]
pub(crate) async fn extend(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<RequestId>,
    body: Body<MoreTime>,
) -> Result<Json<RequestBody>, Problem> {
    let mut mistakes = Vec::new();
    let by = parse(Some(body.value.duration), || "duration".to_owned(), &mut mistakes);
    let Some(by) = by else { return Err(Problem::invalid(mistakes)) };
    let reason = body.value.reason.as_deref();
    let request = api.broker.extend(&caller, id, by, reason, body.key.as_ref()).await?;
    shown(&api, request).await
}
