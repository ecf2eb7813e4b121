//! What flows say about time, emergencies and changes, read from their text; and every mistake in it
//! told with its place.

use std::{collections::BTreeSet, path::PathBuf};

use ebbgate_domain::flow::{AccessFlow, Activation, OnChange, Saying};
use rstest::rstest;

const FLOW: &str = "\
kind: Scope
name: shop
match: {integration: orders}
---
kind: AccessFlow
name: shop
requesters: [group:data]
access: [{scope: shop, permissions: [select, read-write]}]
approval: automatic
";

/// The flow with these lines after its approval, and what is wrong with it.
fn read(lines: &str) -> (Option<AccessFlow>, Vec<String>) {
    let integrations = BTreeSet::from(["orders".parse().unwrap()]);
    let mut mistakes = Vec::new();
    let files = [(PathBuf::from("shop.yaml"), format!("{FLOW}{lines}"))];
    let policies = crate::read(&files, Some(&integrations), &mut mistakes);
    let flow = policies.flows.into_values().next();
    (flow, mistakes.iter().map(ToString::to_string).collect())
}

fn good(lines: &str) -> AccessFlow {
    let (flow, mistakes) = read(lines);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    flow.unwrap()
}

#[test]
fn a_flow_that_says_nothing_new_means_what_it_meant() {
    let flow = good("duration: {default: 30m, max: 1h}\n");
    assert!(!flow.duration.extend && flow.duration.per_permission.is_empty());
    assert_eq!(flow.duration.warn.unwrap().to_string(), "15m");
    assert_eq!((flow.activation, flow.on_change), (Activation::AtApproval, OnChange::Revoke));
    assert!(flow.break_glass.is_none() && flow.notify.is_empty());
    assert_eq!(flow.justification.mode, Saying::Optional);
}

#[test]
fn everything_about_time() {
    let flow = good(
        "duration: {default: 30m, max: 4h, per_permission: {read-write: 1h}, extend: true, warn: 5m}
activation: {by: requester, within: 12h}
on_change: keep
notify: [channel:ops, manager]
",
    );
    let read_write = "read-write".parse().unwrap();
    assert_eq!(flow.duration.longest([&read_write]).to_string(), "1h");
    assert!(flow.duration.extend);
    assert_eq!(flow.duration.warn.unwrap().to_string(), "5m");
    assert_eq!(flow.activation, Activation::ByRequester { within: "12h".parse().unwrap() });
    assert_eq!(flow.on_change, OnChange::Keep);
    assert_eq!(flow.notify.len(), 2);
}

#[rstest]
#[case("off")]
#[case("'off'")]
#[case("false")]
fn no_warning(#[case] off: &str) {
    assert_eq!(
        good(&format!("duration: {{default: 30m, max: 1h, warn: {off}}}\n")).duration.warn,
        None
    );
}

#[rstest]
#[case("off", Saying::Off, 0)]
#[case("optional", Saying::Optional, 0)]
#[case("required", Saying::Required, 0)]
#[case("{mode: required, min_length: 20}", Saying::Required, 20)]
#[case("{mode: off}", Saying::Off, 0)]
#[case("{required: true}", Saying::Required, 0)]
#[case("{required: false, min_length: 5}", Saying::Optional, 5)]
#[case("{ticket: '^OPS-\\d+$'}", Saying::Optional, 0)]
fn justifications(#[case] text: &str, #[case] mode: Saying, #[case] least: u32) {
    let flow = good(&format!("duration: {{default: 30m, max: 1h}}\njustification: {text}\n"));
    assert_eq!((flow.justification.mode, flow.justification.min_length), (mode, least));
}

#[test]
fn an_emergency() {
    let flow = good(
        "duration: {default: 30m, max: 1h}
break_glass: {review_within: 48h, notify: [group:security, channel:ops]}
",
    );
    let rule = flow.break_glass.unwrap();
    assert_eq!((rule.review_within.to_string(), rule.notify.len()), ("2d".to_owned(), 2));
}

#[rstest]
#[case::zero("duration: {default: 0s, max: 1h}", "10:21", "from 1s to 31d")]
#[case::negative("duration: {default: -1h, max: 1h}", "10:21", "from 1s to 31d")]
#[case::too_long("duration: {default: 1h, max: 32d}", "10:30", "from 1s to 31d")]
#[case::not_offered(
    "duration: {default: 1h, max: 1h, per_permission: {full: 1h}}",
    "10:57",
    "does not offer"
)]
#[case::longer_than_all(
    "duration: {default: 1h, max: 1h, per_permission: {select: 2h}}",
    "10:59",
    "longer than the flow's maximum"
)]
#[case::extend("duration: {default: 1h, max: 1h, extend: maybe}", "10:42", "")]
#[case::activation("duration: {default: 1h, max: 1h}\nactivation: later", "11:13", "at-approval")]
#[case::activation_by(
    "duration: {default: 1h, max: 1h}\nactivation: {by: anybody, within: 1h}",
    "11:18",
    "by: requester"
)]
#[case::mode("duration: {default: 1h, max: 1h}\njustification: please", "11:16", "neither")]
#[case::both(
    "duration: {default: 1h, max: 1h}\njustification: {mode: off, required: true}",
    "11:16",
    "either"
)]
#[case::length(
    "duration: {default: 1h, max: 1h}\njustification: {mode: off, min_length: 5}",
    "11:40",
    "nobody is asked"
)]
#[case::nobody_told(
    "duration: {default: 1h, max: 1h}\nbreak_glass: {review_within: 48h, notify: []}",
    "11:14",
    "nobody is told"
)]
#[case::early_review(
    "duration: {default: 1h, max: 2h}\nbreak_glass: {review_within: 1h, notify: [manager]}",
    "11:14",
    "before access ends"
)]
#[case::two_steps(
    "duration: {default: 1h, max: 1h}\nactivation: {by: requester, within: 1h}\nbreak_glass: {review_within: 48h, notify: [manager]}",
    "12:14",
    "one step"
)]
#[case::recipient("duration: {default: 1h, max: 1h}\nnotify: [ops]", "11:10", "channel:NAME")]
#[case::change("duration: {default: 1h, max: 1h}\non_change: ignore", "11:12", "neither")]
fn mistakes(#[case] lines: &str, #[case] place: &str, #[case] hint: &str) {
    let (_, mistakes) = read(&format!("{lines}\n"));
    let [mistake] = &mistakes[..] else { panic!("{mistakes:?}") };
    assert!(mistake.starts_with(&format!("shop.yaml:{place}: ")), "{mistake}");
    assert!(mistake.contains(hint), "{mistake}");
}
