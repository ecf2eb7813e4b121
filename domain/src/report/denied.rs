//! What rules and approvers said no to, and what nobody decided.

use super::{
    DEFAULT_LEAST_DECISIONS, Facts, Finding, Report, ReportName, counted,
    refusals::{Refused, Rule},
    some_of,
    usage::FlowUse,
};
use crate::names::FlowName;

const RULE: &str = "a rule that stops many is either wrong or not known to them";
const PEOPLE: &str = "a flow whose requests are often denied invites the wrong people or wishes";

pub(super) fn report(facts: &Facts<'_>) -> Report {
    let mut rules: Vec<_> = facts.refusals.by_rule.iter().collect();
    rules.sort_by_key(|(_, refused)| std::cmp::Reverse(refused.count));
    let mut findings: Vec<Finding> =
        rules.into_iter().map(|(rule, refused)| by_rule(rule, refused, facts)).collect();
    let mut flows: Vec<_> =
        facts.usage.flows.iter().filter(|(_, used)| used.denied + used.lapsed > 0).collect();
    flows.sort_by_key(|(_, used)| std::cmp::Reverse(used.denied + used.lapsed));
    let denied: u64 = flows.iter().map(|(_, used)| used.denied).sum();
    let lapsed: u64 = flows.iter().map(|(_, used)| used.lapsed).sum();
    findings.extend(flows.into_iter().map(|(name, used)| by_people(name, used, facts)));
    let headline = format!(
        "{} refused by rules, {denied} denied by approvers, {lapsed} decided by nobody",
        facts.refusals.count()
    );
    facts.report(ReportName::Denied, findings, headline)
}

fn by_rule(rule: &Rule, refused: &Refused, facts: &Facts<'_>) -> Finding {
    let about = match &rule.guardrail {
        Some(guardrail) => format!("guardrail {guardrail}"),
        None => format!("rule {}", rule.code),
    };
    let people = u64::try_from(refused.people.len()).unwrap_or(u64::MAX);
    let mut fact = format!(
        "refused {} of {}",
        counted(refused.count, "wish", "wishes"),
        counted(people, "person", "people")
    );
    if !refused.flows.is_empty() {
        let mut flows: Vec<_> = refused.flows.iter().collect();
        flows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let flows = flows.into_iter().map(|(flow, count)| format!("{flow} ({count})"));
        fact.push_str(&format!("; through {}", some_of(flows)));
    }
    // These two say that something is out of order, however seldom.
    let broken = matches!(rule.code.as_str(), "approval_unsatisfiable" | "review_overdue");
    Finding::new(about, fact, RULE, advice(rule))
        .since(refused.first)
        .attention(broken || refused.count >= facts.least(DEFAULT_LEAST_DECISIONS))
        .figure("refused", refused.count)
        .figure("people", people)
}

fn by_people(name: &FlowName, used: &FlowUse, facts: &Facts<'_>) -> Finding {
    let asked = used.approved + used.denied + used.lapsed;
    let no = used.denied + used.lapsed;
    let fact = format!(
        "of {asked} that people were to decide, {} denied, {} decided by nobody",
        used.denied, used.lapsed
    );
    let advice = "read the comments of the denials (`ebb requests show`); narrow who may ask, or name \
                  more approvers";
    Finding::new(format!("flow {name}"), fact, PEOPLE, advice)
        .since(used.first_no)
        .attention(no >= facts.least(DEFAULT_LEAST_DECISIONS) && no * 4 >= asked)
        .figure("decidable", asked)
        .figure("denied", used.denied)
        .figure("lapsed", used.lapsed)
}

fn advice(rule: &Rule) -> String {
    if rule.guardrail.is_some() {
        return "see whether it stops what it should; if it stops everyday work, ask who wrote it"
            .to_owned();
    }
    match rule.code.as_str() {
        "not_a_requester" | "resource_out_of_scope" | "permission_not_offered" => {
            "see whether a flow is missing: ebb explain RESOURCE --user NAME".to_owned()
        }
        "duration_too_long" | "extension_too_long" => {
            "see whether the flow's maximum fits the work".to_owned()
        }
        "reason_required" | "reason_too_short" | "ticket_required" | "ticket_mismatch" => {
            "tell its requesters what must be said, or ask for less".to_owned()
        }
        "approval_unsatisfiable" => {
            "name more approvers: see the reports empty-groups and departed-approvers".to_owned()
        }
        "review_overdue" => "have the review written: ebb reviews".to_owned(),
        code => format!("see docs/errors/{code}.md"),
    }
}
