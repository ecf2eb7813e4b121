//! How an approval stands: whom it waits for and until when, who was told, who is looking.

use axum::{Json, extract::State};
use ebbgate_domain::{
    Timestamp,
    approval::{Claim, GroupTally, Review, Told},
    flow::Voices,
    ids::RequestId,
    names::PrincipalId,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    dto::{RequestBody, time},
    extract::{Body, Id, Person},
    problem::Problem,
    requests::{Nothing, shown},
};

/// How one approver group stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupBody {
    pub group: String,
    /// any, all or a number.
    pub need: String,
    pub satisfied: bool,
    pub approved_by: Vec<String>,
    pub waiting_for: Vec<String>,
    /// When more people are asked if these have not decided.
    pub escalates_at: Option<String>,
    /// Who then, as the flow names them.
    pub escalates_to: Vec<String>,
}

/// Somebody who was told that a request waits for them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ToldBody {
    pub who: String,
    pub at: String,
    /// For which group.
    pub group: String,
    /// 0 for its members, otherwise the number of its escalation step.
    pub step: u32,
    /// In whose place, where they stand in for somebody.
    pub in_place_of: Option<String>,
    /// When they were told that they are no longer needed.
    pub withdrawn_at: Option<String>,
}

/// Somebody who said that they are looking.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClaimBody {
    pub by: String,
    pub at: String,
    /// Until when escalation waits, or waited, for them.
    pub until: String,
    /// Whether it does now.
    pub looking: bool,
}

impl GroupBody {
    pub(crate) fn new(tally: &GroupTally) -> Self {
        let names = |ids: &[PrincipalId]| ids.iter().map(ToString::to_string).collect();
        let next = tally.next.as_ref();
        Self {
            group: tally.name.clone(),
            need: match tally.need {
                Voices::Any => "any".to_owned(),
                Voices::All => "all".to_owned(),
                Voices::AtLeast(count) => count.to_string(),
            },
            satisfied: tally.satisfied,
            approved_by: names(&tally.approved_by),
            waiting_for: names(&tally.waiting_for),
            escalates_at: next.map(|next| time(next.at)),
            escalates_to: next
                .map_or_else(Vec::new, |next| next.to.iter().map(ToString::to_string).collect()),
        }
    }
}

impl ToldBody {
    pub(crate) fn new(told: &Told) -> Self {
        Self {
            who: told.who.to_string(),
            at: time(told.at),
            group: told.group.clone(),
            step: told.step,
            in_place_of: told.in_place_of.as_ref().map(ToString::to_string),
            withdrawn_at: told.withdrawn_at.map(time),
        }
    }
}

impl ClaimBody {
    pub(crate) fn new(claim: &Claim, reviews: &[Review], now: Timestamp) -> Self {
        let end = claim.end(reviews);
        Self { by: claim.by.to_string(), at: time(claim.at), until: time(end), looking: now < end }
    }
}

/// Says that the caller is looking at a request: its escalation waits for them, for a while.
#[utoipa::path(post, path = "/api/v1/requests/{id}/claim", params(("id" = String, Path)), request_body = Nothing, responses((status = 200, body = RequestBody), (status = "4XX", body = Problem)))]
pub(crate) async fn claim(
    State(api): State<Api>,
    Person(caller): Person,
    Id(id): Id<RequestId>,
    body: Body<Nothing>,
) -> Result<Json<RequestBody>, Problem> {
    let request = api.broker.claim_request(&caller, id, body.key.as_ref()).await?;
    shown(&api, request).await
}
