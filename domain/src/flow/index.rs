//! Which flows name whom among their requesters, so that one request does not look at every flow.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use super::AccessFlow;
use crate::{
    names::FlowName,
    principal::{Principal, Subject},
};

/// The flows by requester. It belongs to the flows that it was first asked about: a copy of the
/// policies makes its own.
#[derive(Debug, Default)]
pub struct FlowIndex(OnceLock<BTreeMap<Subject, Vec<FlowName>>>);

impl FlowIndex {
    /// The flows that name this person, one of their groups, or everybody; each once, by name.
    pub(super) fn of(
        &self,
        flows: &BTreeMap<FlowName, AccessFlow>,
        person: &Principal,
    ) -> BTreeSet<&FlowName> {
        let by_requester = self.0.get_or_init(|| index(flows));
        let groups = person.groups.iter().cloned().map(Subject::Group);
        [Subject::User(person.id.clone()), Subject::Everyone]
            .into_iter()
            .chain(groups)
            .filter_map(|subject| by_requester.get(&subject))
            .flatten()
            .collect()
    }
}

fn index(flows: &BTreeMap<FlowName, AccessFlow>) -> BTreeMap<Subject, Vec<FlowName>> {
    let mut by_requester: BTreeMap<Subject, Vec<FlowName>> = BTreeMap::new();
    for flow in flows.values() {
        for subject in &flow.requesters {
            by_requester.entry(subject.clone()).or_default().push(flow.name.clone());
        }
    }
    by_requester
}

impl Clone for FlowIndex {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for FlowIndex {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for FlowIndex {}

#[cfg(test)]
mod tests {
    use super::super::{ApprovalPolicy, DurationRule, Policies};
    use super::*;
    use crate::principal::{Directory, tests::person};

    fn flow(name: &str, requesters: &[&str], except: &[&str]) -> AccessFlow {
        let subjects = |of: &[&str]| of.iter().map(|one| one.parse().unwrap()).collect();
        let hour: crate::duration::AccessDuration = "1h".parse().unwrap();
        AccessFlow {
            except: subjects(except),
            ..AccessFlow::new(
                name.parse().unwrap(),
                subjects(requesters),
                Vec::new(),
                ApprovalPolicy::Automatic,
                DurationRule::new(hour, hour),
            )
        }
    }

    #[test]
    fn finds_what_a_walk_over_all_finds() {
        let mut everyone = flow("e", &[], &["group:dba"]);
        everyone.requesters.push(Subject::Everyone);
        let flows = [
            flow("a", &["group:data", "user:ana@example.com"], &[]),
            flow("b", &["group:dba"], &["user:ben@example.com"]),
            flow("c", &["group:data"], &["group:dba"]),
            flow("d", &[], &[]),
            everyone,
        ];
        let policies = Policies {
            flows: flows.into_iter().map(|flow| (flow.name.clone(), flow)).collect(),
            ..Policies::default()
        };
        let mut left = person("leo", &["data"]);
        left.disabled = true;
        let directory = Directory::new([
            person("ana", &["data", "dba"]),
            person("ben", &["dba"]),
            person("eve", &[]),
            left,
        ]);
        for who in ["ana", "ben", "eve", "leo", "nobody"] {
            let id = format!("{who}@example.com").parse().unwrap();
            let walked: Vec<_> =
                policies.flows.values().filter(|flow| flow.admits(&id, &directory)).collect();
            assert_eq!(policies.admitting(&id, &directory), walked, "{who}");
        }
    }
}
