//! Faults that broke systems of this kind: each happened to somebody.

use std::collections::BTreeSet;

use ebbgate_broker_ports::{
    Outcome,
    store::{Change, Write},
};
use ebbgate_domain::{
    approval::Verdict,
    audit::Action,
    grant::{Grant, GrantState},
    ids::{GrantId, RequestId},
    order::OrderAction,
    request::AccessRequest,
};
use jiff::SignedDuration;

use crate::{
    active, approved,
    harness::{World, torn_down},
};

/// So many grants like one that is active, due one after the other from its deadline on.
async fn multiply(world: &World, one: GrantId, many: i64) {
    let grant = world.grant(one).await;
    let request = world.request(grant.request).await;
    let (mut requests, mut grants) = (Vec::new(), Vec::new());
    for n in 0..many {
        let mut entropy = [1; 10];
        entropy[..8].copy_from_slice(&n.to_be_bytes());
        let at = world.now();
        let (id, of) = (GrantId::new(at, entropy), RequestId::new(at, entropy));
        let deadline = grant.deadline.map(|end| end + SignedDuration::from_millis(n));
        requests.push(Write::Insert(AccessRequest { id: of, ..request.clone() }));
        grants.push(Write::Insert(Grant { id, request: of, deadline, ..grant.clone() }));
    }
    world.store.commit(Change { requests, grants, ..Change::default() }).await.unwrap();
}

#[tokio::test]
async fn ten_thousand_overdue_grants_are_served_at_once_earliest_first() {
    const MANY: usize = 10_000;
    let world = World::new().await;
    let one = active(&world).await.spec.grant;
    multiply(&world, one, MANY as i64 - 1).await;
    world.clock.pass(3_600);
    let world = world.restart();
    world.broker.do_due().await;
    let sent = world.place.take();
    assert_eq!(sent.len(), MANY, "each once, in one go");
    let ids: BTreeSet<_> = sent.iter().map(|order| order.spec.grant).collect();
    assert_eq!(ids.len(), MANY);
    assert!(sent.iter().all(|order| order.action == OrderAction::Revoke));
    // Read and served by the page: whoever is due last never holds up whoever is due first.
    let page = 256;
    let latest = |orders: &[ebbgate_domain::order::Order]| {
        orders.iter().map(|order| order.spec.deadline).max().unwrap()
    };
    let earliest = sent[page..].iter().map(|order| order.spec.deadline).min().unwrap();
    assert!(latest(&sent[..page]) <= earliest, "the first page is the earliest");
}

#[tokio::test]
async fn a_grant_on_an_integration_that_left_the_settings_is_stuck_and_not_lost() {
    let world = World::new().await;
    let order = active(&world).await;
    let grant = order.spec.grant;
    world.place.set_known(false);
    world.clock.pass(60);
    for _ in 0..4 {
        world.broker.do_due().await;
        world.clock.pass(10);
    }
    let stuck = world.grant(grant).await;
    assert!(stuck.is_stuck() && !stuck.is_over(), "{stuck:?}");
    let GrantState::Revoking { attempts, .. } = &stuck.state else { panic!("{stuck:?}") };
    let why = attempts.last_error.clone().unwrap();
    assert!(why.contains("the integration orders is not configured"), "{why}");
    assert!(world.meter.is_stuck(grant));

    // A broker that starts anew counts it too, and ends it when the settings have it again.
    let world = world.restart();
    assert!(!world.meter.is_stuck(grant));
    world.broker.count_stuck().await.unwrap();
    assert!(world.meter.is_stuck(grant));
    world.clock.pass(600);
    world.broker.do_due().await;
    let again = world.place.take_one();
    world.answer(&again, torn_down(world.now())).await;
    assert!(world.grant(grant).await.is_over() && !world.meter.is_stuck(grant));
}

#[tokio::test]
async fn an_agent_that_knows_more_than_a_restored_store_is_believed_about_an_end() {
    let world = World::new().await;
    let order = active(&world).await;
    let backup = world.back_up().await;
    let ana = world.caller("ana");
    world.broker.release(&ana, order.spec.grant, None).await.unwrap();
    let revoke = world.place.take_one();
    // Restored to what it was before the release: the order's number is unknown to it.
    let world = world.restored(&backup).await;
    assert_eq!(world.grant(order.spec.grant).await.state_name(), "active");
    world.answer(&revoke, torn_down(world.now())).await;
    assert!(world.grant(order.spec.grant).await.is_over(), "what is verified gone is gone");
    // And it does not come back by what was planned before.
    world.clock.pass(60);
    world.broker.do_due().await;
    assert!(world.place.take().is_empty());
}

#[tokio::test]
async fn of_two_grants_on_one_database_the_first_end_leaves_the_other() {
    let world = World::new().await;
    let first = active(&world).await.spec.grant;
    world.clock.pass(30);
    let second = active(&world).await.spec.grant;
    world.clock.pass(30);
    world.broker.do_due().await;
    let order = world.place.take_one();
    assert_eq!(order.spec.grant, first);
    world.answer(&order, torn_down(world.now())).await;
    let other = world.grant(second).await;
    assert_eq!((other.state_name(), other.seq), ("active", 1));
}

#[tokio::test]
async fn nothing_says_revoked_while_the_target_refuses_and_the_reason_is_told() {
    let world = World::new().await;
    let order = active(&world).await;
    let ana = world.caller("ana");
    world.broker.release(&ana, order.spec.grant, None).await.unwrap();
    let revoke = world.place.take_one();
    let refused = Outcome::TeardownFailed { error: "permission denied to drop role".to_owned() };
    world.answer(&revoke, refused).await;
    let grant = world.grant(order.spec.grant).await;
    let GrantState::Revoking { attempts, .. } = &grant.state else { panic!("{grant:?}") };
    assert_eq!(attempts.last_error.as_deref(), Some("permission denied to drop role"));
    assert!(!world.request(grant.request).await.is_over(), "nor is the request over");
    assert_eq!(world.events_of(Action::GrantRevoked).await, []);
}

#[tokio::test]
async fn there_is_one_deadline_and_a_long_grant_outlives_every_timer_of_ours() {
    let world = World::new().await;
    let order = active(&world).await;
    let mut stored = world.store.grant(order.spec.grant).await.unwrap().unwrap();
    let week = stored.value.deadline.unwrap() + SignedDuration::from_hours(7 * 24);
    stored.value.deadline = Some(week);
    let change = Change { grants: vec![Write::Update(stored)], ..Change::default() };
    world.store.commit(change).await.unwrap();
    for _ in 0..20 {
        world.clock.pass(600);
        world.broker.do_due().await;
    }
    assert!(world.place.take().is_empty(), "neither ended nor ordered again");
    let grant = world.grant(order.spec.grant).await;
    assert_eq!(grant.state_name(), "active");
    assert_eq!(grant.standing_order().unwrap().spec.deadline, week, "every order says the same");
    world.clock.pass(7 * 24 * 3_600);
    world.broker.do_due().await;
    assert_eq!(world.place.take_one().action, OrderAction::Revoke);
}

#[tokio::test]
async fn denying_or_withdrawing_what_is_approved_says_that_it_ends_nothing() {
    let world = World::new().await;
    let request = approved(&world).await;
    let (ana, dan) = (world.caller("ana"), world.caller("dan"));
    let deny = world.broker.review(&dan, request, Verdict::Deny, Some("no"), None).await;
    assert!(deny.unwrap_err().to_string().contains("already"));
    assert!(world.broker.cancel(&ana, request, None).await.is_err());
    // What does end it is the release, and at that even before anything was sent.
    world.broker.do_due().await;
    let order = world.place.take_one();
    world.broker.release(&ana, order.spec.grant, None).await.unwrap();
    assert_eq!(world.place.take_one().action, OrderAction::Revoke);
}
