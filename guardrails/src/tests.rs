//! Guardrails in examples.

use std::{collections::BTreeSet, path::Path};

use ebbgate_domain::{
    Timestamp,
    guardrail::{Forbidden, Guardrails as _, Stage, Wanted},
    inventory::{Resource, ResourceKind},
    principal::Principal,
};
use ebbgate_settings::Mistakes;
use rstest::rstest;

use super::*;

const RULES: &str = r#"
@id("pii-one-hour")
@advice("nobody gets full on personal data for more than an hour")
forbid (principal, action, resource)
when {
    context.permission == "full" && resource.hasTag("data") && resource.getTag("data") == "pii" &&
    context.duration > duration("1h")
};

@id("no-contractors")
forbid (principal in Ebbgate::Group::"contractors", action, resource)
unless { resource.integration == "sandbox" };

@id("security-sees-admin")
forbid (principal, action, resource)
when { context.permission == "admin" && context.stage != "submit" }
unless { context.approved_by.contains(Ebbgate::User::"carla@example.com") };
"#;

fn read(text: &str) -> (Reader, Vec<String>) {
    let mut mistakes = Mistakes::of(Path::new("rules.cedar"));
    let mut reader = Reader::default();
    reader.read(Path::new("rules.cedar"), text, &mut mistakes);
    (reader, mistakes.into_vec().iter().map(ToString::to_string).collect())
}

fn rules(text: &str) -> CedarGuardrails {
    let (reader, mistakes) = read(text);
    assert_eq!(mistakes, Vec::<String>::new());
    reader.finish().unwrap()
}

fn person(groups: &[&str]) -> Principal {
    serde_json::from_value(serde_json::json!({
        "id": "ana@example.com", "display_name": "Ana", "groups": groups, "disabled": false,
    }))
    .unwrap()
}

fn database(data: &str) -> Resource {
    serde_json::from_value(serde_json::json!({
        "id": "orders/postgres/shop", "integration": "orders", "kind": ResourceKind::Postgres,
        "native": "shop", "tags": {"data": data},
    }))
    .unwrap()
}

struct Ask {
    groups: &'static [&'static str],
    permission: &'static str,
    duration: &'static str,
    stage: Stage,
    approved_by: &'static [&'static str],
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            groups: &["data"],
            permission: "full",
            duration: "1h",
            stage: Stage::Submit,
            approved_by: &[],
        }
    }
}

fn ask(rules: &CedarGuardrails, ask: &Ask, data: &str) -> Option<Forbidden> {
    let approved_by: BTreeSet<_> =
        ask.approved_by.iter().map(|name| name.parse().unwrap()).collect();
    rules.forbids(&Wanted {
        stage: ask.stage,
        principal: &person(ask.groups),
        resource: &database(data),
        permission: &ask.permission.parse().unwrap(),
        flow: &"shop".parse().unwrap(),
        break_glass: false,
        duration: ask.duration.parse().unwrap(),
        reason: Some("look at order 17"),
        ticket: None,
        approved_by: &approved_by,
        now: Timestamp::from_second(1_800_000_000).unwrap(),
    })
}

fn who(forbidden: Option<Forbidden>) -> Option<String> {
    forbidden.map(|forbidden| forbidden.guardrail)
}

#[test]
fn what_no_guardrail_forbids_may_be() {
    assert_eq!(ask(&rules(RULES), &Ask::default(), "pii"), None);
    assert_eq!(ask(&rules(""), &Ask { duration: "31d", ..Ask::default() }, "pii"), None);
}

#[test]
fn a_refusal_names_the_guardrail_and_what_it_says() {
    let long = Ask { duration: "1h1s", ..Ask::default() };
    let forbidden = ask(&rules(RULES), &long, "pii").unwrap();
    assert_eq!(forbidden.guardrail, "pii-one-hour");
    assert!(forbidden.advice.unwrap().starts_with("nobody gets full"));
    assert_eq!(ask(&rules(RULES), &long, "public"), None);
}

#[test]
fn groups_are_known() {
    let contractor = Ask { groups: &["contractors", "data"], ..Ask::default() };
    assert_eq!(who(ask(&rules(RULES), &contractor, "x")).as_deref(), Some("no-contractors"));
}

#[test]
fn approvals_are_known_at_their_stage() {
    let admin =
        |stage, approved_by| Ask { permission: "admin", stage, approved_by, ..Ask::default() };
    let rules = rules(RULES);
    assert_eq!(ask(&rules, &admin(Stage::Submit, &[]), "x"), None);
    let alone = ask(&rules, &admin(Stage::Approve, &["ben@example.com"]), "x");
    assert_eq!(who(alone).as_deref(), Some("security-sees-admin"));
    let both: &[_] = &["ben@example.com", "carla@example.com"];
    assert_eq!(ask(&rules, &admin(Stage::Activate, both), "x"), None);
}

/// A tag that is not there is an error in Cedar, and Cedar passes over a policy with an error.
#[test]
fn a_guardrail_that_fails_forbids() {
    let overflow = r#"forbid (principal, action, resource)
        when { context.duration.toMilliseconds() * 9223372036854775807 == 0 };"#;
    assert_eq!(who(ask(&rules(overflow), &Ask::default(), "x")).as_deref(), Some(FAILED));
}

#[rstest]
#[case("permit (principal, action, resource);", "guardrails only forbid")]
#[case("forbid (principal, action, resource)\nwhen { context.nonsense == 1 };", "rules.cedar:2:8")]
#[case(
    "forbid (principal, action, resource)\nwhen { resource.getTag(\"data\") == \"pii\" };",
    "rules.cedar:2:8"
)]
#[case("forbid (principal, action, resource)\nwhen { context.permission == 1 };", "rules.cedar:2")]
#[case("forbid (principal, action, resource", "rules.cedar:1:")]
#[case("forbid (principal == ?principal, action, resource);", "no slots")]
#[case(
    "@id(\"a\") forbid (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);",
    "defined twice"
)]
fn mistakes_are_told_with_their_place(#[case] text: &str, #[case] message: &str) {
    let (_, mistakes) = read(text);
    assert!(mistakes.iter().any(|mistake| mistake.contains(message)), "{mistakes:?}");
}

/// The examples of the documentation.
#[test]
fn the_examples_are_without_mistakes_and_do_what_they_say() {
    let rules = rules(include_str!("../../docs/examples/guardrails/production.cedar"));
    assert_eq!(rules.count(), 3);
    let long = Ask { duration: "1h1s", ..Ask::default() };
    assert_eq!(who(ask(&rules, &long, "pii")).as_deref(), Some("pii-one-hour"));
    assert_eq!(ask(&rules, &Ask::default(), "pii"), None);
    let begin = |approved_by| Ask {
        permission: "admin",
        stage: Stage::Activate,
        approved_by,
        ..Ask::default()
    };
    let alone = ask(&rules, &begin(&["ben@example.com"]), "x");
    assert_eq!(who(alone).as_deref(), Some("security-agrees-to-admin"));
    assert_eq!(ask(&rules, &begin(&["carla@example.com"]), "x"), None);
}
