//! What is doubtful about a flow's approvers as people are now: nothing is wrong in the text, but
//! requests would be refused, or wait for nobody.

use std::collections::{BTreeMap, BTreeSet};

use super::{AccessFlow, ApprovalPolicy, ApproverGroup, Voices};
use crate::{
    approver::Approver,
    names::{PrincipalId, ScheduleName},
    principal::{Directory, Subject},
    schedule::Schedule,
};

impl AccessFlow {
    /// What is doubtful about its approvers, one sentence each.
    pub fn doubts(
        &self,
        directory: &Directory,
        schedules: &BTreeMap<ScheduleName, Schedule>,
    ) -> Vec<String> {
        let policies = self.rules.iter().map(|rule| &rule.policy).chain([&self.approval]);
        let mut found = Vec::new();
        for policy in policies {
            let ApprovalPolicy::Groups { groups, .. } = policy else { continue };
            for group in groups {
                for doubt in doubts(self, group, directory, schedules) {
                    if !found.contains(&doubt) {
                        found.push(doubt);
                    }
                }
            }
        }
        found
    }
}

fn doubts(
    flow: &AccessFlow,
    group: &ApproverGroup,
    directory: &Directory,
    schedules: &BTreeMap<ScheduleName, Schedule>,
) -> Vec<String> {
    let name = &group.name;
    let all: Vec<&Approver> =
        group.of.iter().chain(group.escalate.iter().flat_map(|step| &step.to)).collect();
    let mut found = Vec::new();
    let mut people: BTreeSet<PrincipalId> = BTreeSet::new();
    for approver in &all {
        let meant = meant(approver, directory, schedules);
        if meant.is_empty() {
            match approver {
                Approver::Subject(Subject::User(user)) => {
                    found.push(format!("approvers '{name}': there is no active user {user}"));
                }
                Approver::Subject(_) => {
                    found.push(format!("approvers '{name}': nobody is in {approver}"));
                }
                Approver::OnCall(_) => {
                    found.push(format!("approvers '{name}': no active user is in {approver}"));
                }
                Approver::Manager | Approver::Owner => {}
            }
        }
        people.extend(meant);
    }
    // Who a request's manager or owner is, only the request tells.
    if all.iter().any(|approver| matches!(approver, Approver::Manager | Approver::Owner)) {
        return found;
    }
    let mut members = people.iter();
    match (members.next(), members.next()) {
        (None, _) => found.push(format!("approvers '{name}': nobody could approve")),
        (Some(only), None) if flow.admits(only, directory) => found.push(format!(
            "approvers '{name}': only {only} could approve, whose own requests are refused"
        )),
        _ => {}
    }
    if let Voices::AtLeast(count) = group.need
        && count as usize > people.len()
    {
        let have = people.len();
        found.push(format!("approvers '{name}': {count} must approve, and {have} could"));
    }
    found
}

fn meant(
    approver: &Approver,
    directory: &Directory,
    schedules: &BTreeMap<ScheduleName, Schedule>,
) -> BTreeSet<PrincipalId> {
    match approver {
        Approver::Subject(subject) => directory.members(subject).collect(),
        Approver::OnCall(schedule) => schedules
            .get(schedule)
            .into_iter()
            .flat_map(Schedule::people)
            .filter(|person| directory.active(person).is_some())
            .cloned()
            .collect(),
        Approver::Manager | Approver::Owner => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::{DurationRule, EscalationStep, Need};
    use super::*;
    use crate::principal::tests::person;

    #[rstest]
    #[case::fine(Voices::Any, &["group:dba"], None, &[])]
    #[case::unknown_group(Voices::Any, &["group:dba", "group:dbas"], None, &["nobody is in group:dbas"])]
    #[case::unknown_person(Voices::Any, &["group:dba", "user:zoe@example.com"], None, &["there is no active user zoe@example.com"])]
    #[case::empty(Voices::Any, &["group:empty"], None, &["nobody is in group:empty", "nobody could approve"])]
    #[case::a_step_helps(Voices::Any, &["group:empty"], Some("group:dba"), &["nobody is in group:empty"])]
    #[case::too_many(Voices::AtLeast(3), &["group:dba"], None, &["3 must approve, and 2 could"])]
    #[case::only_oneself(Voices::Any, &["user:ana@example.com"], None, &["only ana@example.com could approve"])]
    #[case::a_manager_may_be_anybody(Voices::AtLeast(3), &["manager", "owner"], None, &[])]
    #[case::no_such_schedule(Voices::Any, &["on-call:night", "group:dba"], None, &["no active user is in on-call:night"])]
    fn tells(
        #[case] need: Voices,
        #[case] of: &[&str],
        #[case] step: Option<&str>,
        #[case] expected: &[&str],
    ) {
        let parsed = |of: &[&str]| of.iter().map(|one| one.parse().unwrap()).collect::<Vec<_>>();
        let mut group = ApproverGroup::new("G", need, parsed(of));
        group.escalate = step
            .map(|to| EscalationStep { after: "5m".parse().unwrap(), to: parsed(&[to]) })
            .into_iter()
            .collect();
        let hour: crate::duration::AccessDuration = "1h".parse().unwrap();
        let flow = AccessFlow::new(
            "x".parse().unwrap(),
            vec!["group:data".parse().unwrap()],
            Vec::new(),
            ApprovalPolicy::groups(Need::All, vec![group], hour),
            DurationRule::new(hour, hour),
        );
        let directory = Directory::new([
            person("ana", &["data"]),
            person("ben", &["dba"]),
            person("bea", &["dba"]),
        ]);
        let found = flow.doubts(&directory, &BTreeMap::new());
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (doubt, part) in found.iter().zip(expected) {
            assert!(doubt.contains(part), "{doubt}");
        }
    }
}
