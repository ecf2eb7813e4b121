//! People who leave lose everything at once, whatever fails or goes on meanwhile (I10).

use std::collections::BTreeSet;

use ebbgate_broker_ports::Outcome;
use ebbgate_domain::{
    grant::{GrantState, RevokeReason},
    order::{OrderAction, Provisioned},
    request::RequestState,
};

use crate::{active, approved, asked, harness::World};

#[tokio::test]
async fn a_leavers_requests_are_cancelled_and_grants_revoked() {
    let world = World::new().await;
    approved(&world).await;
    world.broker.do_due().await;
    let order = world.place.take_one();
    world.answer(&order, Outcome::Provisioned(Provisioned::default())).await;
    let waiting = asked(&world).await;

    world.disable("ana");
    world.broker.settle_leavers().await.unwrap();
    assert_eq!(world.request(waiting).await.state, RequestState::Cancelled);
    assert_eq!(world.place.take_one().action, OrderAction::Revoke);
}

#[tokio::test]
async fn one_that_fails_keeps_no_other_from_its_end_and_is_tried_again() {
    let world = World::new().await;
    let mut grants = Vec::new();
    for _ in 0..3 {
        grants.push(active(&world).await.spec.grant);
    }
    world.spoil(grants[1], true).await;
    world.disable("ana");
    assert!(world.broker.settle_leavers().await.is_err(), "the failure is told");
    let ended: BTreeSet<_> = world.place.take().iter().map(|order| order.spec.grant).collect();
    assert_eq!(ended, [grants[0], grants[2]].into());

    // The next ticks try it again, at growing intervals; nobody has to reload or restart.
    world.broker.do_due().await;
    assert!(world.place.take().is_empty());
    world.spoil(grants[1], false).await;
    world.clock.pass(2);
    world.broker.do_due().await;
    let order = world.place.take_one();
    assert_eq!((order.spec.grant, order.action), (grants[1], OrderAction::Revoke));
}

#[tokio::test]
async fn what_is_approved_while_its_requester_leaves_never_begins() {
    let world = World::new().await;
    // As if whoever approved had read the settings of before, and committed when those who look for
    // leavers had passed by already.
    approved(&world).await;
    world.disable("ana");
    world.broker.do_due().await;
    assert!(world.place.take().is_empty(), "no order is sent");
    let grant = world.only_grant().await;
    let GrantState::Revoked { reason, finding, .. } = &grant.state else { panic!("{grant:?}") };
    assert_eq!((reason, finding), (&RevokeReason::RequesterLeft, &None));
    assert!(world.request(grant.request).await.is_over());
}
