//! Reviews of emergencies: who owes one, what it is about, and writing it.

use axum::{Json, extract::State};
use ebbgate_domain::ids::RequestId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    admin::RecordBody,
    dto::{Page, RequestBody},
    extract::{Body, Id, Params, Person, cursor, page_size},
    problem::Problem,
    requests::{one_of, shown},
};

/// Which emergencies.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReviewFilter {
    /// `open` for those without a written review, or `all` (the default).
    state: Option<String>,
    /// `everyone` for auditors.
    of: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// One emergency on one page.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UseBody {
    /// The request with its grants and its review.
    request: RequestBody,
    /// What the audit log has of it, oldest first.
    records: Vec<RecordBody>,
}

/// A review.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewReview {
    /// What happened, and what was done.
    text: String,
}

/// Emergencies, newest first: mine, or everybody's.
#[utoipa::path(get, path = "/api/v1/reviews", params(ReviewFilter), responses((status = 200, body = Page<RequestBody>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Person(caller): Person,
    Params(filter): Params<ReviewFilter>,
) -> Result<Json<Page<RequestBody>>, Problem> {
    let limit = page_size(filter.limit)?;
    let before: Option<RequestId> = cursor(filter.cursor.as_deref())?;
    let open = one_of("state", filter.state.as_deref(), "open", "all")?;
    let everyone = one_of("of", filter.of.as_deref(), "everyone", "me")?;
    let mut bodies = Vec::new();
    for request in api.broker.use_reviews(&caller, everyone, open, before, limit).await? {
        bodies.push(shown(&api, request).await?.0);
    }
    Ok(Json(Page::new(bodies, limit, |body| body.id.clone())))
}

/// One emergency: the request, its grants, its review and its audit records.
#[utoipa::path(get, path = "/api/v1/reviews/{id}", params(("id" = String, Path)), responses((status = 200, body = UseBody), (status = 404, body = Problem)))]
pub(crate) async fn show(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<RequestId>,
) -> Result<Json<UseBody>, Problem> {
    let page = api.broker.use_page(&caller, id).await?;
    Ok(Json(UseBody {
        request: RequestBody::new(page.view, &api.broker.snapshot()),
        records: page.records.into_iter().map(RecordBody::new).collect(),
    }))
}

/// Writes the review of an emergency.
#[utoipa::path(post, path = "/api/v1/reviews/{id}", params(("id" = String, Path)), request_body = NewReview, responses((status = 200, body = RequestBody), (status = "4XX", body = Problem)))]
pub(crate) async fn write(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<RequestId>,
    body: Body<NewReview>,
) -> Result<Json<RequestBody>, Problem> {
    let text = &body.value.text;
    let request = api.broker.write_review(&caller, id, text, body.key.as_ref()).await?;
    shown(&api, request).await
}
