//! Groups that flows and settings name and that have no members; and approver groups of a flow in
//! which nobody could ever decide.

use std::collections::{BTreeMap, BTreeSet};

use super::{Facts, Finding, Report, ReportName, count_of, some_of};
use crate::{
    approver::Approver,
    flow::{AccessFlow, ApprovalPolicy, ApproverGroup, Recipient},
    names::GroupName,
    principal::Subject,
};

const TYPO: &str = "either the name is a slip, or nobody is left where somebody should be";
const NOBODY: &str = "requests that need this group are refused or lapse";

/// What groups are named for, each with the places where.
type Named<'a> = BTreeMap<&'a GroupName, BTreeMap<&'static str, BTreeSet<String>>>;

pub(super) fn report(facts: &Facts<'_>) -> Report {
    let mut named = Named::new();
    for (role, subjects) in facts.roles {
        note(&mut named, "role", (*role).to_owned(), subjects.iter());
    }
    for flow in facts.policies.flows.values() {
        in_flow(flow, &mut named);
    }
    let all = named.len();
    let mut findings: Vec<Finding> = named
        .into_iter()
        .filter(|(group, _)| !has_members(&Subject::Group((*group).clone()), facts))
        .map(|(group, places)| finding(group, &places))
        .collect();
    let groups = findings.len();
    for flow in facts.policies.flows.values() {
        let dead = approver_groups(flow).filter(|group| is_dead(group, facts));
        let names: BTreeSet<&str> = dead.map(|group| group.name.as_str()).collect();
        findings.extend(names.into_iter().map(|name| {
            let about = format!("flow {}", flow.name);
            let fact = format!("nobody who may act is among its approvers '{name}'");
            Finding::new(about, fact, NOBODY, "name approvers who are there, better a group")
        }));
    }
    let headline = format!("{groups} of {} named without members", count_of(all, "group"));
    facts.report(ReportName::EmptyGroups, findings, headline)
}

fn finding(group: &GroupName, places: &BTreeMap<&'static str, BTreeSet<String>>) -> Finding {
    let places: Vec<String> =
        places.iter().map(|(what, flows)| format!("{what} of {}", some_of(flows))).collect();
    let fact = format!("has no members; {}", places.join("; "));
    let advice = "correct the name, put people into the group, or take it out of the flows";
    Finding::new(format!("group:{group}"), fact, TYPO, advice)
}

fn in_flow<'a>(flow: &'a AccessFlow, named: &mut Named<'a>) {
    let place = || flow.name.to_string();
    note(named, "requesters", place(), &flow.requesters);
    note(named, "exceptions", place(), &flow.except);
    for group in approver_groups(flow) {
        for approver in approvers(group) {
            if let Approver::Subject(subject) = approver {
                note(named, "approvers", place(), [subject]);
            }
        }
    }
    let emergency = flow.break_glass.iter().flat_map(|emergency| &emergency.notify);
    for recipient in flow.notify.iter().chain(emergency) {
        if let Recipient::Group(group) = recipient {
            named.entry(group).or_default().entry("those told").or_default().insert(place());
        }
    }
}

fn note<'a>(
    named: &mut Named<'a>,
    what: &'static str,
    place: String,
    subjects: impl IntoIterator<Item = &'a Subject>,
) {
    for subject in subjects {
        if let Subject::Group(group) = subject {
            let places = named.entry(group).or_default().entry(what).or_default();
            places.insert(place.clone());
        }
    }
}

/// Whether nobody who is named could ever decide. One with an empty group is told of by that.
fn is_dead(group: &ApproverGroup, facts: &Facts<'_>) -> bool {
    approvers(group).all(|approver| match approver {
        Approver::Subject(Subject::Group(_)) | Approver::Manager | Approver::Owner => false,
        Approver::Subject(subject) => !has_members(subject, facts),
        Approver::OnCall(schedule) => {
            let schedule = facts.people.schedules.get(schedule);
            let mut people = schedule.into_iter().flat_map(|schedule| schedule.people());
            !people.any(|person| facts.people.directory.active(person).is_some())
        }
    })
}

fn has_members(subject: &Subject, facts: &Facts<'_>) -> bool {
    facts.people.directory.members(subject).next().is_some()
}

/// The approver groups of all rules of a flow.
pub(super) fn approver_groups(flow: &AccessFlow) -> impl Iterator<Item = &ApproverGroup> {
    let policies = flow.rules.iter().map(|rule| &rule.policy).chain([&flow.approval]);
    policies.flat_map(|policy| match policy {
        ApprovalPolicy::Groups { groups, .. } => groups.as_slice(),
        ApprovalPolicy::Automatic => &[],
    })
}

/// Everybody whom a group names, in all its steps.
pub(super) fn approvers(group: &ApproverGroup) -> impl Iterator<Item = &Approver> {
    group.of.iter().chain(group.escalate.iter().flat_map(|step| &step.to))
}
