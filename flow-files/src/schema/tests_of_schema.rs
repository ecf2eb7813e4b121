//! The checked-in schemas are those of the readers, and the examples fit them.

use std::{collections::BTreeSet, fs, path::PathBuf};

use ebbgate_settings::Mistake;
use rstest::rstest;
use serde_json::Value;

use super::*;

/// Stands where a reader is asked for the keys that it knows; far from any of them.
const PROBE: &str = "qqqqqqqqqqqq";

fn checked_in(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/schema").join(name)
}

#[rstest]
#[case("flows.schema.json", flow_files())]
#[case("flow-tests.schema.json", test_files())]
fn what_is_checked_in_is_what_is_made(#[case] name: &str, #[case] schema: Value) {
    let made = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    let path = checked_in(name);
    if std::env::var_os("EBBGATE_WRITE_SCHEMA").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == made,
        "{} is old: run EBBGATE_WRITE_SCHEMA=1 cargo test -p ebbgate-flow-files schema",
        path.display()
    );
}

/// A flow with more under one key.
fn flow(more: &str) -> String {
    format!(
        "kind: AccessFlow\nname: x\nrequesters: [group:a]\n\
         access: [{{integration: i, scope: everything, permissions: [select]}}]\n\
         approval: automatic\nduration: {{default: 1h, max: 1h}}\n{more}\n"
    )
}

/// One text for each object of the flow files' schema, with the probe where its keys are.
fn probes() -> Vec<(&'static str, String)> {
    let swap = |old: &str, new: &str| flow("").replacen(old, new, 1);
    let rules =
        |rules: &str| swap("approval: automatic", &format!("approval: {{rules: [{rules}]}}"));
    let schedule = |more: &str| {
        format!(
            "kind: Schedule\nname: x\nzone: UTC\n\
             rotation: {{every: day, handover: '09:00', people: [ab]{more}}}\n"
        )
    };
    vec![
        ("/$defs/Scope", format!("kind: Scope\nname: x\nmatch: {{integration: i}}\n{PROBE}: 1\n")),
        (
            "/$defs/selector",
            format!("kind: Scope\nname: x\nmatch: {{integration: i, {PROBE}: 1}}\n"),
        ),
        (
            "/$defs/tag_rule",
            format!(
                "kind: Scope\nname: x\nmatch: {{tags: {{a: {{present: true, {PROBE}: 1}}}}}}\n"
            ),
        ),
        (
            "/$defs/Permission",
            format!(
                "kind: Permission\nname: x\ntype: postgres\nrights: [{{role: r}}]\n{PROBE}: 1\n"
            ),
        ),
        (
            "/$defs/right",
            format!(
                "kind: Permission\nname: x\ntype: postgres\nrights: [{{role: r, {PROBE}: 1}}]\n"
            ),
        ),
        ("/$defs/AccessFlow", flow(&format!("{PROBE}: 1"))),
        (
            "/$defs/offer",
            swap("permissions: [select]", &format!("permissions: [select], {PROBE}: 1")),
        ),
        (
            "/$defs/groups",
            rules(&format!("{{approval: {{groups: [{{name: a, of: [group:a]}}], {PROBE}: 1}}}}")),
        ),
        (
            "/$defs/AccessFlow/properties/approval/anyOf/2",
            swap(
                "approval: automatic",
                &format!("approval: {{rules: [{{approval: automatic}}], {PROBE}: 1}}"),
            ),
        ),
        ("/$defs/rule", rules(&format!("{{approval: automatic, {PROBE}: 1}}"))),
        (
            "/$defs/condition",
            rules(&format!(
                "{{when: {{duration_over: 1h, {PROBE}: 1}}, approval: automatic}}, {{approval: automatic}}"
            )),
        ),
        (
            "/$defs/hours",
            rules(&format!(
                "{{when: {{hours: {{days: mon-fri, from: '09:00', to: '17:00', zone: UTC, {PROBE}: 1}}}}, \
                 approval: automatic}}, {{approval: automatic}}"
            )),
        ),
        (
            "/$defs/step",
            rules(&format!(
                "{{approval: {{groups: [{{name: a, of: manager, escalate: {{after: 5m, to: group:b, {PROBE}: 1}}}}]}}}}"
            )),
        ),
        ("/$defs/Schedule", format!("{}{PROBE}: 1\n", schedule(""))),
        ("/$defs/Schedule/properties/rotation", schedule(&format!(", {PROBE}: 1"))),
        (
            "/$defs/override",
            format!(
                "{}overrides: [{{person: ab, from: 2026-01-01 09:00, to: 2026-01-02 09:00, {PROBE}: 1}}]\n",
                schedule("")
            ),
        ),
        (
            "/$defs/approver_group",
            swap(
                "approval: automatic",
                &format!("approval: {{groups: [{{name: a, of: [group:a], {PROBE}: 1}}]}}"),
            ),
        ),
        ("/$defs/AccessFlow/properties/duration", swap("max: 1h", &format!("max: 1h, {PROBE}: 1"))),
        (
            "/$defs/AccessFlow/properties/activation/anyOf/1",
            flow(&format!("activation: {{by: requester, within: 1h, {PROBE}: 1}}")),
        ),
        (
            "/$defs/AccessFlow/properties/justification/anyOf/1",
            flow(&format!("justification: {{mode: off, {PROBE}: 1}}")),
        ),
        (
            "/$defs/AccessFlow/properties/break_glass",
            flow(&format!("break_glass: {{review_within: 2h, notify: [manager], {PROBE}: 1}}")),
        ),
        (
            "/$defs/AccessFlow/properties/reviewed",
            flow(&format!("reviewed: {{by: ab, on: 2026-01-01, {PROBE}: 1}}")),
        ),
    ]
}

/// The same for the test files' schema.
fn probes_of_tests() -> Vec<(&'static str, String)> {
    let file = |person: &str, resource: &str, case: &str, more: &str| {
        format!(
            "people: [{{id: ab{person}}}]\nresources: [{{integration: i, type: s3, name: b{resource}}}]\n\
             cases: [{{name: n, user: ab, resource: b, expect: pending{case}}}]\n{more}"
        )
    };
    let probe = format!(", {PROBE}: 1");
    vec![
        ("/$defs/TestFile", file("", "", "", &format!("{PROBE}: 1\n"))),
        ("/$defs/test_person", file(&probe, "", "", "")),
        ("/$defs/test_resource", file("", &probe, "", "")),
        ("/$defs/Case", file("", "", &probe, "")),
        (
            "/$defs/test_delegation",
            file(
                "}, {id: cd",
                "",
                "",
                &format!(
                    "delegations: [{{from: ab, to: cd, since: 2026-01-01T00:00:00Z, until: 2026-01-02T00:00:00Z{probe}}}]\n"
                ),
            ),
        ),
    ]
}

fn mistakes(text: &str, tests: bool) -> Vec<String> {
    let mut found: Vec<Mistake> = Vec::new();
    if tests {
        crate::cases::read("x.test.yaml".as_ref(), text, &mut found);
    } else {
        crate::read(&[("x.yaml".into(), text.to_owned())], None, &mut found);
    }
    found.iter().map(ToString::to_string).collect()
}

/// The keys that the reader of the probed object knows.
fn known(text: &str, tests: bool) -> BTreeSet<String> {
    let found = mistakes(text, tests);
    let [only] = &found[..] else { panic!("{text}\n{found:#?}") };
    let (_, keys) = only.split_once("known here: ").unwrap_or_else(|| panic!("{only}"));
    keys.split(", ").map(ToOwned::to_owned).collect()
}

/// The pointers to all objects with keys of their own below `schema`.
fn objects(schema: &Value, pointer: &str, found: &mut BTreeSet<String>) {
    if schema.get("properties").is_some() && !pointer.is_empty() {
        found.insert(pointer.to_owned());
    }
    match schema {
        Value::Object(map) => {
            map.iter().for_each(|(key, below)| objects(below, &format!("{pointer}/{key}"), found));
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, below)| objects(below, &format!("{pointer}/{index}"), found)),
        _ => {}
    }
}

#[rstest]
#[case(flow_files(), probes(), false)]
#[case(test_files(), probes_of_tests(), true)]
fn every_object_has_the_keys_of_its_reader(
    #[case] schema: Value,
    #[case] probes: Vec<(&'static str, String)>,
    #[case] tests: bool,
) {
    let mut all = BTreeSet::new();
    objects(&schema["$defs"], "/$defs", &mut all);
    for (pointer, text) in &probes {
        let object = schema.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        let keys: BTreeSet<_> = object["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, known(text, tests), "{pointer}");
        all.remove(*pointer);
    }
    assert!(all.is_empty(), "nobody compares {all:?}");
}

#[rstest]
#[case(flow_files(), false)]
#[case(test_files(), true)]
fn what_must_be_there_is_missed_by_its_reader(#[case] schema: Value, #[case] tests: bool) {
    for (pointer, text) in if tests { probes_of_tests() } else { probes() } {
        let Some(required) = schema.pointer(pointer).unwrap().get("required") else { continue };
        for key in required.as_array().unwrap() {
            let key = key.as_str().unwrap();
            let renamed = rename(
                &text.replace(&format!(", {PROBE}: 1"), "").replace(&format!("{PROBE}: 1\n"), ""),
                key,
                pointer,
            );
            assert!(
                !mistakes(&renamed, tests).is_empty(),
                "{pointer} without {key} is read:\n{renamed}"
            );
        }
    }
}

/// The text with a key renamed in the object that is probed: the last one of that name, which is
/// the deepest, but for those of whole documents, which stand at a line's beginning.
fn rename(text: &str, key: &str, pointer: &str) -> String {
    let whole = ["/$defs/Scope", "/$defs/Permission", "/$defs/AccessFlow", "/$defs/TestFile"];
    let renamed = format!("{key}{key}");
    if whole.contains(&pointer) {
        let lines = text.lines().map(|line| match line.strip_prefix(&format!("{key}:")) {
            Some(rest) => format!("{renamed}:{rest}\n"),
            None => format!("{line}\n"),
        });
        return lines.collect();
    }
    let at = text.rfind(&format!("{key}: ")).unwrap_or_else(|| panic!("no {key} in\n{text}"));
    format!("{}{renamed}{}", &text[..at], &text[at + key.len()..])
}

/// A value's way through a schema: the first thing that does not fit, where something doesn't.
/// As much of JSON Schema as these schemas use.
fn misfit(schema: &Value, value: &Value, root: &Value, at: &str) -> Option<String> {
    if let Some(pointer) = schema.get("$ref").and_then(Value::as_str) {
        let found = misfit(root.pointer(&pointer[1..]).unwrap(), value, root, at);
        if found.is_some() {
            return found;
        }
    }
    if let Some(kind) = schema.get("type") {
        let kinds: Vec<&str> = match kind {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect(),
        };
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let fits = kinds.contains(&is) || is == "integer" && kinds.contains(&"number");
        if !fits {
            return Some(format!("{at}: {is} instead of {kinds:?}"));
        }
    }
    if schema.get("const").is_some_and(|only| only != value)
        || schema.get("enum").is_some_and(|all| !all.as_array().unwrap().contains(value))
    {
        return Some(format!("{at}: {value} is none of those"));
    }
    if let (Some(pattern), Some(text)) =
        (schema.get("pattern").and_then(Value::as_str), value.as_str())
        && !regex::Regex::new(pattern).unwrap().is_match(text)
    {
        return Some(format!("{at}: '{text}' does not match {pattern}"));
    }
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
        let misfits: Vec<_> = any.iter().map(|one| misfit(one, value, root, at)).collect();
        if misfits.iter().all(Option::is_some) {
            return Some(misfits.into_iter().flatten().collect::<Vec<_>>().join(" or "));
        }
    }
    for choice in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        if misfit(&choice["if"], value, root, at).is_none() {
            let found = misfit(&choice["then"], value, root, at);
            if found.is_some() {
                return found;
            }
        }
    }
    match value {
        Value::Object(map) => misfit_of_map(schema, map, root, at),
        Value::Array(items) => {
            let each = schema.get("items")?;
            items.iter().find_map(|item| misfit(each, item, root, &format!("{at}[]")))
        }
        _ => None,
    }
}

fn misfit_of_map(
    schema: &Value,
    map: &serde_json::Map<String, Value>,
    root: &Value,
    at: &str,
) -> Option<String> {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for key in required.filter_map(Value::as_str) {
        if !map.contains_key(key) {
            return Some(format!("{at}: no {key}"));
        }
    }
    map.iter().find_map(|(key, value)| {
        let below = format!("{at}.{key}");
        match (
            schema.get("properties").and_then(|all| all.get(key)),
            schema.get("additionalProperties"),
        ) {
            (Some(schema), _) => misfit(schema, value, root, &below),
            (None, Some(Value::Bool(false))) => Some(format!("{below} is unknown")),
            (None, Some(schema)) => misfit(schema, value, root, &below),
            (None, None) => None,
        }
    })
}

fn values(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

/// All files that are given to people fit.
#[test]
fn the_examples_fit() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders =
        ["deploy/flows", "docs/examples/flows", "tests/flows"].map(|name| root.join(name));
    let mut looked_at = 0;
    for folder in folders.iter().filter(|folder| folder.exists()) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.display().to_string();
            let schema =
                if name.ends_with(crate::TEST_ENDING) { test_files() } else { flow_files() };
            for value in values(&fs::read_to_string(&path).unwrap()) {
                assert_eq!(misfit(&schema, &value, &schema, ""), None, "{name}");
            }
            looked_at += 1;
        }
    }
    assert!(looked_at >= 3, "{looked_at}");
}

#[rstest]
#[case("kind: Scope\nname: x\nmatch: {integratoin: i}\n", ".match.integratoin is unknown")]
#[case(
    "kind: Scope\nname: X\nmatch: {}\n",
    ".name: 'X' does not match ^[a-z0-9][a-z0-9._-]{0,62}$"
)]
#[case("kind: Flow\nname: x\n", ".kind: \"Flow\" is none of those")]
#[case("kind: AccessFlow\nname: x\n", ": no requesters")]
fn what_is_wrong_does_not_fit(#[case] text: &str, #[case] what: &str) {
    let schema = flow_files();
    assert_eq!(misfit(&schema, &values(text)[0], &schema, "").as_deref(), Some(what));
}
