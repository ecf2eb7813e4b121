//! Escalation, claims and substitutes on a real store, with a clock that is moved and a broker that
//! is replaced between the steps.

use ebbgate_broker_app::{AppError, Asked, DelegationWish};
use ebbgate_broker_ports::verify_audit;
use ebbgate_domain::{
    approval::Verdict,
    audit::Action,
    flow::{ApprovalPolicy, ApproverGroup, EscalationStep, Need, Voices},
    names::PrincipalId,
    request::RequestState,
};
use jiff::ToSpan as _;

use crate::{
    asked,
    harness::{World, id, key},
};

/// Ben first, Dan after ten minutes, Eve after ten more.
fn in_steps(world: &World) {
    let to = |who: &str| vec![format!("user:{who}@example.com").parse().unwrap()];
    let step = |who| EscalationStep { after: "10m".parse().unwrap(), to: to(who) };
    world.change_flow(|flow| {
        let mut group = ApproverGroup::new("DBAs", Voices::Any, to("ben"));
        group.escalate = vec![step("dan"), step("eve")];
        flow.approval = ApprovalPolicy::groups(Need::All, vec![group], "8h".parse().unwrap());
    });
}

/// Whom the notices of one sort were for, in their order.
async fn told(world: &World, event: &str) -> Vec<PrincipalId> {
    let notices = world.notices().await;
    let of = notices.into_iter().filter(|notice| notice.event == event);
    of.flat_map(|notice| notice.to).collect()
}

#[tokio::test]
async fn each_step_is_told_once_whoever_looks_and_however_often() {
    let world = World::new().await;
    in_steps(&world);
    let request = asked(&world).await;
    assert_eq!(told(&world, "request.created").await, [id("ben")]);
    world.broker.do_due().await;
    world.clock.pass(600);
    // Two replicas look at the same moment, and again after a restart.
    tokio::join!(world.broker.do_due(), world.broker.do_due());
    let world = world.restart();
    world.broker.do_due().await;
    assert_eq!(told(&world, "request.escalated").await, [id("dan")]);
    world.clock.pass(3_600);
    let world = world.restart();
    world.broker.do_due().await;
    assert_eq!(told(&world, "request.escalated").await, [id("eve")]);

    let dan = world.caller("dan");
    world.broker.review(&dan, request, Verdict::Approve, None, None).await.unwrap();
    assert_eq!(told(&world, "request.withdrawn").await, [id("ben"), id("eve")]);
    let escalated = world.events().await.into_iter();
    let escalated = escalated.filter(|event| event.action == Action::RequestEscalated);
    assert_eq!(escalated.count(), 2);
    verify_audit(world.store.as_ref()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_claim_holds_the_next_step_up() {
    let world = World::new().await;
    in_steps(&world);
    let request = asked(&world).await;
    world.clock.pass(300);
    let ben = world.caller("ben");
    let once = key("k", "f");
    world.broker.claim_request(&ben, request, Some(&once)).await.unwrap();
    let again = world.broker.claim_request(&ben, request, Some(&once)).await.unwrap();
    assert_eq!(again.claims.len(), 1, "a repeated call");
    world.clock.pass(300 + 15 * 60 - 1);
    world.broker.do_due().await;
    assert_eq!(told(&world, "request.escalated").await, []);
    world.clock.pass(1);
    world.broker.do_due().await;
    assert_eq!(told(&world, "request.escalated").await, [id("dan")]);
}

#[tokio::test]
async fn a_substitute_is_told_with_the_substitution_and_not_after_its_end() {
    let world = World::new().await;
    in_steps(&world);
    let request = asked(&world).await;
    drop(told(&world, "request.created").await);
    world.clock.pass(1);
    let (ben, eve) = (world.caller("ben"), world.caller("eve"));
    let until = world.now() + 1.hour();
    let wish = DelegationWish { to: id("eve"), since: None, until };
    let once = key("d", "f");
    let made = world.broker.delegate(&ben, &wish, Some(&once)).await.unwrap();
    assert_eq!(world.broker.delegate(&ben, &wish, Some(&once)).await.unwrap().id, made.id);
    assert_eq!(told(&world, "request.waiting").await, [id("eve")]);
    let inbox = world.broker.inbox(&eve, None, 10).await.unwrap();
    assert_eq!(inbox.len(), 1);

    let back = DelegationWish { to: id("ben"), since: None, until };
    let refused = world.broker.delegate(&eve, &back, None).await.unwrap_err();
    assert!(matches!(refused, AppError::Refused(no) if no.code() == "delegation_refused"));
    let dan = world.caller("dan");
    assert!(world.broker.end_delegation(&dan, made.id, None).await.is_err(), "not Dan's");
    let world = world.restart();
    world.broker.end_delegation(&eve, made.id, None).await.unwrap();
    assert_eq!(told(&world, "request.withdrawn").await, [id("eve")]);
    let late = world.broker.review(&eve, request, Verdict::Approve, None, None).await.unwrap_err();
    assert!(matches!(late, AppError::Refused(no) if no.code() == "not_an_approver"));
    assert_eq!(world.broker.delegations(&ben, false).await.unwrap(), []);
    assert_eq!(world.request(request).await.state, RequestState::Pending);
    let actions: Vec<_> = world.events().await.into_iter().map(|event| event.action).collect();
    for action in [Action::DelegationCreated, Action::DelegationEnded] {
        assert_eq!(actions.iter().filter(|found| **found == action).count(), 1, "{action}");
    }
}

#[tokio::test]
async fn a_substitution_that_begins_or_ends_by_itself_is_noticed() {
    let world = World::new().await;
    in_steps(&world);
    let ben = world.caller("ben");
    let since = world.now() + 1.minute();
    let wish = DelegationWish { to: id("eve"), since: Some(since), until: since + 2.minutes() };
    world.broker.delegate(&ben, &wish, None).await.unwrap();
    asked(&world).await;
    assert_eq!(told(&world, "request.created").await, [id("ben")]);
    world.clock.pass(60);
    world.broker.do_due().await;
    assert_eq!(told(&world, "request.waiting").await, [id("eve")]);
    world.clock.pass(120);
    world.broker.do_due().await;
    assert_eq!(told(&world, "request.withdrawn").await, [id("eve")]);
}

#[tokio::test]
async fn an_explanation_names_substitutes_as_approvers() {
    let world = World::new().await;
    in_steps(&world);
    let asked = Asked { user: None, resource: "shop".to_owned(), permission: None, duration: None };
    let could_approve = async || {
        let explained = world.broker.explain(&world.caller("ana"), &asked).await.unwrap();
        let ways = explained.explanation.flows.into_iter().flat_map(|flow| flow.ways);
        let tallies = ways.flat_map(|way| way.outcome.unwrap().tallies).collect::<Vec<_>>();
        format!("{tallies:?}")
    };
    let eve = id("eve").to_string();
    let before = could_approve().await;
    let until = world.now() + 2.minutes();
    let wish = DelegationWish { to: id("eve"), since: None, until };
    world.broker.delegate(&world.caller("ben"), &wish, None).await.unwrap();
    let after = could_approve().await;
    assert!(after.matches(&eve).count() > before.matches(&eve).count(), "{before}\n{after}");
}
