//! Asking, deciding, withdrawing; and what there is to ask for.

use axum::{Json, extract::State, http::StatusCode};
use ebbgate_broker_app::{AppError, Mistake, Wish, WishItem};
use ebbgate_broker_ports::store::RequestQuery;
use ebbgate_domain::{
    approval::Verdict,
    flow::Saying,
    ids::RequestId,
    offer::{approval_in_words, offers},
    request::AccessRequest,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, str::FromStr};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    dto::{Page, RequestBody},
    extract::{Body, Id, Params, Person, cursor, page_size},
    problem::Problem,
};

/// What somebody asks for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRequest {
    resources: Vec<NewItem>,
    /// The access flow; may be left out where only one fits.
    flow: Option<String>,
    /// For example 30m; the flow's default where it is left out.
    duration: Option<String>,
    reason: Option<String>,
    ticket: Option<String>,
    /// When access is to begin, RFC 3339, where that is later than the approval; at most 31 days
    /// ahead.
    starts_at: Option<String>,
}

/// One resource that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewItem {
    /// `integration/type/name`, or the name alone where only one resource bears it.
    id: String,
    /// May be left out where only one is on offer.
    permission: Option<String>,
}

/// A word to go with a decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Comment {
    comment: Option<String>,
}

/// Nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Which requests.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestFilter {
    /// `open` or `all` (the default).
    state: Option<String>,
    /// `everyone` for auditors.
    of: Option<String>,
    /// Only those that the caller can decide now.
    #[serde(default)]
    waiting_for_me: bool,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// Which resources.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceFilter {
    /// Part of the id.
    search: Option<String>,
    /// A type, such as postgres.
    #[serde(rename = "type")]
    kind: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// A resource and what the caller may ask for on it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResourceBody {
    id: String,
    integration: String,
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    tags: BTreeMap<String, String>,
    offers: Vec<OfferBody>,
}

/// One way to get access.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OfferBody {
    permission: String,
    flow: String,
    /// Who must approve, in words.
    approval: String,
    default_duration: String,
    max_duration: String,
    justification_required: bool,
    /// off, optional or required.
    justification: &'static str,
    /// The fewest characters of a reason.
    reason_min_length: u32,
    ticket_pattern: Option<String>,
    /// Whether more time can be asked for.
    extendable: bool,
    /// Whether it is for emergencies: the flow must be named, and a review is owed.
    break_glass: bool,
}

/// What I may ask for, through which flow, with whose approval.
#[utoipa::path(get, path = "/api/v1/resources", params(ResourceFilter), responses((status = 200, body = Page<ResourceBody>)))]
pub(crate) async fn resources(
    State(api): State<Api>,
    Person(caller): Person,
    Params(filter): Params<ResourceFilter>,
) -> Result<Json<Page<ResourceBody>>, Problem> {
    let limit = page_size(filter.limit)?;
    let snapshot = api.broker.snapshot();
    let offers = offers(&caller.id, &snapshot.inventory, &snapshot.policies, &snapshot.directory);
    let mut bodies: Vec<ResourceBody> = Vec::new();
    for offer in offers {
        let id = offer.resource.id.to_string();
        let wanted = filter.search.as_ref().is_none_or(|part| id.contains(part))
            && filter.kind.as_ref().is_none_or(|kind| offer.resource.kind.as_str() == kind)
            && filter.cursor.as_ref().is_none_or(|cursor| id > *cursor);
        if !wanted {
            continue;
        }
        let (rule, justification) = (&offer.flow.duration, &offer.flow.justification);
        let body = OfferBody {
            permission: offer.permission.to_string(),
            flow: offer.flow.name.to_string(),
            approval: approval_in_words(offer.flow),
            default_duration: rule.default.min(rule.longest([&offer.permission])).to_string(),
            max_duration: rule.longest([&offer.permission]).to_string(),
            justification_required: justification.mode == Saying::Required
                || offer.flow.break_glass.is_some(),
            justification: justification.mode.as_str(),
            reason_min_length: justification.min_length,
            ticket_pattern: justification.ticket.clone(),
            extendable: rule.extend,
            break_glass: offer.flow.break_glass.is_some(),
        };
        if let Some(last) = bodies.last_mut().filter(|last| last.id == id) {
            last.offers.push(body);
            continue;
        }
        if bodies.len() >= limit as usize {
            break;
        }
        bodies.push(ResourceBody {
            id,
            integration: offer.resource.integration.to_string(),
            kind: offer.resource.kind.as_str(),
            name: offer.resource.native.clone(),
            tags: offer.resource.tags.clone(),
            offers: vec![body],
        });
    }
    Ok(Json(Page::new(bodies, limit, |body| body.id.clone())))
}

/// Asks for access.
#[utoipa::path(post, path = "/api/v1/requests", request_body = NewRequest, responses(
    (status = 201, body = RequestBody), (status = 200, description = "the same call was made before", body = RequestBody),
    (status = "4XX", body = Problem)))]
pub(crate) async fn submit(
    State(api): State<Api>,
    Person(caller): Person,
    body: Body<NewRequest>,
) -> Result<(StatusCode, Json<RequestBody>), Problem> {
    let wish = wish(body.value)?;
    let (request, new) = api.broker.submit(&caller, &wish, body.key.as_ref()).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, shown(&api, request).await?))
}

fn wish(body: NewRequest) -> Result<Wish, Problem> {
    let mut mistakes = Vec::new();
    let items = body
        .resources
        .into_iter()
        .enumerate()
        .map(|(index, item)| WishItem {
            permission: parse(
                item.permission,
                || format!("resources[{index}].permission"),
                &mut mistakes,
            ),
            resource: item.id,
        })
        .collect();
    let flow = parse(body.flow, || "flow".to_owned(), &mut mistakes);
    let duration = parse(body.duration, || "duration".to_owned(), &mut mistakes);
    let starts_at = parse(body.starts_at, || "starts_at".to_owned(), &mut mistakes);
    if !mistakes.is_empty() {
        return Err(Problem::invalid(mistakes));
    }
    Ok(Wish { items, flow, duration, reason: body.reason, ticket: body.ticket, starts_at })
}

/// A field's value from its text; a mistake is noted under the field's name.
pub(crate) fn parse<T: FromStr<Err: ToString>>(
    text: Option<String>,
    field: impl Fn() -> String,
    mistakes: &mut Vec<Mistake>,
) -> Option<T> {
    text?.parse().map_err(|error: T::Err| mistakes.push(Mistake::new(field(), error))).ok()
}

/// My requests, those that wait for me, or everybody's.
#[utoipa::path(get, path = "/api/v1/requests", params(RequestFilter), responses((status = 200, body = Page<RequestBody>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Person(caller): Person,
    Params(filter): Params<RequestFilter>,
) -> Result<Json<Page<RequestBody>>, Problem> {
    let limit = page_size(filter.limit)?;
    let before: Option<RequestId> = cursor(filter.cursor.as_deref())?;
    let open = one_of("state", filter.state.as_deref(), "open", "all")?;
    let everyone = one_of("of", filter.of.as_deref(), "everyone", "me")?;
    let requests = if filter.waiting_for_me {
        api.broker.inbox(&caller, before, limit).await?
    } else {
        let query = RequestQuery { open, before, limit, ..RequestQuery::default() };
        api.broker.requests(&caller, everyone, query).await?
    };
    let mut bodies = Vec::with_capacity(requests.len());
    for request in requests {
        bodies.push(shown(&api, request).await?.0);
    }
    Ok(Json(Page::new(bodies, limit, |body| body.id.clone())))
}

/// Whether a filter has its special value; an unknown value is a mistake.
pub(crate) fn one_of(
    field: &str,
    value: Option<&str>,
    yes: &str,
    no: &str,
) -> Result<bool, Problem> {
    match value {
        None => Ok(false),
        Some(value) if value == no => Ok(false),
        Some(value) if value == yes => Ok(true),
        Some(_) => Err(AppError::invalid(field, format!("use '{yes}' or '{no}'")).into()),
    }
}

/// One request.
#[utoipa::path(get, path = "/api/v1/requests/{id}", params(("id" = String, Path)), responses((status = 200, body = RequestBody), (status = 404, body = Problem)))]
pub(crate) async fn show(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<RequestId>,
) -> Result<Json<RequestBody>, Problem> {
    let view = api.broker.request(&caller, id).await?;
    Ok(Json(RequestBody::new(view, &api.broker.snapshot())))
}

/// Approves a request.
#[utoipa::path(post, path = "/api/v1/requests/{id}/approve", params(("id" = String, Path)), request_body = Comment, responses((status = 200, body = RequestBody), (status = "4XX", body = Problem)))]
pub(crate) async fn approve(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<RequestId>,
    body: Body<Comment>,
) -> Result<Json<RequestBody>, Problem> {
    let comment = body.value.comment.as_deref();
    let request =
        api.broker.review(&caller, id, Verdict::Approve, comment, body.key.as_ref()).await?;
    shown(&api, request).await
}

/// Denies a request; one denial is enough.
#[utoipa::path(post, path = "/api/v1/requests/{id}/deny", params(("id" = String, Path)), request_body = Comment, responses((status = 200, body = RequestBody), (status = "4XX", body = Problem)))]
pub(crate) async fn deny(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<RequestId>,
    body: Body<Comment>,
) -> Result<Json<RequestBody>, Problem> {
    let comment = body.value.comment.as_deref();
    let request = api.broker.review(&caller, id, Verdict::Deny, comment, body.key.as_ref()).await?;
    shown(&api, request).await
}

/// Withdraws a request that is not decided yet.
#[utoipa::path(post, path = "/api/v1/requests/{id}/cancel", params(("id" = String, Path)), request_body = Nothing, responses((status = 200, body = RequestBody), (status = "4XX", body = Problem)))]
pub(crate) async fn cancel(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<RequestId>,
    body: Body<Nothing>,
) -> Result<Json<RequestBody>, Problem> {
    let request = api.broker.cancel(&caller, id, body.key.as_ref()).await?;
    shown(&api, request).await
}

pub(crate) async fn shown(api: &Api, request: AccessRequest) -> Result<Json<RequestBody>, Problem> {
    let view = api.broker.view(request).await?;
    Ok(Json(RequestBody::new(view, &api.broker.snapshot())))
}
