//! Flows that could approve by themselves: people have always said yes.

use super::{
    DEFAULT_LEAST_APPROVALS, Facts, Finding, Report, ReportName, count_of, quantile::quantile,
};
use crate::{
    duration::AccessDuration,
    flow::{AccessFlow, ApprovalPolicy},
};

const WHY: &str = "an approval that is always given costs time and trains people not to look";

pub(super) fn report(facts: &Facts<'_>) -> Report {
    let flows =
        || {
            facts.policies.flows.values().filter(|flow| {
                flow.break_glass.is_none() && flow.approval != ApprovalPolicy::Automatic
            })
        };
    let findings: Vec<Finding> = flows().filter_map(|flow| finding(flow, facts)).collect();
    let headline = format!(
        "{} of {} with approvers ripe for automatic approval",
        findings.len(),
        count_of(flows().count(), "flow")
    );
    facts.report(ReportName::Ripe, findings, headline)
}

fn finding(flow: &AccessFlow, facts: &Facts<'_>) -> Option<Finding> {
    let used = facts.usage.flows.get(&flow.name)?;
    let mut asked = used.asked.clone();
    let approved = u64::try_from(asked.len()).unwrap_or(u64::MAX);
    if used.denied + used.lapsed > 0 || approved < facts.least(DEFAULT_LEAST_APPROVALS) {
        return None;
    }
    let usual = quantile(&mut asked, 90)?;
    let up_to = AccessDuration::from_seconds(u32::try_from(usual).ok()?)?;
    let fact = format!("all of {} were approved, none denied", count_of(approved, "request"));
    let advice = format!(
        "if the data allows it, put before its other rules: {{when: {{duration_at_most: {up_to}}}, \
         approval: automatic}}; nine of ten asked for no more than {up_to}"
    );
    let finding = Finding::new(format!("flow {}", flow.name), fact, WHY, advice);
    Some(
        finding
            .since(used.first_decided)
            .figure("approvals", approved)
            .figure("up_to_seconds", usual),
    )
}
