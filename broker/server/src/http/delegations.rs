//! Substitutes: who speaks in whose place, for a time.

use axum::{Json, extract::State, http::StatusCode};
use ebbgate_broker_app::DelegationWish;
use ebbgate_domain::{delegation::Delegation, ids::DelegationId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    dto::{Page, time},
    extract::{Body, Id, Params, Person, cursor, page_size},
    problem::Problem,
    requests::{Nothing, one_of, parse},
};

/// A substitute that the caller names.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDelegation {
    /// Who speaks in the caller's place.
    to: String,
    /// From when (RFC 3339); from now on where it is left out.
    since: Option<String>,
    /// Until before when (RFC 3339); at most 92 days.
    until: String,
}

/// Who speaks in whose place.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DelegationBody {
    pub id: String,
    /// Who is away.
    pub from: String,
    /// Who speaks in their place.
    pub to: String,
    pub since: String,
    pub until: String,
    /// When it was ended before its time.
    pub ended_at: Option<String>,
}

/// Which delegations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct DelegationFilter {
    /// `everyone` for auditors.
    of: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

impl DelegationBody {
    fn new(delegation: &Delegation) -> Self {
        Self {
            id: delegation.id.to_string(),
            from: delegation.from.to_string(),
            to: delegation.to.to_string(),
            since: time(delegation.since),
            until: time(delegation.until),
            ended_at: delegation.ended_at.map(time),
        }
    }
}

/// Names a substitute for one's approvals.
#[utoipa::path(post, path = "/api/v1/delegations", request_body = NewDelegation, responses((status = 201, body = DelegationBody), (status = "4XX", body = Problem)))]
pub(crate) async fn create(
    State(api): State<Api>,
    Person(caller): Person,
    body: Body<NewDelegation>,
) -> Result<(StatusCode, Json<DelegationBody>), Problem> {
    let NewDelegation { to, since, until } = body.value;
    let mut mistakes = Vec::new();
    let to = parse(Some(to), || "to".to_owned(), &mut mistakes);
    let since = parse(since, || "since".to_owned(), &mut mistakes);
    let until = parse(Some(until), || "until".to_owned(), &mut mistakes);
    let (Some(to), Some(until), true) = (to, until, mistakes.is_empty()) else {
        return Err(Problem::invalid(mistakes));
    };
    let wish = DelegationWish { to, since, until };
    let made = api.broker.delegate(&caller, &wish, body.key.as_ref()).await?;
    Ok((StatusCode::CREATED, Json(DelegationBody::new(&made))))
}

/// The delegations from or to the caller, or everybody's, that are not over.
#[utoipa::path(get, path = "/api/v1/delegations", params(DelegationFilter), responses((status = 200, body = Page<DelegationBody>), (status = "4XX", body = Problem)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Person(caller): Person,
    Params(filter): Params<DelegationFilter>,
) -> Result<Json<Page<DelegationBody>>, Problem> {
    let limit = page_size(filter.limit)?;
    let after: Option<DelegationId> = cursor(filter.cursor.as_deref())?;
    let everyone = one_of("of", filter.of.as_deref(), "everyone", "me")?;
    let found = api.broker.delegations(&caller, everyone).await?;
    let rest = found.iter().filter(|one| after.is_none_or(|after| one.id > after));
    let items = rest.take(limit as usize).map(DelegationBody::new).collect();
    Ok(Json(Page::new(items, limit, |body| body.id.clone())))
}

/// Ends a delegation before its time: who made it, the substitute, or an administrator.
#[utoipa::path(post, path = "/api/v1/delegations/{id}/end", params(("id" = String, Path)), request_body = Nothing, responses((status = 200, body = DelegationBody), (status = "4XX", body = Problem)))]
pub(crate) async fn end(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<DelegationId>,
    body: Body<Nothing>,
) -> Result<Json<DelegationBody>, Problem> {
    let ended = api.broker.end_delegation(&caller, id, body.key.as_ref()).await?;
    Ok(Json(DelegationBody::new(&ended)))
}
