//! Reports for those who may read everything: what went stale, what nobody uses, who does not look.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use ebbgate_broker_app::{AppError, Mistake};
use ebbgate_domain::report::{Finding, Report, ReportName, Terms};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    dto::time,
    extract::{Id, Params, Person},
    problem::Problem,
    requests::parse,
};

/// What reports are to be like.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportFilter {
    /// How far they look back, from 1s to 3650d; 90d where it is left out.
    since: Option<String>,
    /// Who approves faster than this at the median does not look, from 1s to 31d; 30s where it is
    /// left out.
    fast: Option<String>,
    /// A say in so many percent of all decisions is too much, 1 to 100; 50 where it is left out.
    share: Option<u8>,
    /// How many decisions, refusals or approvals a judgement takes; 10 (`ripe`: 20) where it is left
    /// out.
    least: Option<u32>,
}

/// All reports in a few words.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OverviewBody {
    items: Vec<HeadlineBody>,
}

/// One report in a few words.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeadlineBody {
    name: &'static str,
    /// What it is about.
    about: &'static str,
    headline: String,
    /// How many findings it has.
    findings: usize,
    /// How many of those ask for attention.
    attention: usize,
    /// What it cannot tell, where there is such a thing.
    note: Option<String>,
}

/// One report.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReportBody {
    name: &'static str,
    /// What it is about.
    about: &'static str,
    headline: String,
    /// Since when it looked; none for one that tells how things are now.
    since: Option<String>,
    /// As of when.
    at: String,
    /// What asks for attention comes first.
    items: Vec<FindingBody>,
    /// How many findings are not listed, because there are more than 1,000.
    left_out: usize,
    /// How many findings ask for attention.
    attention: usize,
    /// What it cannot tell, where there is such a thing.
    note: Option<String>,
}

/// One thing that was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FindingBody {
    /// For example `flow data-shop`, `group:dba` or `user:ben@example.com`.
    about: String,
    fact: String,
    /// Since when, where that is known.
    since: Option<String>,
    /// Why that matters.
    why: &'static str,
    /// What to do.
    advice: String,
    /// Whether somebody should do something, or this is only to be known.
    attention: bool,
    /// The same in numbers; the names tell the units.
    figures: BTreeMap<&'static str, u64>,
}

/// All reports in a few words, all as of the same moment.
#[utoipa::path(get, path = "/api/v1/reports", params(ReportFilter), responses((status = 200, body = OverviewBody), (status = "4XX", body = Problem)))]
pub(crate) async fn overview(
    State(api): State<Api>,
    Person(caller): Person,
    Params(filter): Params<ReportFilter>,
) -> Result<Json<OverviewBody>, Problem> {
    let terms = filter.terms()?;
    let reports = api.broker.reports(&caller, &ReportName::ALL, &terms).await?;
    Ok(Json(OverviewBody { items: reports.into_iter().map(HeadlineBody::new).collect() }))
}

/// One report: `review`, `unused`, `empty-groups`, `departed-approvers`, `rubber-stamps`,
/// `decision-times`, `denied` or `ripe`.
#[utoipa::path(get, path = "/api/v1/reports/{id}", params(("id" = String, Path), ReportFilter), responses((status = 200, body = ReportBody), (status = "4XX", body = Problem)))]
pub(crate) async fn show(
    State(api): State<Api>,
    Person(caller): Person,
    Id(name): Id<String>,
    Params(filter): Params<ReportFilter>,
) -> Result<Json<ReportBody>, Problem> {
    let no_such = || AppError::not_found("report", &name);
    let name: ReportName = name.parse().map_err(|_| no_such())?;
    let terms = filter.terms()?;
    let mut reports = api.broker.reports(&caller, &[name], &terms).await?;
    let report = reports.pop().ok_or_else(|| AppError::not_found("report", name))?;
    Ok(Json(ReportBody::new(report)))
}

impl ReportFilter {
    fn terms(self) -> Result<Terms, Problem> {
        let usual = Terms::default();
        let mut mistakes = Vec::new();
        let since = parse(self.since, || "since".to_owned(), &mut mistakes);
        let fast = parse(self.fast, || "fast".to_owned(), &mut mistakes);
        let share = self.share.unwrap_or(usual.share);
        if !(1..=100).contains(&share) {
            mistakes.push(Mistake::new("share", "use 1 to 100 percent"));
        }
        if self.least == Some(0) {
            mistakes.push(Mistake::new("least", "use 1 or more"));
        }
        if !mistakes.is_empty() {
            return Err(Problem::invalid(mistakes));
        }
        Ok(Terms {
            since: since.unwrap_or(usual.since),
            fast: fast.unwrap_or(usual.fast),
            share,
            least: self.least.map(u64::from),
        })
    }
}

impl HeadlineBody {
    fn new(report: Report) -> Self {
        Self {
            name: report.name.as_str(),
            about: report.name.about(),
            headline: report.headline,
            findings: report.findings.len() + report.left_out,
            attention: report.attention,
            note: report.note,
        }
    }
}

impl ReportBody {
    fn new(report: Report) -> Self {
        Self {
            name: report.name.as_str(),
            about: report.name.about(),
            headline: report.headline,
            since: report.since.map(time),
            at: time(report.at),
            items: report.findings.into_iter().map(FindingBody::new).collect(),
            left_out: report.left_out,
            attention: report.attention,
            note: report.note,
        }
    }
}

impl FindingBody {
    fn new(finding: Finding) -> Self {
        Self {
            about: finding.about,
            fact: finding.fact,
            since: finding.since.map(time),
            why: finding.why,
            advice: finding.advice,
            attention: finding.attention,
            figures: finding.figures,
        }
    }
}
