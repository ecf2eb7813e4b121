//! Targets that the broker serves itself: what bears our mark there and belongs to nobody goes.

use ebbgate_broker_app::DriftReport;
use ebbgate_domain::{
    audit::{Action, Actor},
    ids::GrantId,
};

use crate::{
    active,
    harness::{Target, World, orders},
};

async fn looked(world: &World, target: &Target) -> DriftReport {
    world.broker.look_for_drift(&orders(), target).await.unwrap();
    let mut looks = world.broker.drift(&world.caller("audrey")).await.unwrap();
    assert_eq!(looks.len(), 1);
    looks.remove(0)
}

#[tokio::test]
async fn what_belongs_to_nobody_is_removed_when_it_has_been_there_for_a_minute() {
    let world = World::new().await;
    let live = active(&world).await.spec.grant;
    let orphan = GrantId::new(world.now(), [9; 10]);
    let target = Target::marked([live, orphan]);
    for passes in [30, 29, 1] {
        assert_eq!(looked(&world, &target).await.orphans, [orphan]);
        assert_eq!(target.has(), [live, orphan].into());
        world.clock.pass(passes);
    }
    looked(&world, &target).await;
    assert_eq!(target.has(), [live].into());
    let removed = world.events_of(Action::AgentOrphanRemoved).await;
    assert_eq!(removed.len(), 1);
    assert_eq!((&removed[0].actor, removed[0].grant), (&Actor::Broker, Some(orphan)));
    assert_eq!(removed[0].details["finding"], "gone");
    assert_eq!(looked(&world, &target).await.orphans, []);
}

/// Its row was changed by hand, so that nothing in the store knows when it should end.
#[tokio::test]
async fn a_grant_that_is_not_believed_is_torn_down_as_nobodys() {
    let world = World::new().await;
    let (tampered, good) = (active(&world).await.spec.grant, active(&world).await.spec.grant);
    let target = Target::marked([tampered, good]);
    looked(&world, &target).await;
    world.tamper_with(tampered).await;
    world.clock.pass(60);
    assert_eq!(looked(&world, &target).await.orphans, [tampered]);
    assert_eq!(target.has().len(), 2, "seen for the first time");
    world.clock.pass(60);
    looked(&world, &target).await;
    assert_eq!(target.has(), [good].into());
    let removed = world.events_of(Action::AgentOrphanRemoved).await;
    assert_eq!(removed.iter().map(|event| event.grant).collect::<Vec<_>>(), [Some(tampered)]);
    assert_eq!(world.broker.not_believed(), 1);

    // An agent that tells of it is heard.
    let report = DriftReport { orphans: vec![tampered], ..looked(&world, &target).await };
    world.broker.record_drift(report).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_removed_is_tried_again_and_what_comes_back_is_new() {
    let world = World::new().await;
    let orphan = GrantId::new(world.now(), [9; 10]);
    let target = Target::marked([orphan]);
    looked(&world, &target).await;
    target.fails(Some("it refuses"));
    world.clock.pass(60);
    let report = looked(&world, &target).await;
    assert!(report.error.unwrap().contains("it refuses"), "nothing was seen");
    assert_eq!(world.events_of(Action::AgentOrphanRemoved).await, []);
    target.fails(None);
    looked(&world, &target).await;
    assert_eq!(target.has(), [].into());

    target.mark(orphan);
    looked(&world, &target).await;
    assert_eq!(target.has(), [orphan].into(), "its age begins anew");
}
