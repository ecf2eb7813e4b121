//! Why and why not, where it is stuck, and who can reach what.

use axum::{Json, extract::State};
use ebbgate_broker_app::{Asked, Explained};
use ebbgate_domain::{
    explain::{Finding, FlowExplanation, Obstacle, Reach, Way},
    request::AccessRequest,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    approval::GroupBody,
    dto::time,
    extract::{Params, Person},
    problem::Problem,
    requests::parse,
};

/// What somebody wants to know.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainFilter {
    /// `integration/type/name`, or the name alone where only one resource bears it.
    resource: String,
    permission: Option<String>,
    /// For example 30m.
    duration: Option<String>,
    /// Somebody else than the caller, for auditors.
    user: Option<String>,
}

/// Which resource.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReachFilter {
    /// `integration/type/name`, or the name alone where only one resource bears it.
    resource: String,
    permission: Option<String>,
}

/// Why, or why not.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplanationBody {
    user: String,
    resource: String,
    /// Whether any flow leads there.
    open: bool,
    person: FindingBody,
    /// Every flow that leads there or admits the person; the open ones first.
    flows: Vec<FlowExplanationBody>,
    /// Requests for it that are under way.
    under_way: Vec<UnderWayBody>,
}

/// One rule and the facts that decided it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FindingBody {
    rule: &'static str,
    holds: bool,
    fact: String,
    #[schema(no_recursion)]
    parts: Vec<FindingBody>,
}

/// What one flow says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FlowExplanationBody {
    flow: String,
    version: String,
    open: bool,
    rules: Vec<FindingBody>,
    ways: Vec<WayBody>,
    /// What must be said, in words.
    must_say: Option<String>,
}

/// What asking for one permission would lead to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WayBody {
    permission: String,
    open: bool,
    /// For how long, where it is open.
    duration: Option<String>,
    /// Who must approve, where it is open; none where nobody needs to.
    groups: Vec<GroupBody>,
    /// The code of the rule that says no, where it is closed.
    code: Option<&'static str>,
    /// That in words.
    refusal: Option<String>,
}

/// A request that is under way.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnderWayBody {
    request_id: String,
    flow: String,
    state: &'static str,
    waits_for: Vec<ObstacleBody>,
}

/// What a request waits for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ObstacleBody {
    /// approval, activation, grant or teardown.
    what: &'static str,
    fact: String,
    /// When it ends by itself, or is tried again.
    until: Option<String>,
}

/// Who can reach a resource.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReachListBody {
    items: Vec<ReachBody>,
}

/// One way in which somebody can reach a resource.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReachBody {
    user: String,
    flow: String,
    #[serde(flatten)]
    way: WayBody,
}

/// Why somebody can or cannot reach a resource, rule by rule, and where their requests are stuck.
#[utoipa::path(get, path = "/api/v1/explain", params(ExplainFilter), responses((status = 200, body = ExplanationBody), (status = "4XX", body = Problem)))]
pub(crate) async fn explain(
    State(api): State<Api>,
    Person(caller): Person,
    Params(filter): Params<ExplainFilter>,
) -> Result<Json<ExplanationBody>, Problem> {
    let mut mistakes = Vec::new();
    let asked = Asked {
        user: parse(filter.user, || "user".to_owned(), &mut mistakes),
        resource: filter.resource,
        permission: parse(filter.permission, || "permission".to_owned(), &mut mistakes),
        duration: parse(filter.duration, || "duration".to_owned(), &mut mistakes),
    };
    if !mistakes.is_empty() {
        return Err(Problem::invalid(mistakes));
    }
    let explained = api.broker.explain(&caller, &asked).await?;
    Ok(Json(ExplanationBody::new(explained)))
}

/// Who can reach a resource, through which flow, with whose approval.
#[utoipa::path(get, path = "/api/v1/explain/reach", params(ReachFilter), responses((status = 200, body = ReachListBody), (status = "4XX", body = Problem)))]
pub(crate) async fn reach(
    State(api): State<Api>,
    Person(caller): Person,
    Params(filter): Params<ReachFilter>,
) -> Result<Json<ReachListBody>, Problem> {
    let mut mistakes = Vec::new();
    let permission = parse(filter.permission, || "permission".to_owned(), &mut mistakes);
    if !mistakes.is_empty() {
        return Err(Problem::invalid(mistakes));
    }
    let found = api.broker.reach(&caller, &filter.resource, permission.as_ref()).await?;
    Ok(Json(ReachListBody { items: found.into_iter().map(ReachBody::new).collect() }))
}

impl ExplanationBody {
    fn new(explained: Explained) -> Self {
        let explanation = explained.explanation;
        Self {
            user: explained.user.to_string(),
            resource: explained.resource.id.to_string(),
            open: explanation.is_open(),
            person: FindingBody::new(explanation.person),
            flows: explanation.flows.into_iter().map(FlowExplanationBody::new).collect(),
            under_way: explained.under_way.into_iter().map(UnderWayBody::new).collect(),
        }
    }
}

impl FindingBody {
    fn new(finding: Finding) -> Self {
        Self {
            rule: finding.rule,
            holds: finding.holds,
            fact: finding.fact,
            parts: finding.parts.into_iter().map(Self::new).collect(),
        }
    }
}

impl FlowExplanationBody {
    fn new(flow: FlowExplanation) -> Self {
        Self {
            flow: flow.flow.to_string(),
            open: flow.is_open(),
            version: flow.version,
            rules: flow.rules.into_iter().map(FindingBody::new).collect(),
            ways: flow.ways.iter().map(WayBody::new).collect(),
            must_say: flow.must_say,
        }
    }
}

impl WayBody {
    fn new(way: &Way) -> Self {
        let approval = way.outcome.as_ref().ok();
        let refusal = way.outcome.as_ref().err();
        Self {
            permission: way.permission.to_string(),
            open: approval.is_some(),
            duration: approval.map(|approval| approval.duration.to_string()),
            groups: approval
                .into_iter()
                .flat_map(|approval| &approval.tallies)
                .flat_map(|tally| tally.groups.iter().map(GroupBody::new))
                .collect(),
            code: refusal.map(|refusal| refusal.code()),
            refusal: refusal.map(ToString::to_string),
        }
    }
}

impl UnderWayBody {
    fn new((request, waits): (AccessRequest, Vec<Obstacle>)) -> Self {
        let waits_for = waits.into_iter().map(|wait| ObstacleBody {
            what: wait.what,
            fact: wait.fact,
            until: wait.until.map(time),
        });
        Self {
            request_id: request.id.to_string(),
            flow: request.flow.name.to_string(),
            state: request.state_name(),
            waits_for: waits_for.collect(),
        }
    }
}

impl ReachBody {
    fn new(reach: Reach) -> Self {
        Self {
            user: reach.person.to_string(),
            flow: reach.flow.to_string(),
            way: WayBody::new(&reach.way),
        }
    }
}
