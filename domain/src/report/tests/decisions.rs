//! Reports on what was asked and decided, in examples; and what holds for all of them whatever that
//! was.

use jiff::SignedDuration;
use proptest::prelude::*;
use rstest::rstest;

use super::*;

#[test]
fn whoever_approves_in_seconds_is_told_of() {
    let mut place = Place::new();
    place.take(9, &ended(), &[("ben", 4)]);
    place.take(12, &ended(), &[("dan", 300)]);
    assert_eq!(place.says(ReportName::RubberStamps).len(), 1, "Dan alone, for deciding often");
    place.take(1, &ended(), &[("ben", 600)]);
    let says = place.says(ReportName::RubberStamps);
    assert_eq!(
        says[0],
        "user:ben@example.com: approves within 4s of being told at the median of 10 approvals"
    );
    place.terms.fast = "4s".parse().unwrap();
    assert!(!place.says(ReportName::RubberStamps)[0].contains("within"));
}

#[test]
fn the_time_counts_from_when_they_were_told() {
    let mut place = Place::new();
    for number in 0..10 {
        let mut request = place.asked(days(20 - number), ended(), &[("dan", 3_605)]);
        let told = |who: &str, after: i64| Told {
            who: id(who),
            at: request.created_at + SignedDuration::from_secs(after),
            group: "DBAs".to_owned(),
            step: 0,
            in_place_of: None,
            withdrawn_at: None,
        };
        request.told = Some(vec![told("ben", 0), told("dan", 3_600)]);
        place.usage.take(&request);
    }
    let says = place.says(ReportName::RubberStamps);
    assert!(says[0].contains("within 5s of being told"), "{says:?}");
}

#[test]
fn hasty_denials_are_no_rubber_stamps_but_decisions() {
    let mut place = Place::new();
    place.take(10, &RequestState::Denied, &[("ben", 4)]);
    place.take(10, &ended(), &[("dan", 600)]);
    assert_eq!(
        place.says(ReportName::RubberStamps),
        [
            "user:ben@example.com: has a say in 10 of 20 decisions, 50 %",
            "user:dan@example.com: has a say in 10 of 20 decisions, 50 %",
        ]
    );
    place.terms.share = 51;
    assert!(place.says(ReportName::RubberStamps).is_empty());
}

#[test]
fn decision_times_with_those_that_nobody_decided() {
    let mut place = Place::new();
    for minutes in 1..=10 {
        place.take(1, &ended(), &[("ben", minutes * 60)]);
    }
    let found = place.report(ReportName::DecisionTimes);
    assert_eq!(found.findings[0].fact, "10 decisions taken within 5m (p50), 9m (p90)");
    assert_eq!(found.attention, 0);
    assert_eq!(found.findings[0].figures["p90_seconds"], 540);

    place.take(1, &RequestState::Lapsed, &[]);
    assert_eq!(place.report(ReportName::DecisionTimes).attention, 0, "one of eleven");
    place.take(1, &RequestState::Lapsed, &[]);
    let found = place.report(ReportName::DecisionTimes);
    assert!(found.findings[0].fact.ends_with("; 2 wishes not decided in time"), "{found:?}");
    assert_eq!(found.attention, 1);
}

#[rstest]
#[case::waits(RequestState::Pending, 0)]
#[case::withdrawn(RequestState::Cancelled, 0)]
#[case::lapsed(RequestState::Lapsed, 0)]
#[case::denied(RequestState::Denied, 1)]
#[case::approved(RequestState::Approved, 1)]
#[case::over(RequestState::Ended { reason: EndReason::Failed, at: now() }, 1)]
fn what_counts_as_decided(#[case] state: RequestState, #[case] decided: u64) {
    let mut place = Place::new();
    place.take(1, &state, &[("ben", 60)]);
    assert_eq!(place.usage.decided, decided);
}

#[test]
fn an_approval_that_was_not_used_was_a_decision() {
    let mut place = Place::new();
    let mut request = place.asked(days(2), RequestState::Lapsed, &[("ben", 60)]);
    request.activate_by = Some(days(1));
    place.usage.take(&request);
    assert_eq!(place.usage.decided, 1);
    // And one that needed nobody was none.
    request.quorums.clear();
    place.usage.take(&request);
    assert_eq!(place.usage.decided, 1);
}

#[test]
fn refusals_are_counted_by_rule() {
    let mut place = Place::new();
    for number in 0..12 {
        let who = if number % 2 == 0 { "ana" } else { "eve" };
        place.refusals.take(&refused("request", "duration_too_long", who, Some("shop")));
    }
    place.refusals.take(&refused("request", "approval_unsatisfiable", "ana", None));
    place.refusals.take(&refused("review", "own_request", "ana", None));
    let forbidden = refused("extend", "forbidden_by_guardrail", "ana", Some("shop"));
    place.refusals.take(&forbidden.detail("guardrail", "no-pii-by-night"));
    place.take(2, &RequestState::Denied, &[("ben", 60)]);
    let found = place.report(ReportName::Denied);
    assert_eq!(
        place.says(ReportName::Denied),
        [
            "rule duration_too_long: refused 12 wishes of 2 people; through shop (12)",
            "rule approval_unsatisfiable: refused 1 wish of 1 person",
            "guardrail no-pii-by-night: refused 1 wish of 1 person; through shop (1)",
            "flow shop: of 2 that people were to decide, 2 denied, 0 decided by nobody",
        ]
    );
    assert_eq!(found.attention, 2, "the many, and what nobody could approve");
    assert_eq!(found.headline, "14 refused by rules, 2 denied by approvers, 0 decided by nobody");
}

#[rstest]
#[case::enough(20, None, true)]
#[case::too_few(19, None, false)]
#[case::one_was_denied(30, Some(RequestState::Denied), false)]
#[case::one_lapsed(30, Some(RequestState::Lapsed), false)]
#[case::one_was_withdrawn(20, Some(RequestState::Cancelled), true)]
fn when_a_flow_is_ripe(
    #[case] approved: usize,
    #[case] other: Option<RequestState>,
    #[case] ripe: bool,
) {
    let mut place = Place::new();
    place.take(approved, &ended(), &[("ben", 600)]);
    if let Some(other) = other {
        place.take(1, &other, &[("ben", 600)]);
    }
    let found = place.report(ReportName::Ripe);
    assert_eq!(found.findings.len(), usize::from(ripe), "{found:?}");
    if ripe {
        let advice = &found.findings[0].advice;
        assert!(advice.contains("{when: {duration_at_most: 1h}, approval: automatic}"), "{advice}");
    }
}

#[test]
fn what_is_automatic_or_for_emergencies_is_not_ripe() {
    for change in [
        (|flow: &mut AccessFlow| flow.approval = ApprovalPolicy::Automatic) as fn(&mut AccessFlow),
        |flow| {
            let notify = Vec::new();
            flow.break_glass = Some(BreakGlass { review_within: "1d".parse().unwrap(), notify });
        },
    ] {
        let mut place = Place::new();
        place.take(25, &ended(), &[("ben", 600)]);
        let mut shop = place.flow("shop");
        change(&mut shop);
        place.add(shop);
        assert!(place.report(ReportName::Ripe).findings.is_empty());
    }
}

fn any_state() -> impl Strategy<Value = RequestState> {
    prop_oneof![
        Just(RequestState::Pending),
        Just(RequestState::Approved),
        Just(RequestState::Active),
        Just(RequestState::Denied),
        Just(RequestState::Cancelled),
        Just(RequestState::Lapsed),
        Just(ended()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was asked and decided: no report tells what somebody wrote, what asks for attention
    /// comes first and is counted, shares are shares, and the order in which requests are taken up
    /// makes no difference.
    #[test]
    fn of_any_past(
        past in prop::collection::vec(
            (any_state(), 0..90_i64, prop::bool::ANY, 0..20_000_i64),
            0..60,
        ),
        least in prop::option::of(1..5_u64),
        share in 1..=100_u8,
    ) {
        let mut place = Place::new();
        place.terms = Terms { least, share, ..Terms::default() };
        let mut requests = Vec::new();
        for (state, day, by_ben, took) in past {
            let who = if by_ben { "ben" } else { "dan" };
            let said = if state == RequestState::Lapsed { vec![] } else { vec![(who, took)] };
            requests.push(place.asked(days(day), state, &said));
            place.refusals.take(&refused("request", "reason_required", who, Some("shop")));
        }
        let mut reports = Vec::new();
        for reversed in [false, true] {
            if reversed {
                requests.reverse();
            }
            place.usage = Usage::default();
            requests.iter().for_each(|request| place.usage.take(request));
            reports.push(ReportName::ALL.map(|name| place.report(name)));
        }
        prop_assert_eq!(&reports[0], &reports[1]);
        for report in &reports[0] {
            let told = format!("{report:?}");
            prop_assert!(!told.contains("SECRET"));
            let attention: Vec<_> = report.findings.iter().map(|found| found.attention).collect();
            prop_assert!(attention.is_sorted_by(|one, other| one >= other));
            prop_assert_eq!(attention.iter().filter(|attention| **attention).count(), report.attention);
            for finding in &report.findings {
                prop_assert!(!finding.fact.is_empty() && !finding.advice.is_empty());
                prop_assert!(finding.since.is_none_or(|since| since <= now()));
                if let Some(percent) = finding.figures.get("share_percent") {
                    prop_assert!((u64::from(share)..=100).contains(percent));
                }
                if let Some(p50) = finding.figures.get("p50_seconds") {
                    prop_assert!(p50 <= &finding.figures["p90_seconds"]);
                }
            }
        }
        let ripe = !reports[0][7].findings.is_empty();
        let no = |state: &RequestState| matches!(state, RequestState::Denied | RequestState::Lapsed);
        prop_assert!(!(ripe && requests.iter().any(|request| no(&request.state))));
    }
}
