//! Approval and schedules as they are written.

use ebbgate_domain::{
    flow::{AccessFlow, ApprovalPolicy, Need, Policies, Voices},
    schedule::Turn,
};
use ebbgate_settings::Mistake;
use rstest::rstest;

const SCHEDULE: &str = "\
kind: Schedule
name: dba
zone: Europe/Berlin
rotation: {every: week, handover: mon 09:00, starts: 2026-11-23, people: [maria@example.com, joao@example.com]}
overrides:
  - {person: ana@example.com, from: 2026-12-24 09:00, to: 2026-12-27T08:00:00Z}
---
";

/// A flow whose approval is this.
fn flow(approval: &str) -> String {
    format!(
        "{SCHEDULE}kind: AccessFlow\nname: x\nrequesters: [group:data]\n\
         access: [{{integration: prod, scope: everything, permissions: [select]}}]\n\
         duration: {{default: 1h, max: 8h}}\napproval: {approval}\n"
    )
}

fn read(text: &str) -> (Policies, Vec<String>) {
    let mut found: Vec<Mistake> = Vec::new();
    let policies = crate::read(&[("f.yaml".into(), text.to_owned())], None, &mut found);
    (policies, found.iter().map(ToString::to_string).collect())
}

fn good(approval: &str) -> AccessFlow {
    let (policies, found) = read(&flow(approval));
    assert!(found.is_empty(), "{found:?}");
    policies.flows.into_values().next().unwrap()
}

#[test]
fn groups_with_everything() {
    let flow = good(
        "{between: any, distinct: false, claim: 30m, request_timeout: 4h, groups: [
          {name: DBAs, need: 2, deny: all, of: ['group:dba', 'on-call:dba', manager, owner],
           escalate: [{after: 15m, to: 'group:leads'}, {after: 1h, to: ['user:cto@example.com']}]}]}",
    );
    let ApprovalPolicy::Groups { between, groups, request_timeout, distinct, claim } =
        &flow.approval
    else {
        panic!("{:?}", flow.approval)
    };
    assert_eq!((*between, *distinct), (Need::Any, false));
    assert_eq!(
        (request_timeout.to_string(), claim.to_string()),
        ("4h".to_owned(), "30m".to_owned())
    );
    let group = &groups[0];
    assert_eq!((group.need, group.deny), (Voices::AtLeast(2), Need::All));
    assert_eq!(format!("{:?}", group.of), "[group:dba, on-call:dba, manager, owner]");
    assert_eq!(format!("{:?}", group.escalate[1].to), "[user:cto@example.com]");
    assert_eq!(group.escalate[0].after.to_string(), "15m");
}

#[test]
fn rules_in_their_order() {
    let flow = good(
        "{rules: [
          {when: {duration_at_most: 1h, tags: {data: {'!=': [pii]}}}, approval: automatic},
          {when: {permissions: select, outside_hours: {days: [fri-mon, wed], from: '22:00', to: '06:00', zone: UTC}},
           approval: {groups: [{name: On call, of: 'on-call:dba'}]}},
          {approval: {groups: [{name: DBAs, of: 'group:dba'}]}}]}",
    );
    assert_eq!(flow.rules.len(), 2);
    assert_eq!(flow.rules[0].policy, ApprovalPolicy::Automatic);
    let hours = flow.rules[1].when.outside_hours.as_ref().unwrap();
    assert_eq!(hours.to_string(), "mon,wed,fri,sat,sun 22:00-06:00 UTC");
    assert!(matches!(flow.approval, ApprovalPolicy::Groups { .. }));
}

#[test]
fn a_schedule() {
    let (policies, found) = read(SCHEDULE);
    assert!(found.is_empty(), "{found:?}");
    let schedule = &policies.schedules[&"dba".parse().unwrap()];
    assert!(matches!(schedule.rotation.every, Turn::Week { .. }));
    let on_call = |at: &str| schedule.on_call(at.parse().unwrap()).unwrap().as_str().to_owned();
    assert_eq!(on_call("2026-11-23T08:00:00Z"), "maria@example.com");
    assert_eq!(on_call("2026-11-30T08:00:00Z"), "joao@example.com");
    assert_eq!(on_call("2026-12-24T08:00:00Z"), "ana@example.com", "09:00 in Berlin");
    assert_eq!(on_call("2026-12-27T08:00:00Z"), "maria@example.com");
}

#[rstest]
#[case::no_rules("{rules: []}", "no rules: write at least one")]
#[case::the_last_has_a_condition(
    "{rules: [{when: {duration_over: 1h}, approval: automatic}]}",
    "the last rule must hold always"
)]
#[case::an_earlier_has_none(
    "{rules: [{approval: automatic}, {approval: automatic}]}",
    "those after it never do"
)]
#[case::an_empty_condition(
    "{rules: [{when: {}, approval: automatic}, {approval: automatic}]}",
    "those after it never do"
)]
#[case::rules_and_groups("{rules: [{approval: automatic}], groups: []}", "unknown key 'groups'")]
#[case::rules_in_rules("{rules: [{approval: {rules: []}}]}", "unknown key 'rules'")]
#[case::unknown_condition(
    "{rules: [{when: {duration_below: 1h}, approval: automatic}, {approval: automatic}]}",
    "unknown key 'duration_below'"
)]
#[case::no_zone(
    "{rules: [{when: {hours: {days: mon, from: '09:00', to: '17:00', zone: Berlin}}, approval: automatic}, {approval: automatic}]}",
    "'Berlin' is not a time zone: use an IANA name"
)]
#[case::no_day(
    "{rules: [{when: {hours: {days: monday, from: '09:00', to: '17:00', zone: UTC}}, approval: automatic}, {approval: automatic}]}",
    "'monday' is not a day"
)]
#[case::no_time(
    "{rules: [{when: {hours: {days: mon, from: 9am, to: '17:00', zone: UTC}}, approval: automatic}, {approval: automatic}]}",
    "'9am' is not a time of day"
)]
#[case::zero(
    "{groups: [{name: a, need: 0, of: 'group:dba'}]}",
    "'0' is neither 'any' nor 'all' nor a number"
)]
#[case::more_than_there_are(
    "{groups: [{name: a, need: 3, of: ['user:ana@example.com', 'user:bo@example.com']}]}",
    "3 approvals are needed and 2 people are listed"
)]
#[case::twice_the_same(
    "{groups: [{name: a, need: 2, of: ['user:ana@example.com', 'user:ana@example.com']}]}",
    "2 approvals are needed and 1 people are listed"
)]
#[case::nobody("{groups: [{name: a, of: []}]}", "the group has no members")]
#[case::no_groups("{groups: []}", "nobody could approve")]
#[case::everybody("{groups: [{name: a, of: everyone}]}", "'everyone' names no approver")]
#[case::a_step_to_nobody(
    "{groups: [{name: a, of: manager, escalate: [{after: 5m, to: []}]}]}",
    "the step asks nobody"
)]
#[case::a_step_at_once(
    "{groups: [{name: a, of: manager, escalate: [{after: 0m, to: owner}]}]}",
    "'0m' is not a duration"
)]
#[case::a_step_too_late(
    "{groups: [{name: a, of: manager, escalate: [{after: 32d, to: owner}]}]}",
    "'32d' is not a duration"
)]
#[case::a_negative_claim(
    "{claim: -5m, groups: [{name: a, of: manager}]}",
    "'-5m' is not a duration"
)]
#[case::one_name_twice(
    "{groups: [{name: a, of: manager}, {name: a, of: owner}]}",
    "two groups are called 'a'"
)]
#[case::unknown_schedule(
    "{groups: [{name: a, of: 'on-call:dbas'}]}",
    "there is no schedule 'dbas': did you mean 'dba'?"
)]
#[case::deny(
    "{groups: [{name: a, of: manager, deny: never}]}",
    "'never' is neither 'any' nor 'all'"
)]
#[case::a_word("manual", "write 'automatic' or a map")]
fn mistakes(#[case] approval: &str, #[case] message: &str) {
    let (_, found) = read(&flow(approval));
    assert!(found.iter().any(|found| found.contains(message)), "{found:?}");
    assert!(found.iter().all(|found| found.starts_with("f.yaml:")), "{found:?}");
}

#[rstest]
#[case("mon 09:00", "09:00", "'09:00' is no handover")]
#[case("every: week", "every: month", "'month' is neither 'day' nor 'week'")]
#[case("every: week", "every: day", "write 09:00 by day")]
#[case("mon 09:00", "mon 24:00", "is no handover")]
#[case("2026-11-23", "November", "write a day like")]
#[case("[maria@example.com, joao@example.com]", "[]", "nobody takes turns")]
#[case("2026-12-24 09:00", "2026-12-28 09:00", "it ends before it begins")]
#[case("2026-12-24 09:00", "Christmas", "'Christmas' is not a moment")]
fn mistakes_in_schedules(#[case] good: &str, #[case] bad: &str, #[case] message: &str) {
    assert!(SCHEDULE.contains(good));
    let (_, found) = read(&SCHEDULE.replacen(good, bad, 1));
    assert!(found.iter().any(|found| found.contains(message)), "{found:?}");
}
