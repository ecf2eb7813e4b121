//! Approvers who are named and are gone: people in flows and schedules, and owners of resources.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Facts, Finding, Report, ReportName, count_of,
    empty_groups::{approver_groups, approvers},
    some_of,
};
use crate::{approver::Approver, names::PrincipalId, principal::Subject};

const WHY: &str = "their say does not count: requests wait for fewer people, or for nobody";

/// Where people are named; the flows, schedules and resources of each kind of place.
type Named<'a> = BTreeMap<&'a PrincipalId, BTreeMap<&'static str, BTreeSet<String>>>;

pub(super) fn report(facts: &Facts<'_>) -> Report {
    let owners = owners(facts);
    let mut named = Named::new();
    let mut asks_owners = false;
    for flow in facts.policies.flows.values() {
        for approver in approver_groups(flow).flat_map(approvers) {
            match approver {
                Approver::Subject(Subject::User(user)) => {
                    note(&mut named, user, "approver in the flow", &flow.name);
                }
                Approver::Owner => asks_owners = true,
                _ => {}
            }
        }
    }
    for schedule in facts.people.schedules.values() {
        let to_come = schedule.overrides.iter().filter(|other| other.to > facts.now());
        let turns = schedule.rotation.people.iter().chain(to_come.map(|other| &other.person));
        for person in turns {
            note(&mut named, person, "takes turns in the schedule", &schedule.name);
        }
    }
    for (owner, resources) in owners.iter().filter(|_| asks_owners) {
        let places = named.entry(owner).or_default().entry("owner of").or_default();
        places.extend(resources.iter().cloned());
    }
    let all = named.len();
    let gone =
        named.into_iter().filter(|(person, _)| facts.people.directory.active(person).is_none());
    let everybody = facts.people.directory.all();
    let disabled: BTreeSet<_> =
        everybody.filter(|person| person.disabled).map(|person| &person.id).collect();
    let findings: Vec<Finding> = gone
        .map(|(person, places)| {
            let how = if disabled.contains(person) { "is disabled" } else { "is not known" };
            finding(person, how, &places, facts)
        })
        .collect();
    let headline = format!("{} of {} gone", findings.len(), count_of(all, "named approver"));
    facts.report(ReportName::DepartedApprovers, findings, headline)
}

fn finding(
    person: &PrincipalId,
    how: &str,
    places: &BTreeMap<&'static str, BTreeSet<String>>,
    facts: &Facts<'_>,
) -> Finding {
    let places: Vec<String> =
        places.iter().map(|(what, names)| format!("{what} {}", some_of(names))).collect();
    let mut fact = format!("{how}; {}", places.join("; "));
    if let Some(last) = facts.usage.people.get(person).and_then(|decided| decided.last) {
        fact.push_str(&format!("; decided last at {last}"));
    }
    let advice = "name somebody else, better a group of the identity provider";
    Finding::new(format!("user:{person}"), fact, WHY, advice)
}

fn note<'a>(
    named: &mut Named<'a>,
    person: &'a PrincipalId,
    what: &'static str,
    place: &impl ToString,
) {
    named.entry(person).or_default().entry(what).or_default().insert(place.to_string());
}

/// The people whom resources name as owners.
fn owners(facts: &Facts<'_>) -> BTreeMap<PrincipalId, BTreeSet<String>> {
    let mut owners: BTreeMap<PrincipalId, BTreeSet<String>> = BTreeMap::new();
    for resource in facts.inventory.iter() {
        if let Some(Subject::User(owner)) = resource.owner() {
            owners.entry(owner).or_default().insert(resource.id.to_string());
        }
    }
    owners
}
