//! Several agents of one integration: exactly one has a grant, and another takes over where it is
//! away.

use ebbgate_broker_ports::{Outcome, store::Write};
use ebbgate_connector_api::CredentialWish;
use ebbgate_domain::{
    audit::Action,
    clock_offset::ClockState,
    grant::{Grant, GrantState, RevokeReason},
    order::{EndCause, OrderAction, Provisioned},
    placing::Candidate,
};

use crate::{
    active, approved,
    harness::{World, agent, finding, orders, torn_down},
};

/// Two agents, and an active grant that one of them has: its name, the other's, and the order.
async fn at_one_of_two(world: &World) -> (String, &'static str, ebbgate_domain::order::Order) {
    world.place.comes("db-us");
    approved(world).await;
    world.broker.do_due().await;
    let mut sent = world.place.take_sent();
    assert_eq!(sent.len(), 1, "exactly one gets the order: {sent:?}");
    let (name, order) = sent.remove(0);
    world.answer(&order, Outcome::Provisioned(Provisioned::default())).await;
    assert_eq!(world.grant(order.spec.grant).await.place.as_ref(), Some(&name));
    let other = if name.as_str() == "db-eu" { "db-us" } else { "db-eu" };
    (name.to_string(), other, order)
}

#[tokio::test]
async fn another_agent_ends_at_the_deadline_what_an_absent_one_holds() {
    let world = World::new().await;
    let (first, other, order) = at_one_of_two(&world).await;
    world.place.goes(&first);
    world.clock.pass(60);
    world.broker.do_due().await;
    let sent = world.place.take_sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!((sent[0].0.as_str(), sent[0].1.action), (other, OrderAction::Revoke));
    let moved = world.events_of(Action::GrantMoved).await;
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].details["to"], other);

    // The first was cut off, not dead: it fails at its own teardown again and again. That is no news.
    let stuck = Outcome::TeardownFailed { error: "down".to_owned() };
    world.answer_as(&first, &order, stuck).await;
    assert_eq!(world.events_of(Action::GrantStaleOrder).await, []);
    assert!(world.place.take_over().is_empty());
    world.answer(&sent[0].1, torn_down(world.now())).await;
    assert!(world.grant(order.spec.grant).await.is_over());
    assert_eq!(world.place.take_over(), [order.spec.grant], "the others hear of it");
}

#[tokio::test]
async fn an_agent_that_comes_relieves_an_absent_one_at_once() {
    let world = World::new().await;
    let order = active(&world).await;
    world.place.goes("db-eu");
    world.clock.pass(60);
    for _ in 0..4 {
        world.broker.do_due().await;
        world.clock.pass(1);
    }
    assert!(world.place.take().is_empty(), "nobody is there");
    world.place.comes("db-us");
    world.broker.relieve(&[orders()]).await.unwrap();
    let sent = world.place.take_sent();
    assert_eq!((sent.len(), sent[0].0.as_str()), (1, "db-us"));
    assert_eq!(sent[0].1.spec.grant, order.spec.grant);
}

#[tokio::test]
async fn a_provision_that_is_not_answered_goes_to_another_agent() {
    let world = World::new().await;
    approved(&world).await;
    world.broker.do_due().await;
    let lost = world.place.take_one();
    world.place.goes("db-eu");
    world.place.comes("db-us");
    world.clock.pass(29);
    world.broker.do_due().await;
    assert!(world.place.take().is_empty(), "it may still be under way");
    world.clock.pass(1);
    world.broker.do_due().await;
    let sent = world.place.take_sent();
    assert_eq!((sent[0].0.as_str(), sent[0].1.action), ("db-us", OrderAction::Provision));

    // The former place's late answers confuse nothing.
    world.answer_as("db-eu", &lost, Outcome::Provisioned(Provisioned::default())).await;
    assert_eq!(world.grant(lost.spec.grant).await.state_name(), "provisioning");
    world.answer(&sent[0].1, Outcome::Provisioned(Provisioned::default())).await;
    assert_eq!(world.grant(lost.spec.grant).await.state_name(), "active");
}

#[tokio::test]
async fn no_new_grants_for_an_agent_that_drains_or_whose_clock_is_far_off() {
    let world = World::new().await;
    let drains = Candidate { name: agent("db-eu"), draining: true, clock: ClockState::Ok };
    let is_off = Candidate { name: agent("db-us"), draining: false, clock: ClockState::Refused };
    world.place.comes_as(drains);
    world.place.comes_as(is_off);
    approved(&world).await;
    world.broker.do_due().await;
    assert!(world.place.take().is_empty());
    world.place.comes_as(Candidate {
        name: agent("db-us"),
        draining: false,
        clock: ClockState::Alarm,
    });
    world.broker.do_due().await;
    assert_eq!(world.place.take_sent()[0].0, agent("db-us"));
}

#[tokio::test]
async fn each_agent_is_told_its_own_orders_and_of_the_others_grants() {
    let world = World::new().await;
    let (first, other, order) = at_one_of_two(&world).await;
    let own = world.broker.standing(&agent(&first), &[orders()]).await.unwrap();
    assert_eq!((own.orders.len(), own.elsewhere.len()), (1, 0));
    let others = world.broker.standing(&agent(other), &[orders()]).await.unwrap();
    assert_eq!((others.orders.len(), others.elsewhere), (0, vec![order.spec.grant]));
    assert_eq!(world.broker.standing(&agent(other), &[]).await.unwrap().orders, []);
}

#[tokio::test]
async fn a_grant_from_before_places_were_kept_is_claimed_by_one_agent() {
    let world = World::new().await;
    let order = active(&world).await;
    let mut stored = world.store.grant(order.spec.grant).await.unwrap().unwrap();
    stored.value = Grant { place: None, ..stored.value };
    let grants = vec![Write::Update(stored)];
    let change = ebbgate_broker_ports::store::Change { grants, ..Default::default() };
    world.store.commit(change).await.unwrap();

    let first = world.broker.standing(&agent("db-us"), &[orders()]).await.unwrap();
    assert_eq!(first.orders.len(), 1);
    let second = world.broker.standing(&agent("db-eu"), &[orders()]).await.unwrap();
    assert_eq!((second.orders.len(), second.elsewhere.len()), (0, 1));
}

#[tokio::test]
async fn whoever_wants_to_use_a_grant_of_an_absent_agent_is_served_by_another() {
    let world = World::new().await;
    let (first, other, order) = at_one_of_two(&world).await;
    world.place.goes(&first);
    let ana = world.caller("ana");
    let wish = || CredentialWish::Issue;
    let issued = world.broker.credential(&ana, order.spec.grant, wish(), None).await.unwrap();
    let [(taker, provision)] = &world.place.take_sent()[..] else { panic!("not one order") };
    assert_eq!((taker.as_str(), provision.action), (other, OrderAction::Provision));
    assert_eq!(issued.grant.place, Some(agent(other)));
    assert!(issued.grant.seq > provision.seq, "it is asked after the order, and waits for its end");
}

#[tokio::test]
async fn an_end_that_nobody_ordered_tells_why() {
    let world = World::new().await;
    for (cause, reason) in
        [(EndCause::CutOff, RevokeReason::CutOff), (EndCause::Missing, RevokeReason::Missing)]
    {
        let order = active(&world).await;
        let ended = Outcome::TornDown { finding: finding(world.now()), cause };
        world.answer(&order, ended).await;
        let grant = world.grant(order.spec.grant).await;
        assert!(
            matches!(&grant.state, GrantState::Revoked { reason: told, .. } if *told == reason),
            "{grant:?}"
        );
    }
}
