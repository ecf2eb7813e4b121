//! A request's life in examples, and its invariants under random reviews.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{
    approval::Verdict,
    audit::Action,
    flow::{
        Access, ApprovalPolicy, ApproverGroup, DurationRule, JustificationRule, Need, Permission,
        Policies, Saying, Voices,
    },
    grant::{Grant, GrantState, RevokeReason},
    inventory::ResourceKind,
    principal::{Directory, Principal, tests::person},
    refusal::Refusal,
    scope::{Scope, Selector},
    transition::{Effect, Transition},
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn id(name: &str) -> PrincipalId {
    format!("{name}@example.com").parse().unwrap()
}

fn people() -> Vec<Principal> {
    vec![
        person("ana", &["data"]),
        person("ben", &["dba"]),
        person("dan", &["data", "dba"]),
        person("eve", &["sales"]),
    ]
}

fn directory() -> Directory {
    Directory::new(people())
}

fn resource(native: &str) -> Resource {
    Resource {
        id: format!("orders/postgres/{native}").parse().unwrap(),
        integration: "orders".parse().unwrap(),
        kind: ResourceKind::Postgres,
        native: native.to_owned(),
        tags: BTreeMap::new(),
    }
}

fn flow() -> AccessFlow {
    let access = vec![Access {
        scope: "shop".parse().unwrap(),
        permissions: vec!["select".parse().unwrap()],
    }];
    let dbas = ApproverGroup::new("DBAs", Voices::Any, vec!["group:dba".parse().unwrap()]);
    AccessFlow {
        justification: JustificationRule {
            mode: Saying::Required,
            ticket: Some(r"^OPS-\d+$".to_owned()),
            ..JustificationRule::default()
        },
        ..AccessFlow::new(
            "data-shop".parse().unwrap(),
            vec!["group:data".parse().unwrap()],
            access,
            ApprovalPolicy::groups(Need::All, vec![dbas], "8h".parse().unwrap()),
            DurationRule::new("30m".parse().unwrap(), "1h".parse().unwrap()),
        )
    }
}

fn policies() -> Policies {
    let selector = Selector {
        integrations: vec!["orders".parse().unwrap()],
        patterns: vec!["shop*".to_owned()],
        ..Selector::default()
    };
    let scope = Scope::new("shop".parse().unwrap(), selector);
    Policies {
        scopes: BTreeMap::from([(scope.name.clone(), scope)]),
        permissions: BTreeMap::from([(support().name, support())]),
        flows: BTreeMap::from([(flow().name, flow())]),
        ..Policies::default()
    }
}

/// A permission that the operator has defined.
fn support() -> Permission {
    let name = "app_support".parse().unwrap();
    let rights = vec![Right::Role { name }];
    Permission { name: "support".parse().unwrap(), kind: ResourceKind::Postgres, rights }
}

/// A wish that the rules allow; tests change one thing.
#[derive(Clone)]
struct Wish {
    who: &'static str,
    native: &'static str,
    permission: Option<&'static str>,
    duration: Option<&'static str>,
    reason: Option<&'static str>,
    ticket: Option<&'static str>,
    flow: AccessFlow,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            who: "ana",
            native: "shop",
            permission: None,
            duration: None,
            reason: Some("look at order 17"),
            ticket: Some("OPS-1"),
            flow: flow(),
        }
    }
}

fn ask(wish: &Wish) -> Result<Transition<AccessRequest>, Refusal> {
    let resource = resource(wish.native);
    let permission = wish.permission.map(|permission| permission.parse().unwrap());
    let submission = Submission {
        id: RequestId::new(at(0), [1; 10]),
        requester: &id(wish.who),
        flow: &wish.flow,
        items: &[(GrantId::new(at(0), [2; 10]), &resource, permission)],
        duration: wish.duration.map(|duration| duration.parse().unwrap()),
        reason: wish.reason,
        ticket: wish.ticket,
        starts_at: None,
        overdue_review: None,
    };
    submit(submission, &policies(), &People::new(&directory(), at(0)))
}

fn pending() -> AccessRequest {
    ask(&Wish::default()).unwrap().state
}

fn review(by: &str, verdict: Verdict, seconds: i64) -> Review {
    Review::new(id(by), verdict, Some("seen".to_owned()), at(seconds))
}

fn planned(transition: &Transition<AccessRequest>) -> Vec<Grant> {
    transition
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Plan(grant) => Some(Grant::clone(grant)),
            _ => None,
        })
        .collect()
}

#[test]
fn asks_its_approvers_and_plans_nothing() {
    let asked = ask(&Wish::default()).unwrap();
    assert_eq!(asked.state.state, RequestState::Pending);
    assert_eq!(asked.state.duration.to_string(), "30m");
    assert!(planned(&asked).is_empty());
    let Effect::Notify(notice) = &asked.effects[0] else { panic!("{:?}", asked.effects) };
    assert_eq!(notice.to, [id("ben"), id("dan")].into());
}

#[test]
fn an_automatic_flow_approves_at_once() {
    let wish = Wish {
        flow: AccessFlow { approval: ApprovalPolicy::Automatic, ..flow() },
        ..Wish::default()
    };
    let asked = ask(&wish).unwrap();
    assert_eq!(asked.state.state, RequestState::Approved);
    assert_eq!(planned(&asked).len(), 1);
    let actions: Vec<_> = asked.events.iter().map(|event| event.action).collect();
    assert_eq!(actions, [Action::RequestCreated, Action::RequestApproved]);
}

#[test]
fn an_operators_own_permission_is_frozen_with_what_it_consists_of() {
    let permissions = vec!["support".parse().unwrap(), "select".parse().unwrap()];
    let access = vec![Access { scope: "shop".parse().unwrap(), permissions }];
    let flow = AccessFlow { access, approval: ApprovalPolicy::Automatic, ..flow() };
    let asked = ask(&Wish { permission: Some("support"), flow: flow.clone(), ..Wish::default() });
    let [grant] = &planned(&asked.unwrap())[..] else { panic!("one grant") };
    assert_eq!(grant.rights, support().rights);
    let built_in = ask(&Wish { permission: Some("select"), flow, ..Wish::default() }).unwrap();
    assert_eq!(planned(&built_in)[0].rights, []);
}

#[test]
fn an_operators_own_permission_is_for_one_kind_of_resource() {
    let own = Permission { kind: ResourceKind::Mysql, ..support() };
    let policies =
        Policies { permissions: BTreeMap::from([(own.name.clone(), own)]), ..policies() };
    let access = vec![Access {
        scope: "shop".parse().unwrap(),
        permissions: vec!["support".parse().unwrap()],
    }];
    assert_eq!(policies.permissions(&AccessFlow { access, ..flow() }, &resource("shop")), []);
}

#[rstest]
#[case::outside_the_flow(Wish { who: "eve", ..Wish::default() }, "not_a_requester")]
#[case::unknown(Wish { who: "nobody", ..Wish::default() }, "not_a_requester")]
#[case::outside_the_scope(Wish { native: "payroll", ..Wish::default() }, "resource_out_of_scope")]
#[case::another_permission(Wish { permission: Some("full"), ..Wish::default() }, "permission_not_offered")]
#[case::too_long(Wish { duration: Some("61m"), ..Wish::default() }, "duration_too_long")]
#[case::no_reason(Wish { reason: None, ..Wish::default() }, "reason_required")]
#[case::blank_reason(Wish { reason: Some("  "), ..Wish::default() }, "reason_required")]
#[case::no_ticket(Wish { ticket: None, ..Wish::default() }, "ticket_required")]
#[case::wrong_ticket(Wish { ticket: Some("OPS-x"), ..Wish::default() }, "ticket_mismatch")]
fn refuses(#[case] wish: Wish, #[case] code: &str) {
    assert_eq!(ask(&wish).unwrap_err().code(), code);
}

#[test]
fn refuses_what_nobody_could_approve() {
    let me = ApproverGroup::new("Self", Voices::Any, vec!["user:ana@example.com".parse().unwrap()]);
    let alone = ApprovalPolicy::groups(Need::All, vec![me], "8h".parse().unwrap());
    let wish = Wish { flow: AccessFlow { approval: alone, ..flow() }, ..Wish::default() };
    assert_eq!(ask(&wish).unwrap_err().code(), "approval_unsatisfiable");
}

#[test]
fn two_permissions_on_offer_must_be_told_apart() {
    let access = vec![Access {
        scope: "shop".parse().unwrap(),
        permissions: vec!["select".parse().unwrap(), "full".parse().unwrap()],
    }];
    let wish = Wish { flow: AccessFlow { access, ..flow() }, ..Wish::default() };
    assert_eq!(ask(&wish).unwrap_err().code(), "permission_ambiguous");
    let named = Wish { permission: Some("full"), ..wish };
    assert_eq!(ask(&named).unwrap().state.items[0].permission.as_str(), "full");
}

#[test]
fn an_approval_plans_the_grants_that_were_frozen() {
    let request = pending();
    let approved = request
        .review(review("ben", Verdict::Approve, 5), &People::new(&directory(), at(0)))
        .unwrap();
    assert_eq!(approved.state.state, RequestState::Approved);
    assert_eq!(planned(&approved)[0].id, request.items[0].grant);
}

#[test]
fn refuses_reviews_that_do_not_count() {
    let request = pending();
    let code = |request: &AccessRequest, review| {
        request.review(review, &People::new(&directory(), at(0))).map(|_| ()).unwrap_err().code()
    };
    assert_eq!(code(&request, review("ana", Verdict::Approve, 1)), "own_request");
    assert_eq!(code(&request, review("eve", Verdict::Approve, 1)), "not_an_approver");
    assert_eq!(code(&request, review("ben", Verdict::Approve, 8 * 3_600)), "request_lapsed");
    let silent = Review { comment: None, ..review("ben", Verdict::Deny, 1) };
    assert_eq!(code(&request, silent), "comment_required");

    let decided = request
        .review(review("ben", Verdict::Approve, 1), &People::new(&directory(), at(0)))
        .unwrap()
        .state;
    assert_eq!(code(&decided, review("ben", Verdict::Deny, 2)), "already_reviewed");
    assert_eq!(code(&decided, review("dan", Verdict::Approve, 2)), "already_decided");
}

#[test]
fn one_denial_is_enough() {
    let denied = pending()
        .review(review("dan", Verdict::Deny, 1), &People::new(&directory(), at(0)))
        .unwrap();
    assert_eq!(denied.state.state, RequestState::Denied);
    assert!(planned(&denied).is_empty());
}

#[test]
fn lapses_and_follows_leavers() {
    let request = pending();
    assert!(request.advance(&policies(), &People::new(&directory(), at(8 * 3_600 - 1))).is_none());
    let lapsed =
        request.advance(&policies(), &People::new(&directory(), at(8 * 3_600))).unwrap().state;
    assert_eq!(lapsed.state, RequestState::Lapsed);

    let left = Directory::new(people().into_iter().map(|mut person| {
        person.disabled = person.id == id("ana");
        person
    }));
    assert_eq!(
        request.advance(&policies(), &People::new(&left, at(1))).unwrap().state.state,
        RequestState::Cancelled
    );
}

#[test]
fn only_its_requester_withdraws_it() {
    let request = pending();
    assert_eq!(request.cancel(&id("ben"), at(1)).unwrap_err().code(), "not_the_requester");
    assert_eq!(request.cancel(&id("ana"), at(1)).unwrap().state.state, RequestState::Cancelled);
}

#[test]
fn follows_its_grants_to_the_end() {
    let approved = pending()
        .review(review("ben", Verdict::Approve, 1), &People::new(&directory(), at(0)))
        .unwrap();
    let mut grant = planned(&approved).remove(0);
    let request = approved.state;
    assert!(request.follow(std::slice::from_ref(&grant), at(2)).is_none());
    grant.active_since = Some(at(2));
    let active = request.follow(std::slice::from_ref(&grant), at(2)).unwrap().state;
    assert_eq!(active.state, RequestState::Active);
    grant.state = GrantState::Revoked { reason: RevokeReason::Released, at: at(3), finding: None };
    let ended = active.follow(&[grant], at(3)).unwrap().state;
    assert_eq!(ended.state, RequestState::Ended { reason: EndReason::Released, at: at(3) });
}

proptest! {
    /// I9 and 'two approvers at once': whatever is said in whatever order, grants are planned at
    /// most once, only with an approver's word, and never by the requester's own.
    #[test]
    fn grants_are_planned_once_and_only_by_others(
        said in prop::collection::vec((0..4_usize, any::<bool>(), 0..40_000_i64), 0..12),
    ) {
        let names = ["ana", "ben", "dan", "eve"];
        let mut request = pending();
        let mut plans = 0;
        for (who, yes, when) in said {
            let verdict = if yes { Verdict::Approve } else { Verdict::Deny };
            let was_over = request.is_over();
            let Ok(next) = request.review(review(names[who], verdict, when), &People::new(&directory(), at(0))) else {
                continue;
            };
            prop_assert!(!was_over && request.state == RequestState::Pending);
            prop_assert!(matches!(names[who], "ben" | "dan"));
            prop_assert!(when < 8 * 3_600);
            prop_assert!(!next.events.is_empty());
            plans += planned(&next).len();
            request = next.state;
        }
        prop_assert!(plans <= 1);
        prop_assert_eq!(plans == 1, request.state == RequestState::Approved);
    }
}
