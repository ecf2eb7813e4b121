//! Reports on flows and people in examples, and the place that all examples are set in.

mod decisions;

use jiff::SignedDuration;
use rstest::rstest;

use super::*;
use crate::{
    approval::{Quorum, Review, Subjects, Told, Verdict},
    audit::{Action, Actor, AuditEvent},
    flow::{
        AccessFlow, ApprovalPolicy, ApproverGroup, BreakGlass, DurationRule, Need, Reviewed, Voices,
    },
    ids::RequestId,
    inventory::{Resource, ResourceKind},
    names::PrincipalId,
    principal::{Directory, Principal, tests::person},
    request::{AccessRequest, EndReason, RequestState},
    schedule::{Rotation, Schedule, Turn},
};

/// Everything that a report is made from, with a flow `shop` for Ana that Ben and Dan approve.
struct Place {
    policies: Policies,
    people: Vec<Principal>,
    inventory: Inventory,
    administrators: Vec<Subject>,
    usage: Usage,
    refusals: Refusals,
    records_begin: Option<Timestamp>,
    terms: Terms,
}

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

fn days(days: i64) -> Timestamp {
    ago(days * 86_400)
}

fn id(name: &str) -> PrincipalId {
    format!("{name}@example.com").parse().unwrap()
}

fn flow(name: &str, approvers: &[&str]) -> AccessFlow {
    let of = approvers.iter().map(|approver| approver.parse().unwrap()).collect();
    let group = ApproverGroup::new("DBAs", Voices::Any, of);
    let approval = match approvers {
        [] => ApprovalPolicy::Automatic,
        _ => ApprovalPolicy::groups(Need::All, vec![group], "8h".parse().unwrap()),
    };
    let duration = DurationRule::new("30m".parse().unwrap(), "4h".parse().unwrap());
    let requesters = vec!["group:data".parse().unwrap()];
    AccessFlow::new(name.parse().unwrap(), requesters, Vec::new(), approval, duration)
}

impl Place {
    fn new() -> Self {
        let mut place = Self {
            policies: Policies::default(),
            people: vec![
                person("ana", &["data"]),
                person("ben", &["dba"]),
                person("dan", &["dba"]),
            ],
            inventory: Inventory::default(),
            administrators: Vec::new(),
            usage: Usage::default(),
            refusals: Refusals::default(),
            records_begin: Some(days(400)),
            terms: Terms::default(),
        };
        place.add(flow("shop", &["group:dba"]));
        place
    }

    fn add(&mut self, flow: AccessFlow) {
        self.policies.flows.insert(flow.name.clone(), flow);
    }

    fn flow(&self, name: &str) -> AccessFlow {
        self.policies.flows[&name.parse().unwrap()].clone()
    }

    fn report(&self, name: ReportName) -> Report {
        let directory = Directory::new(self.people.clone());
        let mut people = People::new(&directory, now());
        people.schedules = &self.policies.schedules;
        let facts = Facts {
            policies: &self.policies,
            people,
            inventory: &self.inventory,
            roles: &[("administrators", self.administrators.as_slice())],
            usage: &self.usage,
            refusals: &self.refusals,
            records_begin: self.records_begin,
            terms: &self.terms,
        };
        report(name, &facts)
    }

    /// What a report says, about whom and what, in its order.
    fn says(&self, name: ReportName) -> Vec<String> {
        let found = self.report(name).findings;
        found.into_iter().map(|finding| format!("{}: {}", finding.about, finding.fact)).collect()
    }

    /// A request of Ana's that these people said this of, so many seconds after it was made.
    fn asked(&self, made: Timestamp, state: RequestState, said: &[(&str, i64)]) -> AccessRequest {
        let flow = self.flow("shop");
        let directory = Directory::new(self.people.clone());
        let people = People::new(&directory, made);
        let ApprovalPolicy::Groups { groups, .. } = &flow.approval else { panic!("automatic") };
        let requester = id("ana");
        let subjects = Subjects { requester: &requester, owner: None };
        let quorum = Quorum::freeze(Need::All, groups, subjects, &people);
        let request = RequestId::new(made, [7; 10]);
        let duration = "1h".parse().unwrap();
        let mut request = AccessRequest::new(request, requester.clone(), flow, duration, made);
        request.quorums = vec![quorum];
        request.reason = Some("SECRET reason".to_owned());
        request.ticket = Some("SECRET-1".to_owned());
        let verdict = if state == RequestState::Denied { Verdict::Deny } else { Verdict::Approve };
        request.reviews = said
            .iter()
            .map(|(who, after)| {
                let at = made + SignedDuration::from_secs(*after);
                Review::new(id(who), verdict, Some("SECRET comment".to_owned()), at)
            })
            .collect();
        request.state = state;
        request
    }

    fn take(&mut self, times: usize, state: &RequestState, said: &[(&str, i64)]) {
        for number in 0..times {
            let made = days(30) + SignedDuration::from_mins(i64::try_from(number).unwrap());
            let request = self.asked(made, state.clone(), said);
            self.usage.take(&request);
        }
    }
}

fn ended() -> RequestState {
    RequestState::Ended { reason: EndReason::Expired, at: days(1) }
}

fn refused(what: &str, code: &str, who: &str, flow: Option<&str>) -> AuditEvent {
    let event = AuditEvent::new(Action::RequestRefused, Actor::Principal(id(who)), days(3))
        .detail("what", what)
        .detail("code", code)
        .detail("message", "SECRET message");
    match flow {
        Some(flow) => event.detail("flow", flow),
        None => event,
    }
}

#[rstest]
#[case::never(None, Some("was never reviewed"))]
#[case::yesterday(Some("2026-11-23"), None)]
#[case::just_within(Some("2026-08-27"), None)]
#[case::a_quarter_ago(
    Some("2026-08-26"),
    Some("was reviewed last on 2026-08-26, by grace@example.com")
)]
#[case::tomorrow_in_the_east(Some("2026-11-25"), None)]
#[case::a_slip(Some("2062-11-24"), Some("is dated 2062-11-24, which is still ahead"))]
fn reviews(#[case] on: Option<&str>, #[case] fact: Option<&str>) {
    let mut place = Place::new();
    let mut shop = place.flow("shop");
    shop.reviewed = on.map(|on| Reviewed { by: id("grace"), on: on.parse().unwrap() });
    place.add(shop);
    let says = place.says(ReportName::Review);
    match fact {
        Some(fact) => assert!(says.len() == 1 && says[0].contains(fact), "{says:?}"),
        None => assert_eq!(says, Vec::<String>::new()),
    }
}

#[test]
fn the_longest_unreviewed_comes_first() {
    let mut place = Place::new();
    for (name, on) in [("a", "2026-02-01"), ("b", "2025-02-01")] {
        let reviewed = Some(Reviewed { by: id("grace"), on: on.parse().unwrap() });
        place.add(AccessFlow { reviewed, ..flow(name, &[]) });
    }
    let found = place.report(ReportName::Review);
    let order: Vec<_> = found.findings.iter().map(|finding| finding.about.as_str()).collect();
    assert_eq!(order, ["flow shop", "flow b", "flow a"]);
    assert_eq!(found.headline, "3 of 3 flows not reviewed for 90d");
    assert_eq!(found.findings[1].since, Some("2025-02-01T00:00:00Z".parse().unwrap()));
}

#[test]
fn a_flow_is_unused_when_nobody_asked_and_nothing_goes_on() {
    let mut place = Place::new();
    for name in ["asked", "live", "idle"] {
        place.add(flow(name, &[]));
    }
    place.add(AccessFlow {
        break_glass: Some(BreakGlass { review_within: "1d".parse().unwrap(), notify: Vec::new() }),
        ..flow("emergency", &[])
    });
    let mut request = place.asked(days(5), RequestState::Pending, &[]);
    place.usage.take(&request);
    request.flow = place.flow("live");
    place.usage.goes_on(&request);
    request.flow = place.flow("asked");
    place.usage.take(&request);
    let found = place.report(ReportName::Unused);
    assert_eq!(found.findings.len(), 1, "{found:?}");
    assert_eq!(found.findings[0].about, "flow idle");
    assert_eq!(found.headline, "1 of 4 flows not used for 90d");

    // Where the records are younger than that, nobody can know.
    place.records_begin = Some(days(89));
    let found = place.report(ReportName::Unused);
    assert!(found.findings.is_empty() && found.note.unwrap().contains("cannot be told yet"));
    place.terms.since = "80d".parse().unwrap();
    assert_eq!(place.report(ReportName::Unused).findings.len(), 1);
}

#[test]
fn groups_without_members_are_told_with_where_they_are_named() {
    let mut place = Place::new();
    place.add(flow("pii", &["group:security", "user:ben@example.com"]));
    place.add(flow("logs", &["group:security"]));
    place.add(AccessFlow { except: vec!["group:interns".parse().unwrap()], ..flow("x", &[]) });
    let mut left = person("eve", &["interns"]);
    left.disabled = true;
    place.people.push(left);
    assert_eq!(
        place.says(ReportName::EmptyGroups),
        [
            "group:interns: has no members; exceptions of x",
            "group:security: has no members; approvers of logs, pii",
        ]
    );
    place.administrators = vec!["group:platform".parse().unwrap()];
    let says = place.says(ReportName::EmptyGroups);
    assert!(says.contains(&"group:platform: has no members; role of administrators".to_owned()));
}

#[rstest]
#[case::a_person_who_left(&["user:leo@example.com"], true)]
#[case::and_one_who_is_there(&["user:leo@example.com", "user:ben@example.com"], false)]
#[case::nobody_takes_turns(&["on-call:gone"], true)]
#[case::somebody_takes_turns(&["on-call:there"], false)]
#[case::the_manager_may_be_known(&["manager"], false)]
#[case::an_empty_group_is_told_of_by_itself(&["group:nobody"], false)]
fn approver_groups_in_which_nobody_can_decide(#[case] approvers: &[&str], #[case] dead: bool) {
    let mut place = Place::new();
    place.add(flow("pii", approvers));
    for (name, who) in [("gone", "leo"), ("there", "ben")] {
        let schedule = on_call(name, who);
        place.policies.schedules.insert(schedule.name.clone(), schedule);
    }
    let says = place.says(ReportName::EmptyGroups);
    let told = says.iter().any(|line| line.contains("nobody who may act"));
    assert_eq!(told, dead, "{says:?}");
}

fn on_call(name: &str, who: &str) -> Schedule {
    Schedule {
        name: name.parse().unwrap(),
        zone: "UTC".parse().unwrap(),
        rotation: Rotation {
            every: Turn::Day { at: "09:00".parse().unwrap() },
            starts: Rotation::default_start(),
            people: vec![id(who)],
        },
        overrides: Vec::new(),
    }
}

#[test]
fn approvers_who_left_are_told_with_where_they_are_named() {
    let mut place = Place::new();
    place.add(flow("pii", &["user:leo@example.com", "user:ben@example.com", "on-call:dba"]));
    let schedule = on_call("dba", "mia");
    place.policies.schedules.insert(schedule.name.clone(), schedule);
    let mut leo = person("leo", &["dba"]);
    leo.disabled = true;
    place.people.push(leo);
    place.inventory = Inventory::new([Resource {
        id: "orders/postgres/shop".parse().unwrap(),
        integration: "orders".parse().unwrap(),
        kind: ResourceKind::Postgres,
        native: "shop".to_owned(),
        tags: [("owner".to_owned(), "zoe@example.com".to_owned())].into(),
    }]);
    let expected = [
        "user:leo@example.com: is disabled; approver in the flow pii",
        "user:mia@example.com: is not known; takes turns in the schedule dba",
    ];
    assert_eq!(place.says(ReportName::DepartedApprovers), expected);

    // Owners count where a flow asks them.
    place.add(flow("owned", &["owner"]));
    let says = place.says(ReportName::DepartedApprovers);
    assert_eq!(says[2], "user:zoe@example.com: is not known; owner of orders/postgres/shop");
}

#[test]
fn names_are_read_as_they_are_written() {
    for name in ReportName::ALL {
        assert_eq!(name.to_string().parse::<ReportName>().unwrap(), name);
    }
    let error = "nothing".parse::<ReportName>().unwrap_err().to_string();
    assert!(error.contains("rubber-stamps"), "{error}");
}

#[test]
fn a_report_stays_readable_with_ten_thousand_flows() {
    let mut place = Place::new();
    for number in 0..10_000 {
        place.add(flow(&format!("f{number}"), &["group:nobody"]));
    }
    let found = place.report(ReportName::Review);
    assert_eq!((found.findings.len(), found.left_out), (MOST_FINDINGS, 9_001));
    assert_eq!(found.attention, 10_001);
    let says = place.says(ReportName::EmptyGroups);
    assert_eq!(says, ["group:nobody: has no members; approvers of f0, f1, f10, 9997 more"]);
}
