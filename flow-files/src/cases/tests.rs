//! What cases find out, and how they say it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use ebbgate_domain::flow::Policies;
use rstest::rstest;

const FLOWS: &str = "\
kind: Scope
name: pii
match: {integration: prod, tags: {data: pii}}
---
kind: AccessFlow
name: data-pii
requesters: [group:data]
access: [{scope: pii, permissions: [select]}]
approval:
  groups:
    - {name: DBAs, of: [group:dba]}
    - {name: Security, of: [group:security]}
duration: {default: 30m, max: 1h}
";

const WORLD: &str = "\
people:
  - {id: ana@example.com, groups: [data]}
  - {id: maria@example.com, groups: [dba]}
  - {id: joao@example.com, groups: [dba]}
  - {id: carlos@example.com, groups: [security]}
resources:
  - {integration: prod, type: postgres, name: shop, tags: {data: pii}}
cases:
";

fn policies() -> Policies {
    let mut found = Vec::new();
    let policies = crate::read(&[("f.yaml".into(), FLOWS.to_owned())], None, &mut found);
    assert!(found.is_empty(), "{found:?}");
    policies
}

/// A case of Ana's with these keys, run; the mistakes where it can't be read.
fn run(keys: &str) -> Result<Option<String>, Vec<String>> {
    run_in(WORLD, keys)
}

fn run_in(world: &str, keys: &str) -> Result<Option<String>, Vec<String>> {
    let case = format!("{world}  - {{name: x, user: ana@example.com, resource: shop, {keys}}}\n");
    let mut found = Vec::new();
    let file = super::read(Path::new("x.test.yaml"), &case, &mut found);
    let Some(file) = file else {
        return Err(found.iter().map(ToString::to_string).collect());
    };
    Ok(super::run(&file, &policies()).remove(0).failure)
}

#[rstest]
#[case::waits(
    "expect: pending, approvers: [maria@example.com, joao@example.com, carlos@example.com], duration: 30m, grants: 1"
)]
#[case::half("approve: [maria@example.com], expect: pending")]
#[case::both("approve: [joao@example.com, carlos@example.com], expect: approved")]
#[case::denied("approve: [maria@example.com], deny: [carlos@example.com], expect: denied")]
#[case::refused("for: 2h, expect: refused, code: duration_too_long")]
#[case::no_say("approve: [ana@example.com], expect: refused, code: own_request")]
fn holds(#[case] keys: &str) {
    assert_eq!(run(keys), Ok(None));
}

#[rstest]
#[case(
    "expect: approved",
    "expected approved, but it is pending through data-pii: it waits for carlos@example.com, joao@example.com, maria@example.com"
)]
#[case(
    "for: 2h, expect: pending",
    "expected pending, but it is refused: 2h is longer than this flow's maximum of 1h (duration_too_long)"
)]
#[case(
    "for: 2h, expect: refused, code: not_a_requester",
    "expected the code not_a_requester, but it is duration_too_long"
)]
#[case(
    "expect: pending, approvers: [maria@example.com]",
    "expected the approvers maria@example.com, but they are carlos@example.com, joao@example.com, maria@example.com"
)]
#[case("expect: pending, duration: 1h", "expected the duration 1h, but it is 30m")]
#[case("flow: data-pi, expect: pending", "there is no flow 'data-pi': did you mean 'data-pii'?")]
fn fails(#[case] keys: &str, #[case] failure: &str) {
    assert_eq!(run(keys), Ok(Some(failure.to_owned())));
}

/// Who is away has a substitute, who is asked for as long as that holds.
#[rstest]
#[case(
    "expect: pending, approvers: [maria@example.com, joao@example.com, carlos@example.com, ana2@example.com]",
    None
)]
#[case("approve: [ana2@example.com, joao@example.com], expect: approved", None)]
#[case(
    "at: 2026-01-08T00:00:00Z, approve: [ana2@example.com], expect: refused, code: not_an_approver",
    None
)]
#[case("approve: [ana2@example.com], expect: approved", Some("it is pending"))]
fn a_substitute_speaks(#[case] keys: &str, #[case] failure: Option<&str>) {
    let more = "delegations: [{from: carlos@example.com, to: ana2@example.com, \
                since: 2026-01-01T00:00:00Z, until: 2026-01-08T00:00:00Z}]\npeople:\n  \
                - {id: ana2@example.com, groups: [finance]}";
    let found = run_in(&WORLD.replacen("people:", more, 1), keys).unwrap();
    assert_eq!(found.is_some(), failure.is_some(), "{found:?}");
    assert!(failure.is_none_or(|why| found.unwrap().contains(why)));
}

#[rstest]
#[case(
    "from: carlos@example.com, to: carlos@example.com",
    "2026-01-02",
    "x.test.yaml:9:5: this delegation cannot be: "
)]
#[case(
    "from: carlos@example.com, to: maria@example.com",
    "2026-09-01",
    "x.test.yaml:9:5: this delegation cannot be: "
)]
#[case("from: carlo@example.com, to: maria@example.com", "2026-01-02", "did you mean 'carlos@")]
fn a_substitution_that_the_broker_would_refuse_is_a_mistake(
    #[case] who: &str,
    #[case] until: &str,
    #[case] told: &str,
) {
    let more = format!(
        "delegations:\n  - {{{who}, since: 2026-01-01T00:00:00Z, until: {until}T00:00:00Z}}\ncases:"
    );
    let world = WORLD.replacen("cases:", &more, 1);
    let found = run_in(&world, "expect: pending").unwrap_err();
    assert!(found.len() == 1 && found[0].contains(told), "{found:?}");
}

#[rstest]
#[case("expect: aproved", "x.test.yaml:9:62: unknown outcome 'aproved': did you mean 'approved'?")]
#[case(
    "approve: [mara@example.com], expect: pending",
    "x.test.yaml:9:64: this file has no person mara@example.com: did you mean 'maria@example.com'?"
)]
#[case(
    "expect: pending, code: own_request",
    "x.test.yaml:9:5: only what is refused has a code: write `expect: refused`"
)]
#[case(
    "at: yesterday, expect: pending",
    "x.test.yaml:9:58: 'yesterday' is no moment: write it like 2026-01-05T12:00:00Z"
)]
#[case("expects: pending", "x.test.yaml:9:54: unknown key 'expects': did you mean 'expect'?")]
fn mistakes_are_told_with_their_places(#[case] keys: &str, #[case] mistake: &str) {
    let found = run(keys).unwrap_err();
    assert!(found.iter().any(|found| found == mistake), "{found:#?}");
}

/// The worked examples that are given to people: each has cases, and each case holds.
#[test]
fn the_examples_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/flows");
    let (mut tested, mut flows, mut cases) = (BTreeSet::new(), BTreeSet::new(), 0);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".yaml") {
            continue;
        }
        if !name.ends_with(crate::TEST_ENDING) {
            flows.insert(PathBuf::from(name));
            continue;
        }
        let mut found = Vec::new();
        let file = super::read(&path, &fs::read_to_string(&path).unwrap(), &mut found);
        assert!(found.is_empty(), "{found:#?}");
        let file = file.unwrap();
        assert!(!file.flows.is_empty(), "{name} names no flows");
        let texts: Vec<_> = file
            .flows
            .iter()
            .map(|flow| (flow.clone(), fs::read_to_string(folder.join(flow)).unwrap()))
            .collect();
        let policies = crate::read(&texts, None, &mut found);
        assert!(found.is_empty(), "{found:#?}");
        for verdict in super::run(&file, &policies) {
            assert_eq!(verdict.failure, None, "{name}:{}: {}", verdict.place.line, verdict.name);
            cases += 1;
        }
        tested.extend(file.flows);
    }
    assert_eq!(tested, flows, "each example has cases");
    assert!(cases >= 60, "{cases} cases");
}
