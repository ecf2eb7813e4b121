//! Flows that nobody has reviewed for long.

use jiff::{Timestamp, tz::TimeZone};

use super::{Facts, Finding, Report, ReportName, count_of};
use crate::flow::AccessFlow;

const WHY: &str =
    "teams, resources and approvers change; what was right once may give too much now";
const ADVICE: &str = "look at who may ask, for what, with whose approval; then write \
                      `reviewed: {by: YOU, on: TODAY}` into the flow";

pub(super) fn report(facts: &Facts<'_>) -> Report {
    let mut findings: Vec<Finding> =
        facts.policies.flows.values().filter_map(|flow| finding(flow, facts)).collect();
    // Those that nobody ever looked at first, then by how long ago that was.
    findings.sort_by_key(|finding| finding.since);
    let headline = format!(
        "{} of {} not reviewed for {}",
        findings.len(),
        count_of(facts.policies.flows.len(), "flow"),
        facts.terms.since
    );
    facts.report(ReportName::Review, findings, headline)
}

fn finding(flow: &AccessFlow, facts: &Facts<'_>) -> Option<Finding> {
    let about = format!("flow {}", flow.name);
    let Some(reviewed) = &flow.reviewed else {
        return Some(Finding::new(about, "was never reviewed", WHY, ADVICE));
    };
    let (by, on) = (&reviewed.by, reviewed.on);
    let day = on.to_zoned(TimeZone::UTC).map_or(Timestamp::MIN, |day| day.timestamp());
    // Somebody east of here may have written it today, on their tomorrow.
    let ahead = day.duration_since(facts.now()).as_hours() >= 24;
    if ahead {
        let fact = format!("its review by {by} is dated {on}, which is still ahead");
        return Some(Finding::new(about, fact, WHY, "correct the date of `reviewed`"));
    }
    let stale = day <= facts.since();
    let fact = format!("was reviewed last on {on}, by {by}");
    stale.then(|| Finding::new(about, fact, WHY, ADVICE).since(Some(day)))
}
