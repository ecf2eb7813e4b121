//! How long decisions take, flow by flow.

use super::{
    Facts, Finding, Report, ReportName, count_of, counted, lookback::in_words, quantile::quantile,
    usage::FlowUse,
};
use crate::names::FlowName;

/// Whoever waits longer than this for one decision of ten waits too long: 4 hours, in seconds.
const SLOW: u64 = 4 * 3_600;
/// One request of so many that nobody decides is one too many.
const LAPSED: u64 = 10;

const WHY: &str = "who waits long looks for a way around, or asks for more than they need";

/// Those that nobody decided are told of beside: they would make the times look better than they are.
pub(super) fn report(facts: &Facts<'_>) -> Report {
    let mut findings = Vec::new();
    let mut all = Vec::new();
    for name in facts.policies.flows.keys() {
        let Some(used) = facts.usage.flows.get(name) else { continue };
        all.extend_from_slice(&used.waits);
        findings.extend(finding(name, used));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.figures.get("p90_seconds").copied()));
    let headline = match (quantile(&mut all, 50), quantile(&mut all, 90)) {
        (Some(p50), Some(p90)) => format!(
            "{} taken within {} (p50), {} (p90)",
            count_of(all.len(), "decision"),
            in_words(p50),
            in_words(p90)
        ),
        _ => "no decisions".to_owned(),
    };
    facts.report(ReportName::DecisionTimes, findings, headline)
}

fn finding(name: &FlowName, used: &FlowUse) -> Option<Finding> {
    let mut waits = used.waits.clone();
    let decided = u64::try_from(waits.len()).unwrap_or(u64::MAX);
    if decided + used.lapsed == 0 {
        return None;
    }
    let mut fact = String::new();
    let mut finding = Finding::new(format!("flow {name}"), "", WHY, "")
        .since(used.first_decided.or(used.first_no))
        .figure("decisions", decided)
        .figure("lapsed", used.lapsed);
    let mut slow = used.lapsed * LAPSED >= decided + used.lapsed && used.lapsed > 0;
    if let (Some(p50), Some(p90)) = (quantile(&mut waits, 50), quantile(&mut waits, 90)) {
        fact = format!(
            "{} taken within {} (p50), {} (p90)",
            count_of(decided, "decision"),
            in_words(p50),
            in_words(p90)
        );
        finding = finding.figure("p50_seconds", p50).figure("p90_seconds", p90);
        slow |= p90 > SLOW;
    }
    if used.lapsed > 0 {
        let stop = if fact.is_empty() { "" } else { "; " };
        let wishes = counted(used.lapsed, "wish", "wishes");
        fact.push_str(&format!("{stop}{wishes} not decided in time"));
    }
    finding.fact = fact;
    finding.attention = slow;
    finding.advice = if slow {
        "name more approvers, add a step of escalation, or let short access go by itself".to_owned()
    } else {
        "nothing to do".to_owned()
    };
    Some(finding)
}
