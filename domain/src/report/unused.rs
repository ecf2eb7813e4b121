//! Flows through which nobody asks.

use super::{Facts, Finding, Report, ReportName, count_of};

const WHY: &str = "a way to access that nobody needs is one that nobody watches";
const ADVICE: &str = "remove the flow, or its requesters who don't need it; leave it if it is newer \
                      than that";

/// Flows for emergencies are left out: that they are not used is good.
pub(super) fn report(facts: &Facts<'_>) -> Report {
    let flows = || facts.policies.flows.values().filter(|flow| flow.break_glass.is_none());
    let known = facts.records_begin.filter(|begin| *begin <= facts.since());
    if known.is_none() {
        let headline = "not known yet".to_owned();
        let mut report = facts.report(ReportName::Unused, Vec::new(), headline);
        let begin = facts.records_begin.map_or("now".to_owned(), |begin| begin.to_string());
        report.note = Some(format!(
            "the broker's records begin at {begin}: what was not used for {} cannot be told yet; ask \
             for a shorter time",
            facts.terms.since
        ));
        return report;
    }
    let unused = flows().filter(|flow| {
        let used = facts.usage.flows.get(&flow.name);
        used.is_none_or(|used| used.requests == 0 && !used.live)
    });
    let findings: Vec<Finding> = unused
        .map(|flow| {
            let fact = format!("nobody asked through it for {}, or longer", facts.terms.since);
            Finding::new(format!("flow {}", flow.name), fact, WHY, ADVICE)
                .since(Some(facts.since()))
        })
        .collect();
    let headline = format!(
        "{} of {} not used for {}",
        findings.len(),
        count_of(flows().count(), "flow"),
        facts.terms.since
    );
    facts.report(ReportName::Unused, findings, headline)
}
