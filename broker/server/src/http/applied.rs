//! Applying flows, and the sets that were applied.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use ebbgate_broker_app::{AppError, Expected, FlowsApplied, Mistake};
use ebbgate_domain::flow_set::{FlowFile, FlowSet};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    dto::{Page, time},
    extract::{Body, Id, Params, Person, cursor, page_size},
    flows::{FlowFileBody, etag},
    problem::Problem,
};

/// All files that shall be in force, in place of all that are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewFlows {
    files: Vec<NewFlowFile>,
}

/// A file with scopes, permissions, schedules and flows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewFlowFile {
    /// Each its own.
    name: String,
    /// YAML.
    text: String,
}

/// Who applied flows, and when.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FlowSetBody {
    /// 1 for the first, one more with each.
    pub number: u64,
    /// Changes with the files; the same as the ETag.
    pub version: String,
    pub by: String,
    pub at: String,
}

/// A set of flows with its files.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WholeFlowSetBody {
    #[serde(flatten)]
    set: FlowSetBody,
    files: Vec<FlowFileBody>,
}

/// What came of applying flows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppliedBody {
    #[serde(flatten)]
    set: FlowSetBody,
    /// Whether anything changed: not where these files were in force already.
    applied: bool,
    /// Documents that are new: `AccessFlow data-pii`.
    added: Vec<String>,
    /// Documents that differ.
    changed: Vec<String>,
    /// Documents that are gone.
    removed: Vec<String>,
    /// What somebody should look at, with file, line and column.
    warnings: Vec<String>,
}

/// Which sets.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlowSetFilter {
    cursor: Option<String>,
    limit: Option<u32>,
}

impl FlowSetBody {
    /// Of a set whose version is known.
    pub(super) fn new(set: &FlowSet, version: String) -> Self {
        let FlowSet { number, by, at, .. } = set;
        Self { number: *number, version, by: by.to_string(), at: time(*at) }
    }
}

/// Applies flows: all files at once, where what they were planned against is still in force. Only
/// where the settings say `flows: applied`.
#[utoipa::path(put, path = "/api/v1/flows", params(("If-Match" = Option<String>, Header, description = "The ETag of the flows that these were planned against."), ("If-None-Match" = Option<String>, Header, description = "`*` where none were ever applied.")), request_body = NewFlows, responses((status = 200, body = AppliedBody, headers(("ETag" = String))), (status = "4XX", body = Problem)))]
pub(crate) async fn apply(
    State(api): State<Api>,
    Person(caller): Person,
    headers: HeaderMap,
    body: Body<NewFlows>,
) -> Result<(HeaderMap, Json<AppliedBody>), Problem> {
    let expected = expected(&headers)?;
    let file = |NewFlowFile { name, text }| FlowFile { name, text };
    let files = body.value.files.into_iter().map(file).collect();
    let FlowsApplied { set, plan } = api.broker.apply_flows(&caller, files, &expected).await?;
    let version = set.version();
    let headers = etag(&version);
    let applied = plan.is_some();
    let plan = plan.unwrap_or_default();
    let set = FlowSetBody::new(&set, version);
    Ok((
        headers,
        Json(AppliedBody {
            set,
            applied,
            added: plan.added,
            changed: plan.changed,
            removed: plan.removed,
            warnings: plan.warnings,
        }),
    ))
}

/// What the caller has seen (RFC 9110, sections 13.1.1 and 13.1.2): one strong tag, or that there
/// was nothing.
fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "precondition_required",
            "say what these flows were planned against: If-Match with the ETag of GET /api/v1/flows",
        )),
        (None, Some("*")) => Ok(Expected::Nothing),
        (Some(tag), None) => {
            let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            version
                .filter(|version| !version.contains('"'))
                .map(|version| Expected::Version(version.to_owned()))
                .ok_or_else(|| mistake("If-Match", "use one ETag as GET /api/v1/flows gave it"))
        }
        _ => Err(mistake("If-None-Match", "use `If-None-Match: *`, or If-Match with an ETag")),
    }
}

fn mistake(field: &str, message: &str) -> Problem {
    Problem::invalid(vec![Mistake::new(field, message)])
}

/// The sets that were applied, newest first.
#[utoipa::path(get, path = "/api/v1/flows/versions", params(FlowSetFilter), responses((status = 200, body = Page<FlowSetBody>)))]
pub(crate) async fn versions(
    State(api): State<Api>,
    Person(caller): Person,
    Params(filter): Params<FlowSetFilter>,
) -> Result<Json<Page<FlowSetBody>>, Problem> {
    let limit = page_size(filter.limit)?;
    let before: Option<u64> = cursor(filter.cursor.as_deref())?;
    let sets = api.broker.flow_sets(&caller, before, limit).await?;
    let items = sets.iter().map(|set| FlowSetBody::new(set, set.version())).collect();
    Ok(Json(Page::new(items, limit, |body: &FlowSetBody| body.number.to_string())))
}

/// One set that was applied, with its files.
#[utoipa::path(get, path = "/api/v1/flows/versions/{id}", params(("id" = u64, Path, description = "Its number.")), responses((status = 200, body = WholeFlowSetBody), (status = "4XX", body = Problem)))]
pub(crate) async fn version(
    State(api): State<Api>,
    Person(caller): Person,
    Id(number): Id<u64>,
) -> Result<Json<WholeFlowSetBody>, Problem> {
    let found = api.broker.flow_sets(&caller, Some(number.saturating_add(1)), 1).await?;
    let found = found.into_iter().find(|set| set.number == number);
    let set = found.ok_or_else(|| AppError::not_found("version of the flows", number))?;
    let body = FlowSetBody::new(&set, set.version());
    let files = set.files.into_iter().map(FlowFileBody::from).collect();
    Ok(Json(WholeFlowSetBody { set: body, files }))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;
    use rstest::rstest;

    use super::*;

    fn headers(all: &[(HeaderName, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn what_was_seen_is_an_etag_or_nothing() {
        let seen = expected(&headers(&[(header::IF_MATCH, "\"abc\"")])).unwrap();
        assert_eq!(seen, Expected::Version("abc".to_owned()));
        let seen = expected(&headers(&[(header::IF_NONE_MATCH, "*")])).unwrap();
        assert_eq!(seen, Expected::Nothing);
    }

    #[rstest]
    #[case(&[])]
    #[case(&[(header::IF_MATCH, "abc")])]
    #[case(&[(header::IF_MATCH, "*")])]
    #[case(&[(header::IF_MATCH, "W/\"abc\"")])]
    #[case(&[(header::IF_MATCH, "\"abc\", \"def\"")])]
    #[case(&[(header::IF_NONE_MATCH, "\"abc\"")])]
    #[case(&[(header::IF_MATCH, "\"abc\""), (header::IF_NONE_MATCH, "*")])]
    fn nothing_else_will_do(#[case] given: &[(HeaderName, &str)]) {
        expected(&headers(given)).unwrap_err();
    }
}
