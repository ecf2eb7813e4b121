//! When access begins and ends, emergencies, and people who may not have it any more: in examples
//! and under random events.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{
    approval::Verdict,
    audit::Action,
    flow::{
        Access, Activation, ApprovalPolicy, ApproverGroup, BreakGlass, DurationRule, Need,
        OnChange, Policies, Voices,
    },
    grant::{Grant, GrantState, RevokeReason},
    inventory::ResourceKind,
    notice::Notice,
    people::People,
    principal::{Directory, tests::person},
    refusal::Refusal,
    scope::{Scope, Selector},
    transition::{Effect, Transition},
};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(super) fn id(name: &str) -> PrincipalId {
    format!("{name}@example.com").parse().unwrap()
}

pub(super) fn directory() -> Directory {
    Directory::new([
        person("ana", &["data"]),
        person("ben", &["dba"]),
        person("sam", &["security"]),
        person("sue", &["security"]),
    ])
}

pub(super) fn flow(activation: Activation, approval: ApprovalPolicy) -> AccessFlow {
    let access = vec![Access {
        scope: "shop".parse().unwrap(),
        permissions: vec!["select".parse().unwrap()],
    }];
    let duration = DurationRule {
        extend: true,
        ..DurationRule::new("1h".parse().unwrap(), "4h".parse().unwrap())
    };
    let requesters = vec!["group:data".parse().unwrap()];
    let name = "data-shop".parse().unwrap();
    AccessFlow { activation, ..AccessFlow::new(name, requesters, access, approval, duration) }
}

pub(super) fn dba() -> ApprovalPolicy {
    let dbas = ApproverGroup::new("DBAs", Voices::Any, vec!["group:dba".parse().unwrap()]);
    ApprovalPolicy::groups(Need::All, vec![dbas], "8h".parse().unwrap())
}

fn by_requester() -> Activation {
    Activation::ByRequester { within: "12h".parse().unwrap() }
}

fn emergency() -> AccessFlow {
    let notify = ["group:security", "user:ana@example.com", "channel:ops"];
    AccessFlow {
        break_glass: Some(BreakGlass {
            review_within: "48h".parse().unwrap(),
            notify: notify.map(|text| text.parse().unwrap()).to_vec(),
        }),
        ..flow(Activation::AtApproval, ApprovalPolicy::Automatic)
    }
}

pub(super) fn policies(flow: &AccessFlow) -> Policies {
    let everything = Selector::integration("orders".parse().unwrap());
    let scope = Scope::new("shop".parse().unwrap(), everything);
    Policies {
        scopes: [(scope.name.clone(), scope)].into(),
        flows: [(flow.name.clone(), flow.clone())].into(),
        ..Policies::default()
    }
}

/// A request of Ana's through this flow, active since second 0.
pub(super) fn active(flow: AccessFlow) -> AccessRequest {
    let asked = Wish::through(flow).ask().unwrap().state;
    let approved = if asked.state == RequestState::Pending {
        approve(&asked, 0)
    } else {
        return AccessRequest { state: RequestState::Active, ..asked };
    };
    AccessRequest { state: RequestState::Active, ..approved.state }
}

struct Wish {
    flow: AccessFlow,
    starts_at: Option<i64>,
    reason: Option<&'static str>,
    overdue_review: Option<RequestId>,
}

impl Wish {
    fn through(flow: AccessFlow) -> Self {
        Self { flow, starts_at: None, reason: Some("the shop is down"), overdue_review: None }
    }

    fn from(self, seconds: i64) -> Self {
        Self { starts_at: Some(seconds), ..self }
    }

    fn ask(&self) -> Result<Transition<AccessRequest>, Refusal> {
        let resource = Resource {
            id: "orders/postgres/shop".parse().unwrap(),
            integration: "orders".parse().unwrap(),
            kind: ResourceKind::Postgres,
            native: "shop".to_owned(),
            tags: BTreeMap::new(),
        };
        let submission = Submission {
            id: RequestId::new(at(0), [1; 10]),
            requester: &id("ana"),
            flow: &self.flow,
            items: &[(GrantId::new(at(0), [2; 10]), &resource, None)],
            duration: None,
            reason: self.reason,
            ticket: None,
            starts_at: self.starts_at.map(at),
            overdue_review: self.overdue_review,
        };
        submit(submission, &policies(&self.flow), &People::new(&directory(), at(0)))
    }
}

pub(super) fn approve(request: &AccessRequest, seconds: i64) -> Transition<AccessRequest> {
    let review = Review::new(id("ben"), Verdict::Approve, None, at(seconds));
    request.review(review, &People::new(&directory(), at(seconds))).unwrap()
}

fn advance(request: &AccessRequest, seconds: i64) -> Option<Transition<AccessRequest>> {
    request.advance(&policies(&request.flow), &People::new(&directory(), at(seconds)))
}

pub(super) fn planned(transition: &Transition<AccessRequest>) -> Vec<Grant> {
    let plans = transition.effects.iter().filter_map(|effect| match effect {
        Effect::Plan(grant) => Some(Grant::clone(grant)),
        _ => None,
    });
    plans.collect()
}

pub(super) fn notices(transition: &Transition<AccessRequest>) -> Vec<&Notice> {
    let notices = transition.effects.iter().filter_map(|effect| match effect {
        Effect::Notify(notice) => Some(notice),
        _ => None,
    });
    notices.collect()
}

#[test]
fn an_approval_overnight_burns_no_time() {
    let asked = Wish::through(flow(by_requester(), dba())).ask().unwrap().state;
    let approved = approve(&asked, HOUR);
    assert!(planned(&approved).is_empty());
    let waiting = approved.state;
    assert!(waiting.awaits_activation());
    assert_eq!(waiting.due_at(), Some(at(13 * HOUR)), "the window is open for twelve hours");
    let begun = waiting.activate(&id("ana"), &People::new(&directory(), at(9 * HOUR))).unwrap();
    assert_eq!(planned(&begun)[0].planned_at, at(9 * HOUR));
    assert_eq!(begun.events[0].action, Action::RequestActivated);
    assert_eq!(begun.state.activated_at, Some(at(9 * HOUR)));
    assert!(!begun.state.awaits_activation());
    let again =
        begun.state.activate(&id("ana"), &People::new(&directory(), at(9 * HOUR))).unwrap_err();
    assert_eq!(again.code(), "nothing_to_activate");
}

#[test]
fn not_activated_in_time_it_lapses() {
    let waiting =
        approve(&Wish::through(flow(by_requester(), dba())).ask().unwrap().state, HOUR).state;
    let late = waiting.activate(&id("ana"), &People::new(&directory(), at(13 * HOUR))).unwrap_err();
    assert_eq!(late.code(), "request_lapsed");
    assert!(advance(&waiting, 13 * HOUR - 1).is_none());
    let lapsed = advance(&waiting, 13 * HOUR).unwrap();
    assert_eq!(lapsed.state.state, RequestState::Lapsed);
    assert!(planned(&lapsed).is_empty());
    assert_eq!(notices(&lapsed)[0].event, "request.lapsed");
}

#[rstest]
#[case::somebody_else("ben", 2 * HOUR, "not_the_requester")]
#[case::before_the_start("ana", 2 * HOUR, "not_yet")]
#[case::too_late("ana", 23 * HOUR, "request_lapsed")]
fn refuses_to_activate(#[case] who: &str, #[case] now: i64, #[case] code: &str) {
    let asked = Wish::through(flow(by_requester(), dba())).from(10 * HOUR).ask().unwrap().state;
    let waiting = approve(&asked, HOUR).state;
    assert_eq!(
        waiting.activate(&id(who), &People::new(&directory(), at(now))).unwrap_err().code(),
        code
    );
}

#[test]
fn who_lost_the_group_cannot_activate() {
    let waiting =
        approve(&Wish::through(flow(by_requester(), dba())).ask().unwrap().state, 1).state;
    let lost = Directory::new([person("ana", &[]), person("ben", &["dba"])]);
    let refused = waiting.activate(&id("ana"), &People::new(&lost, at(2))).unwrap_err();
    assert_eq!(refused.code(), "not_a_requester");
}

#[test]
fn a_start_that_was_asked_for_is_kept() {
    let asked =
        Wish::through(flow(Activation::AtApproval, dba())).from(6 * HOUR).ask().unwrap().state;
    let approved = approve(&asked, HOUR);
    assert!(planned(&approved).is_empty(), "not before its start");
    assert!(advance(&approved.state, 6 * HOUR - 1).is_none());
    let begun = advance(&approved.state, 6 * HOUR).unwrap();
    assert_eq!(planned(&begun)[0].planned_at, at(6 * HOUR));
    assert!(advance(&begun.state, 6 * HOUR).is_none(), "once");
}

#[test]
fn an_approval_after_the_start_begins_at_once() {
    let asked = Wish::through(flow(Activation::AtApproval, dba())).from(HOUR).ask().unwrap().state;
    let approved = approve(&asked, 2 * HOUR);
    assert_eq!(planned(&approved)[0].planned_at, at(2 * HOUR));
    assert_eq!(approved.state.activated_at, Some(at(2 * HOUR)));
}

#[rstest]
#[case::now(0, false)]
#[case::passed(-1, false)]
#[case::soon(1, true)]
#[case::a_month_ahead(31 * DAY, true)]
#[case::farther(31 * DAY + 1, false)]
fn starts(#[case] start: i64, #[case] possible: bool) {
    let asked = Wish::through(flow(Activation::AtApproval, dba())).from(start).ask();
    assert_eq!(asked.map_err(|refusal| refusal.code()).err(), {
        (!possible).then_some("start_not_possible")
    });
}

#[test]
fn what_has_not_begun_can_be_withdrawn() {
    let waiting =
        approve(&Wish::through(flow(by_requester(), dba())).ask().unwrap().state, HOUR).state;
    let withdrawn = waiting.cancel(&id("ana"), at(2 * HOUR)).unwrap().state;
    assert_eq!(withdrawn.state, RequestState::Cancelled);
    let begun =
        waiting.activate(&id("ana"), &People::new(&directory(), at(2 * HOUR))).unwrap().state;
    let refused = begun.cancel(&id("ana"), at(3 * HOUR)).unwrap_err();
    assert_eq!(refused.code(), "already_decided");
}

#[test]
fn a_request_from_before_there_was_activation_does_not_wait_for_it() {
    let asked = Wish::through(flow(Activation::AtApproval, dba())).ask().unwrap().state;
    let mut old = serde_json::to_value(approve(&asked, 1).state).unwrap();
    for field in ["starts_at", "activate_by", "activated_at", "use_review"] {
        old.as_object_mut().unwrap().remove(field);
    }
    let old: AccessRequest = serde_json::from_value(old).unwrap();
    assert!(!old.awaits_activation());
    assert_eq!(old.due_at(), None);
}

#[test]
fn an_emergency_is_one_step_and_everybody_hears_of_it() {
    let used = Wish::through(emergency()).ask().unwrap();
    assert_eq!(planned(&used).len(), 1, "granted at once");
    let alarm = notices(&used).into_iter().find(|n| n.event == "breakglass.activated").unwrap();
    assert_eq!(alarm.to, [id("sam"), id("sue")].into());
    assert_eq!(alarm.channels, ["ops".parse().unwrap()].into());
    assert!(alarm.text.contains("the shop is down"), "{}", alarm.text);
    let receipt = notices(&used).into_iter().find(|n| n.event == "breakglass.receipt").unwrap();
    assert_eq!(receipt.to, [id("ana")].into());
    assert!(receipt.text.contains("sam@example.com"), "{}", receipt.text);
    let review = used.state.use_review.as_ref().unwrap();
    assert_eq!(review.told, ["sam@example.com", "sue@example.com", "channel:ops"]);
    assert_eq!(review.due_at, at(2 * DAY));
    assert!(used.events.iter().any(|event| event.action == Action::BreakglassActivated));
}

#[test]
fn an_emergency_that_needs_an_approval_tells_of_its_use_and_not_of_the_wish() {
    let asked = Wish::through(AccessFlow { approval: dba(), ..emergency() }).ask().unwrap();
    let alarms =
        |step: &Transition<_>| notices(step).iter().any(|n| n.event == "breakglass.activated");
    assert!(!alarms(&asked) && asked.state.use_review.is_none());
    assert!(alarms(&approve(&asked.state, 1)));
}

#[rstest]
#[case::no_reason(None, None, None, "reason_required")]
#[case::blank(Some("  "), None, None, "reason_required")]
#[case::later(Some("x"), Some(HOUR), None, "start_not_possible")]
#[case::overdue(Some("x"), None, Some(9), "review_overdue")]
fn refuses_emergencies(
    #[case] reason: Option<&'static str>,
    #[case] starts_at: Option<i64>,
    #[case] overdue: Option<u8>,
    #[case] code: &str,
) {
    let overdue_review = overdue.map(|n| RequestId::new(at(0), [n; 10]));
    let wish = Wish { reason, starts_at, overdue_review, ..Wish::through(emergency()) };
    assert_eq!(wish.ask().unwrap_err().code(), code);
}

fn ended(request: &AccessRequest, grant: &Grant, seconds: i64) -> AccessRequest {
    let state =
        GrantState::Revoked { reason: RevokeReason::Expired, at: at(seconds), finding: None };
    request.follow(&[Grant { state, ..grant.clone() }], at(seconds)).unwrap().state
}

#[test]
fn reminders_come_half_way_when_due_and_daily() {
    let used = Wish::through(emergency()).ask().unwrap();
    let mut request = ended(&used.state, &planned(&used)[0], HOUR);
    assert!(request.is_over());
    for (when, event, others) in [
        (DAY, "review.due", false),
        (2 * DAY, "review.overdue", true),
        (3 * DAY, "review.overdue", true),
        (4 * DAY, "review.overdue", true),
    ] {
        assert_eq!(request.due_at(), Some(at(when)));
        assert!(advance(&request, when - 1).is_none());
        let reminded = advance(&request, when).unwrap();
        let [notice] = notices(&reminded)[..] else { panic!("{reminded:?}") };
        assert_eq!(notice.event, event);
        assert!(notice.to.contains(&id("ana")));
        assert_eq!(notice.to.contains(&id("sam")), others);
        assert!(advance(&reminded.state, when).is_none(), "each reminder is sent once");
        request = reminded.state;
    }
    let written = request.write_review(
        &id("ana"),
        "a disk was full",
        &People::new(&directory(), at(5 * DAY)),
    );
    let written = written.unwrap();
    assert_eq!(written.events[0].action, Action::ReviewWritten);
    assert_eq!(written.events[0].details["text"], "a disk was full");
    assert_eq!(written.state.due_at(), None, "nobody is reminded any more");
    assert!(!written.state.use_review.unwrap().is_overdue(at(9 * DAY)));
}

#[test]
fn a_review_is_written_once_and_when_access_has_ended() {
    let used = Wish::through(emergency()).ask().unwrap();
    let write = |request: &AccessRequest, when| {
        request
            .write_review(&id("ana"), "x", &People::new(&directory(), at(when)))
            .map_err(|no| no.code())
    };
    assert_eq!(write(&used.state, HOUR).unwrap_err(), "no_review_due");
    // A teardown that is stuck does not keep anybody from the next emergency.
    assert!(write(&used.state, 2 * DAY).is_ok());
    let request = ended(&used.state, &planned(&used)[0], HOUR);
    let written = write(&request, HOUR).unwrap().state;
    assert_eq!(write(&written, HOUR).unwrap_err(), "no_review_due");
    let ordinary = Wish::through(flow(Activation::AtApproval, dba())).ask().unwrap().state;
    assert_eq!(write(&ordinary, HOUR).unwrap_err(), "no_review_due");
}

#[test]
fn what_never_became_access_needs_no_review() {
    let used = Wish::through(emergency()).ask().unwrap();
    let state = GrantState::Failed { error: "down".to_owned(), at: at(9) };
    let failed = Grant { state, ..planned(&used)[0].clone() };
    let ended = used.state.follow(&[failed], at(9)).unwrap().state;
    assert_eq!((ended.use_review.as_ref(), ended.due_at()), (None, None));
}

fn without(name: &str) -> Directory {
    Directory::new(directory().all().cloned().map(|mut person| {
        person.disabled = person.id == id(name);
        person
    }))
}

#[rstest]
#[case::nothing_changed(directory(), true, None)]
#[case::disabled(without("ana"), true, Some("requester-left"))]
#[case::removed(Directory::new([person("ben", &["dba"])]), true, Some("requester-left"))]
#[case::lost_group(Directory::new([person("ana", &["sales"])]), true, Some("not-a-requester"))]
#[case::flow_removed(directory(), false, Some("flow-removed"))]
fn losses(#[case] directory: Directory, #[case] has_flow: bool, #[case] expected: Option<&str>) {
    let flow = flow(by_requester(), dba());
    let mut policies = policies(&flow);
    if !has_flow {
        policies.flows.clear();
    }
    let loss = policies.loss(&flow.name, &id("ana"), &directory);
    assert_eq!(loss.map(Loss::as_str), expected);
    assert_eq!(loss.map(|loss| loss.reason().as_str()), expected, "grants say the same");

    // Whoever lost it gets nothing that has not begun yet.
    let pending = Wish::through(flow).ask().unwrap().state;
    for request in [approve(&pending, 1).state, pending] {
        let settled = request.advance(&policies, &People::new(&directory, at(2)));
        assert_eq!(settled.is_some(), expected.is_some(), "{}", request.state_name());
        if let Some(settled) = settled {
            assert_eq!(settled.state.state, RequestState::Cancelled);
            assert_eq!(settled.events[0].details["reason"], expected.unwrap());
        }
    }
}

/// What nobody knows was not removed: what is under way goes on, but people who left lose it.
#[test]
fn flows_that_are_not_known_take_nothing_away() {
    let flow = flow(by_requester(), dba());
    let policies = Policies { unknown: true, ..Policies::default() };
    assert_eq!(policies.loss(&flow.name, &id("ana"), &directory()), None);
    let gone = policies.loss(&flow.name, &id("ana"), &without("ana"));
    assert_eq!(gone, Some(Loss::Left));
}

#[rstest]
#[case(OnChange::Revoke, Loss::Left, true)]
#[case(OnChange::Revoke, Loss::NotARequester, true)]
#[case(OnChange::Revoke, Loss::FlowRemoved, true)]
#[case(OnChange::Keep, Loss::Left, true)]
#[case(OnChange::Keep, Loss::NotARequester, false)]
#[case(OnChange::Keep, Loss::FlowRemoved, false)]
fn live_access_ends_by(#[case] on_change: OnChange, #[case] loss: Loss, #[case] ends: bool) {
    let flow = AccessFlow { on_change, ..flow(Activation::AtApproval, ApprovalPolicy::Automatic) };
    assert_eq!(Wish::through(flow).ask().unwrap().state.ends_by(loss), ends);
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Pass(i64),
    Approve,
    Activate,
    Cancel,
    Advance,
}

proptest! {
    /// Whatever happens in whatever order: access begins at most once, with an approval, not before
    /// its start, not after its window, and nothing that is not over is forgotten.
    #[test]
    fn access_begins_once_and_in_its_time(
        start in prop::option::of(1..20 * HOUR),
        asks in any::<bool>(),
        events in prop::collection::vec(prop_oneof![
            (1..6 * HOUR).prop_map(Event::Pass),
            Just(Event::Approve),
            Just(Event::Activate),
            Just(Event::Cancel),
            Just(Event::Advance),
        ], 1..20),
    ) {
        let activation = if asks { by_requester() } else { Activation::AtApproval };
        let wish = Wish { starts_at: start, ..Wish::through(flow(activation, dba())) };
        let (mut request, mut now, mut begun) = (wish.ask().unwrap().state, 0, 0);
        for event in events {
            let next = match event {
                Event::Pass(seconds) => {
                    now += seconds;
                    None
                }
                Event::Approve => {
                    let review = Review::new(id("ben"), Verdict::Approve, None, at(now));
                    request.review(review, &People::new(&directory(), at(now))).ok()
                }
                Event::Activate => request.activate(&id("ana"), &People::new(&directory(), at(now))).ok(),
                Event::Cancel => request.cancel(&id("ana"), at(now)).ok(),
                Event::Advance => advance(&request, now),
            };
            let Some(next) = next else { continue };
            prop_assert!(!next.events.is_empty() && !request.is_over());
            if !planned(&next).is_empty() {
                begun += 1;
                prop_assert!(next.state.reviews.len() == 1 && next.state.activated_at == Some(at(now)));
                prop_assert!(start.is_none_or(|start| start <= now));
                prop_assert!(request.activate_by.is_none_or(|by| at(now) < by));
                prop_assert!(!asks || matches!(event, Event::Activate));
            }
            let waits = matches!(next.state.state, RequestState::Pending)
                || next.state.awaits_activation();
            prop_assert_eq!(waits, next.state.due_at().is_some());
            request = next.state;
        }
        prop_assert!(begun <= 1);
    }
}
