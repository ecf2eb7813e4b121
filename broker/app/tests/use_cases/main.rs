//! The use cases on a real store, with a clock that tests move and agents that note their orders.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod approval;
mod drift;
mod emergencies;
mod extension;
mod faults;
mod fleet;
mod flows;
mod guardrails;
mod harness;
mod leavers;
mod losses;
mod outbox;
mod places;
mod reports;
mod time;

use ebbgate_broker_app::{AppError, Wish, WishItem};
use ebbgate_broker_ports::{Outcome, store::RequestQuery, verify_audit};
use ebbgate_domain::{
    approval::Verdict,
    audit::{Action, Actor},
    grant::GrantState,
    ids::RequestId,
    order::{EndCause, Order, OrderAction, Provisioned},
    request::RequestState,
};
use harness::{World, finding, id, key, torn_down};

pub(crate) fn wish() -> Wish {
    Wish {
        items: vec![WishItem { resource: "shop".to_owned(), permission: None }],
        flow: None,
        duration: None,
        reason: Some("order 17".to_owned()),
        ticket: None,
        starts_at: None,
    }
}

pub(crate) async fn asked(world: &World) -> RequestId {
    let ana = world.caller("ana");
    world.broker.submit(&ana, &wish(), None).await.unwrap().0.id
}

pub(crate) async fn approved(world: &World) -> RequestId {
    let request = asked(world).await;
    let ben = world.caller("ben");
    world.broker.review(&ben, request, Verdict::Approve, None, None).await.unwrap();
    request
}

/// An active grant, as the order that made it.
pub(crate) async fn active(world: &World) -> Order {
    approved(world).await;
    world.broker.do_due().await;
    let order = world.place.take_one();
    world.answer(&order, Outcome::Provisioned(Provisioned::default())).await;
    order
}

#[tokio::test]
async fn from_request_to_proof() {
    let world = World::new().await;
    let request = approved(&world).await;
    world.broker.do_due().await;
    let order = world.place.take_one();
    assert_eq!(order.action, OrderAction::Provision);
    world.answer(&order, Outcome::Provisioned(Provisioned::default())).await;
    assert_eq!(world.request(request).await.state, RequestState::Active);

    world.clock.pass(60);
    world.broker.do_due().await;
    let order = world.place.take_one();
    assert_eq!(order.action, OrderAction::Revoke);
    world.answer(&order, torn_down(world.now())).await;

    let grant = world.grant(order.spec.grant).await;
    assert!(matches!(grant.state, GrantState::Revoked { finding: Some(_), .. }));
    assert!(matches!(world.request(request).await.state, RequestState::Ended { .. }));
    verify_audit(world.store.as_ref()).await.unwrap().unwrap();
}

#[tokio::test]
async fn two_approvers_at_once_make_one_grant() {
    let world = World::new().await;
    let request = asked(&world).await;
    let (ben, dan) = (world.caller("ben"), world.caller("dan"));
    let (first, second) = tokio::join!(
        world.broker.review(&ben, request, Verdict::Approve, None, None),
        world.broker.review(&dan, request, Verdict::Approve, None, None),
    );
    assert_eq!([first.is_ok(), second.is_ok()].iter().filter(|ok| **ok).count(), 1);
    let refused = first.err().or(second.err()).unwrap();
    assert!(matches!(refused, AppError::Refused(refusal) if refusal.code() == "already_decided"));
    world.broker.do_due().await;
    world.place.take_one();
}

#[tokio::test]
async fn one_key_makes_one_request() {
    let world = World::new().await;
    let ana = world.caller("ana");
    let (key, wish) = (key("k-1", "a"), wish());
    let (first, second) = tokio::join!(
        world.broker.submit(&ana, &wish, Some(&key)),
        world.broker.submit(&ana, &wish, Some(&key)),
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.0.id, second.0.id);
    assert!(first.1 != second.1, "one is new, the other a repeat");
    let other = harness::key("k-1", "b");
    let reused = world.broker.submit(&ana, &wish, Some(&other)).await.unwrap_err();
    assert!(matches!(reused, AppError::KeyReused));
}

#[tokio::test]
async fn a_refusal_is_recorded_and_changes_nothing() {
    let world = World::new().await;
    let eve = world.caller("eve");
    let refused = world.broker.submit(&eve, &wish(), None).await.unwrap_err();
    assert!(matches!(refused, AppError::Refused(refusal) if refusal.code() == "not_a_requester"));
    let events = world.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].action, Action::RequestRefused);
    assert_eq!(events[0].details["code"], "not_a_requester");
    let all = RequestQuery { limit: 10, ..RequestQuery::default() };
    assert!(world.store.requests(&all).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_fell_due_while_the_broker_was_down_is_done_at_start_earliest_first() {
    let world = World::new().await;
    let mut grants = Vec::new();
    for _ in 0..3 {
        approved(&world).await;
        world.broker.do_due().await;
        let order = world.place.take_one();
        world.answer(&order, Outcome::Provisioned(Provisioned::default())).await;
        grants.push(order.spec.grant);
        world.clock.pass(1);
    }
    world.clock.pass(3_600);
    let world = world.restart();
    world.broker.do_due().await;
    let orders = world.place.take();
    assert!(orders.iter().all(|order| order.action == OrderAction::Revoke));
    let mut torn_down: Vec<_> = orders.iter().map(|order| order.spec.grant).collect();
    torn_down.sort();
    assert_eq!(torn_down, grants);
}

#[tokio::test]
async fn an_order_that_was_lost_with_the_broker_is_sent_again() {
    let world = World::new().await;
    approved(&world).await;
    world.broker.do_due().await;
    let lost = world.place.take_one();
    let world = world.restart();
    world.broker.do_due().await;
    assert!(world.place.take().is_empty(), "it may still be under way");
    world.clock.pass(30);
    world.broker.do_due().await;
    let again = world.place.take_one();
    assert_eq!(again.seq, lost.seq + 1);

    // The first one's answer comes late: it changes nothing, and is on record.
    world.answer(&lost, Outcome::Provisioned(Provisioned::default())).await;
    assert_eq!(world.grant(lost.spec.grant).await.state_name(), "provisioning");
    assert_eq!(world.events().await.last().unwrap().action, Action::GrantStaleOrder);
}

#[tokio::test]
async fn a_place_that_is_away_is_tried_again() {
    let world = World::new().await;
    approved(&world).await;
    world.place.goes("db-eu");
    world.broker.do_due().await;
    assert!(world.place.take().is_empty(), "nothing is begun without its agent");
    world.place.comes("db-eu");
    world.broker.do_due().await;
    let order = world.place.take_one();
    world.answer(&order, Outcome::Provisioned(Provisioned::default())).await;

    world.place.goes("db-eu");
    world.clock.pass(60);
    for _ in 0..3 {
        world.broker.do_due().await;
        world.clock.pass(10);
    }
    let grant = world.grant(order.spec.grant).await;
    assert!(grant.is_stuck(), "{grant:?}");
    world.place.comes("db-eu");
    world.clock.pass(600);
    world.broker.do_due().await;
    assert_eq!(world.place.take_one().action, OrderAction::Revoke);
}

#[tokio::test]
async fn a_request_is_hidden_from_those_it_does_not_concern() {
    let world = World::new().await;
    let request = asked(&world).await;
    assert!(world.broker.request(&world.caller("ana"), request).await.is_ok());
    assert!(world.broker.request(&world.caller("ben"), request).await.is_ok());
    assert!(world.broker.request(&world.caller("audrey"), request).await.is_ok());
    let hidden = world.broker.request(&world.caller("eve"), request).await.unwrap_err();
    assert!(matches!(hidden, AppError::NotFound { .. }));
    assert_eq!(world.broker.inbox(&world.caller("ben"), None, 10).await.unwrap().len(), 1);
    assert!(world.broker.inbox(&world.caller("ana"), None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn only_its_principal_releases_and_only_administrators_revoke() {
    let world = World::new().await;
    approved(&world).await;
    world.broker.do_due().await;
    let order = world.place.take_one();
    world.answer(&order, Outcome::Provisioned(Provisioned::default())).await;
    let grant = order.spec.grant;
    let refused = world.broker.release(&world.caller("audrey"), grant, None).await.unwrap_err();
    assert!(matches!(refused, AppError::Refused(refusal) if refusal.code() == "not_the_requester"));
    let forbidden = world.broker.revoke(&world.caller("ana"), grant, "x", None).await.unwrap_err();
    assert!(matches!(forbidden, AppError::Forbidden { .. }));
    world.broker.release(&world.caller("ana"), grant, None).await.unwrap();
    assert_eq!(world.place.take_one().action, OrderAction::Revoke);
    let actor = &world.events().await.last().unwrap().actor.clone();
    assert_eq!(*actor, Actor::Principal(id("ana")));
}

#[tokio::test]
async fn why_an_agent_ended_a_grant_is_the_grants_reason() {
    for (cause, reason) in [
        (EndCause::Deadline, "expired"),
        (EndCause::CutOff, "cut-off"),
        (EndCause::Missing, "missing"),
    ] {
        let world = World::new().await;
        approved(&world).await;
        world.broker.do_due().await;
        let order = world.place.take_one();
        world.answer(&order, Outcome::Provisioned(Provisioned::default())).await;
        let finding = finding(world.now());
        world.answer(&order, Outcome::TornDown { finding, cause }).await;
        let GrantState::Revoked { reason: told, .. } = world.grant(order.spec.grant).await.state
        else {
            panic!("it is not over")
        };
        assert_eq!(told.as_str(), reason);
    }
}
