//! What is read, what is refused and what is warned of.

use std::collections::BTreeSet;

use ebbgate_domain::{
    flow::{Policies, ScopeRef},
    principal::Subject,
    tags::TagRule,
};
use ebbgate_settings::Mistake;
use rstest::rstest;

/// One scope and one flow; tests change a line.
const GOOD: &str = "\
kind: Scope
name: rds-prod
match:
  integration: [prod, dr]
  type: [postgres, mysql]
  name: [\"shop*\", billing]
  tags: {env: prod, tier: [gold, silver], data: {\"!=\": [pii]}, owner: {present: true}}
except: [{name: shop-tmp}, {tags: {frozen: {present: true}}}]
---
kind: AccessFlow
name: data-rds
requesters: [group:data, user:eve@example.com]
except: [group:contractors]
access:
  - {scope: rds-prod, permissions: [select]}
  - {integration: dr, scope: everything, permissions: [read-only]}
approval: automatic
duration: {default: 30m, max: 1h}
reviewed: {by: grace@example.com, on: 2026-09-30}
";

fn read(text: &str) -> (Policies, Vec<String>) {
    let integrations: BTreeSet<_> = ["prod", "dr"].map(|name| name.parse().unwrap()).into();
    let mut found: Vec<Mistake> = Vec::new();
    let policies =
        crate::read(&[("f.yaml".into(), text.to_owned())], Some(&integrations), &mut found);
    (policies, found.iter().map(ToString::to_string).collect())
}

#[test]
fn reads_scopes_and_flows() {
    let (policies, found) = read(GOOD);
    assert!(found.is_empty(), "{found:?}");
    let scope = policies.scopes.values().next().unwrap();
    assert_eq!(scope.selector.integrations.len(), 2);
    assert_eq!(scope.selector.kinds.len(), 2);
    assert_eq!(scope.selector.patterns, ["shop*", "billing"]);
    assert_eq!(scope.selector.tags.0["env"], TagRule::OneOf(vec!["prod".to_owned()]));
    assert_eq!(scope.selector.tags.0["data"], TagRule::NoneOf { values: vec!["pii".to_owned()] });
    assert_eq!(scope.selector.tags.0["owner"], TagRule::Present(true));
    assert_eq!(scope.except.len(), 2);
    let flow = policies.flows.values().next().unwrap();
    assert_eq!(flow.except, ["group:contractors".parse::<Subject>().unwrap()]);
    let everything = ScopeRef::Everything { everything: "dr".parse().unwrap() };
    assert_eq!(flow.access[1].scope, everything);
    assert_eq!(flow.reviewed.as_ref().unwrap().on.to_string(), "2026-09-30");
}

#[test]
fn a_text_from_before_is_read_as_it_was() {
    let (policies, found) = read(
        "kind: Scope\nname: old\nmatch: {integration: prod, type: s3, name: \"r*\", tags: {env: [a, b]}}\n",
    );
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(policies.scopes.len(), 1);
}

#[rstest]
#[case::no_scope(
    "{integration: dr, scope: everything, permissions: [read-only]}",
    "{integration: dr, permissions: [read-only]}",
    "f.yaml:16:5: without a scope this flow reaches all of dr: name a scope, or write `scope: everything` if that is meant"
)]
#[case::everything_of_nothing(
    "{integration: dr, scope: everything, permissions",
    "{scope: everything, permissions",
    "f.yaml:16:13: everything of which integration? Name it beside this"
)]
#[case::a_scope_has_its_own_integrations(
    "{scope: rds-prod,",
    "{integration: prod, scope: rds-prod,",
    "f.yaml:15:19: a scope says by itself which integrations it is about: leave this out"
)]
#[case::a_near_scope(
    "scope: rds-prod,",
    "scope: rds-prd,",
    "f.yaml:15:13: there is no scope 'rds-prd': did you mean 'rds-prod'?"
)]
#[case::a_near_permission(
    "[select]",
    "[selct]",
    "f.yaml:15:37: unknown permission 'selct': did you mean 'select'?"
)]
#[case::a_near_type(
    "[postgres, mysql]",
    "[postgers]",
    "f.yaml:5:10: unknown type 'postgers': did you mean 'postgres'?"
)]
#[case::a_near_integration(
    "integration: [prod, dr]",
    "integration: [prd, dr]",
    "f.yaml:4:17: there is no integration 'prd' in the settings: did you mean 'prod'?"
)]
#[case::a_reserved_name(
    "name: rds-prod\n",
    "name: everything\n",
    "f.yaml:2:7: 'everything' stands for a whole integration in flows: choose another name"
)]
#[case::an_empty_exception(
    "{name: shop-tmp}",
    "{}",
    "f.yaml:8:10: this takes everything out: say what to leave out"
)]
#[case::two_rules_for_a_tag(
    "{present: true}}\n",
    "{present: true, \"!=\": [x]}}\n",
    "f.yaml:7:71: write {\"!=\": [VALUE, …]} or {present: true|false}, one of them"
)]
#[case::everyone_is_excluded(
    "[group:contractors]",
    "[everyone]",
    "f.yaml:13:10: 'everyone' names nobody: write user:NAME or group:NAME"
)]
#[case::no_day(
    "on: 2026-09-30",
    "on: yesterday",
    "f.yaml:19:39: 'yesterday' is no day: write it like 2026-09-30"
)]
fn refuses(#[case] good: &str, #[case] bad: &str, #[case] mistake: &str) {
    assert!(GOOD.contains(good));
    let (_, found) = read(&GOOD.replacen(good, bad, 1));
    assert!(found.iter().any(|found| found.starts_with(mistake)), "{found:#?}");
}

#[test]
fn a_scope_of_everything_is_refused() {
    let (_, found) = read("kind: Scope\nname: all\nmatch: {}\n");
    assert!(found[0].starts_with("f.yaml:3:8: this selects every resource"), "{found:?}");
}

#[rstest]
#[case("everyone")]
#[case("group:everyone")]
fn a_flow_for_everybody_is_warned_of_and_read(#[case] whom: &str) {
    let (policies, found) = read(&GOOD.replacen("group:data", whom, 1));
    let [warning] = &found[..] else { panic!("{found:?}") };
    assert!(warning.starts_with("f.yaml:12:14: warning: this flow is for everybody"), "{warning}");
    assert_eq!(policies.flows.len(), 1);
}

#[test]
fn everybody_may_ask_through_a_flow_for_everyone() {
    let (policies, _) = read(&GOOD.replacen("group:data", "everyone", 1));
    let flow = policies.flows.values().next().unwrap();
    assert_eq!(flow.requesters[0], Subject::Everyone);
}
