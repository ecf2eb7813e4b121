//! Approvers who decide in seconds, or in too many cases.

use super::{
    DEFAULT_LEAST_DECISIONS, Facts, Finding, Report, ReportName, count_of, lookback::in_words,
    quantile::quantile, usage::Decisions,
};
use crate::names::PrincipalId;

const FAST: &str = "an approval that nobody thinks about protects nothing";
const OFTEN: &str =
    "who decides on everything tires of it, and everything waits while they are away";

pub(super) fn report(facts: &Facts<'_>) -> Report {
    let mut findings = Vec::new();
    let (mut fast, mut often) = (0, 0);
    for (person, decisions) in &facts.usage.people {
        if let Some(finding) = too_fast(person, decisions, facts) {
            fast += 1;
            findings.push(finding);
        }
        if let Some(finding) = too_often(person, decisions, facts) {
            often += 1;
            findings.push(finding);
        }
    }
    let headline = format!(
        "{fast} of {} decide in seconds, {often} in too many cases",
        count_of(facts.usage.people.len(), "approver")
    );
    facts.report(ReportName::RubberStamps, findings, headline)
}

/// Denials are not counted: they need a word of explanation, and nobody gets access by a hasty one.
fn too_fast(person: &PrincipalId, decisions: &Decisions, facts: &Facts<'_>) -> Option<Finding> {
    let mut took = decisions.took.clone();
    let count = u64::try_from(took.len()).unwrap_or(u64::MAX);
    if count < facts.least(DEFAULT_LEAST_DECISIONS) {
        return None;
    }
    let median = quantile(&mut took, 50)?;
    if median >= u64::from(facts.terms.fast.seconds()) {
        return None;
    }
    let fact = format!(
        "approves within {} of being told at the median of {}",
        in_words(median),
        count_of(count, "approval")
    );
    let advice = "ask how they decide; let what is always approved go by itself (see the report \
                  ripe), or name others";
    let finding = Finding::new(format!("user:{person}"), fact, FAST, advice).since(decisions.first);
    Some(finding.figure("approvals", count).figure("median_seconds", median))
}

fn too_often(person: &PrincipalId, decisions: &Decisions, facts: &Facts<'_>) -> Option<Finding> {
    let (said, all) = (decisions.said, facts.usage.decided);
    if said < facts.least(DEFAULT_LEAST_DECISIONS) {
        return None;
    }
    let percent = said.saturating_mul(100).checked_div(all)?;
    if percent < u64::from(facts.terms.share) {
        return None;
    }
    let fact = format!("has a say in {said} of {}, {percent} %", count_of(all, "decision"));
    let advice = "name more approvers, take turns (on-call), or let small things go by themselves";
    let finding =
        Finding::new(format!("user:{person}"), fact, OFTEN, advice).since(decisions.first);
    Some(finding.figure("decisions", said).figure("share_percent", percent))
}
