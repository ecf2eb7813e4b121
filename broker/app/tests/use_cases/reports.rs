//! Reports on a real store: what is gathered, how far back, and for whom.

use ebbgate_broker_app::{AppError, Wish};
use ebbgate_broker_ports::store::{Change, Write};
use ebbgate_domain::{
    approval::{Quorum, Review, Subjects, Verdict},
    flow::{ApprovalPolicy, ApproverGroup, Need, Voices},
    ids::RequestId,
    people::People,
    report::{Report, ReportName, Terms},
    request::{AccessRequest, RequestState},
};
use jiff::ToSpan as _;

use crate::{
    approved, asked,
    harness::{World, id},
    wish,
};

const DAY: i64 = 86_400;

async fn reports(world: &World, terms: &Terms) -> Vec<Report> {
    let audrey = world.caller("audrey");
    world.broker.reports(&audrey, &ReportName::ALL, terms).await.unwrap()
}

async fn report(world: &World, name: ReportName, terms: &Terms) -> Report {
    let audrey = world.caller("audrey");
    let mut found = world.broker.reports(&audrey, &[name], terms).await.unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn facts(report: &Report) -> Vec<String> {
    let says =
        |finding: &ebbgate_domain::report::Finding| format!("{}: {}", finding.about, finding.fact);
    report.findings.iter().map(says).collect()
}

#[tokio::test]
async fn they_are_for_those_who_may_read_everything() {
    let world = World::new().await;
    for (name, may) in [("ana", false), ("ben", false), ("audrey", true), ("adam", true)] {
        let caller = world.caller(name);
        let found = world.broker.reports(&caller, &ReportName::ALL, &Terms::default()).await;
        assert_eq!(found.is_ok(), may, "{name}");
        if let Err(error) = found {
            assert!(matches!(error, AppError::Forbidden { role: "auditor" }));
        }
    }
}

#[tokio::test]
async fn what_people_did_is_in_them_and_what_they_wrote_is_not() {
    let world = World::new().await;
    let (ana, ben, eve) = (world.caller("ana"), world.caller("ben"), world.caller("eve"));
    for _ in 0..3 {
        let request = asked(&world).await;
        world.clock.pass(5);
        let comment = Some("a private word");
        world.broker.review(&ben, request, Verdict::Approve, comment, None).await.unwrap();
    }
    let request = asked(&world).await;
    world.clock.pass(5);
    world.broker.review(&ben, request, Verdict::Deny, Some("a private word"), None).await.unwrap();
    world.broker.submit(&eve, &wish(), None).await.unwrap_err();
    // No flow is named: which one it was is found out, and on record.
    let long = Wish { duration: Some("5h".parse().unwrap()), ..wish() };
    world.broker.submit(&ana, &long, None).await.unwrap_err();
    // A vote that does not count is no wish for access.
    world.broker.review(&eve, request, Verdict::Approve, None, None).await.unwrap_err();

    let terms = Terms { least: Some(3), ..Terms::default() };
    let all = reports(&world, &terms).await;
    assert!(all.iter().map(|report| report.name).eq(ReportName::ALL));
    let of = |name: ReportName| all.iter().find(|report| report.name == name).unwrap();
    assert_eq!(
        facts(of(ReportName::RubberStamps)),
        [
            "user:ben@example.com: approves within 5s of being told at the median of 3 approvals",
            "user:ben@example.com: has a say in 4 of 4 decisions, 100 %",
        ]
    );
    assert_eq!(
        facts(of(ReportName::DecisionTimes)),
        ["flow data-shop: 4 decisions taken within 5s (p50), 5s (p90)"]
    );
    assert_eq!(
        facts(of(ReportName::Denied)),
        [
            "rule duration_too_long: refused 1 wish of 1 person; through data-shop (1)",
            "rule not_a_requester: refused 1 wish of 1 person",
            "flow data-shop: of 4 that people were to decide, 1 denied, 0 decided by nobody",
        ]
    );
    assert_eq!(facts(of(ReportName::Ripe)), Vec::<String>::new(), "one was denied");
    assert_eq!(facts(of(ReportName::Review)), ["flow data-shop: was never reviewed"]);
    let told = format!("{all:?}");
    assert!(!told.contains("private word") && !told.contains("order 17"), "{told}");
}

#[tokio::test]
async fn who_left_and_what_nobody_uses() {
    let world = World::new().await;
    approved(&world).await;
    world.change_flow(|flow| {
        let of = vec!["user:ben@example.com".parse().unwrap(), "group:nobody".parse().unwrap()];
        let group = ApproverGroup::new("DBAs", Voices::Any, of);
        flow.approval = ApprovalPolicy::groups(Need::All, vec![group], "8h".parse().unwrap());
    });
    world.disable("ben");
    let terms = Terms::default();
    let gone = report(&world, ReportName::DepartedApprovers, &terms).await;
    assert_eq!(gone.findings[0].about, "user:ben@example.com");
    assert!(gone.findings[0].fact.contains("decided last at 2027-01-15T"), "{gone:?}");
    let empty = report(&world, ReportName::EmptyGroups, &terms).await;
    assert_eq!(facts(&empty), ["group:nobody: has no members; approvers of data-shop"]);

    let early = report(&world, ReportName::Unused, &terms).await;
    assert!(early.note.is_some(), "the records are younger than 90 days");
    world.clock.pass(91 * DAY);
    let unused = report(&world, ReportName::Unused, &terms).await;
    // Its request is older than that, but what came of it has not ended.
    assert_eq!(facts(&unused), Vec::<String>::new());
    world.go_on().await;
    world.clock.pass(60);
    world.go_on().await;
    let unused = report(&world, ReportName::Unused, &terms).await;
    assert_eq!(unused.findings[0].about, "flow data-shop", "{unused:?}");
}

/// More than a page of requests, one each hour, the newest first hour ago: each took a minute.
#[tokio::test]
async fn many_requests_are_read_page_by_page_and_not_beyond_the_time_that_is_asked() {
    let world = World::new().await;
    let snapshot = world.broker.snapshot();
    let flow = snapshot.policies.flows.values().next().unwrap().clone();
    let ApprovalPolicy::Groups { groups, .. } = &flow.approval else { panic!("automatic") };
    let requester = id("ana");
    let mut change = Change::default();
    for hours in 1..=450 {
        let made = world.now() - hours.hours();
        let people = People::new(&snapshot.directory, made);
        let subjects = Subjects { requester: &requester, owner: None };
        let mut request = AccessRequest::new(
            RequestId::new(made, [1; 10]),
            requester.clone(),
            flow.clone(),
            "30m".parse().unwrap(),
            made,
        );
        request.quorums = vec![Quorum::freeze(Need::All, groups, subjects, &people)];
        let at = made + 1.minute();
        request.reviews = vec![Review::new(id("ben"), Verdict::Deny, None, at)];
        request.state = RequestState::Denied;
        change.requests.push(Write::Insert(request));
    }
    world.store.commit(change).await.unwrap();
    for (since, decisions) in [("90d", 450), ("10d", 240), ("200h", 200), ("1h", 1), ("1s", 0)] {
        let terms = Terms { since: since.parse().unwrap(), ..Terms::default() };
        let found = report(&world, ReportName::DecisionTimes, &terms).await;
        let figure = found.findings.first().map_or(0, |finding| finding.figures["decisions"]);
        assert_eq!(figure, decisions, "{since}: {found:?}");
    }
}

#[tokio::test]
async fn refusals_are_counted_since_the_time_that_is_asked() {
    let world = World::new().await;
    let eve = world.caller("eve");
    for _ in 0..4 {
        world.broker.submit(&eve, &wish(), None).await.unwrap_err();
        world.clock.pass(DAY);
    }
    for (since, refused) in [("90d", 4), ("3d", 3), ("36h", 1)] {
        let terms = Terms { since: since.parse().unwrap(), ..Terms::default() };
        let found = report(&world, ReportName::Denied, &terms).await;
        assert_eq!(found.findings[0].figures["refused"], refused, "{since}: {found:?}");
    }
}
