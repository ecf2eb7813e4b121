//! When access begins, and the warning before it ends: across restarts, each thing once.

use ebbgate_broker_app::{AppError, Wish};
use ebbgate_domain::{
    approval::Verdict,
    audit::Action,
    flow::{Activation, ApprovalPolicy},
    grant::{Grant, GrantState},
    ids::RequestId,
    request::RequestState,
};
use jiff::SignedDuration;

use crate::{approved, harness::World, wish};

const HOUR: i64 = 3_600;

fn by_requester(world: &World) {
    world.change_flow(|flow| {
        flow.activation = Activation::ByRequester { within: "12h".parse().unwrap() };
    });
}

async fn only_grant(world: &World, request: RequestId) -> Grant {
    let item = world.request(request).await.items.remove(0);
    world.grant(item.grant).await
}

#[tokio::test]
async fn an_approval_overnight_burns_no_time() {
    let world = World::new().await;
    by_requester(&world);
    let request = approved(&world).await;
    world.clock.pass(9 * HOUR);
    let world = world.restart();
    world.go_on().await;
    assert_eq!(world.request(request).await.state, RequestState::Approved);
    assert!(world.place.take().is_empty(), "nothing begins by itself");

    let ana = world.caller("ana");
    world.broker.activate(&ana, request, None).await.unwrap();
    world.go_on().await;
    let grant = only_grant(&world, request).await;
    assert_eq!(grant.state, GrantState::Active);
    assert_eq!(grant.deadline, Some(world.now() + SignedDuration::from_secs(60)));
    let again = world.broker.activate(&ana, request, None).await.unwrap_err();
    assert!(matches!(again, AppError::Refused(no) if no.code() == "nothing_to_activate"));
}

#[tokio::test]
async fn two_activations_at_once_make_one_grant() {
    let world = World::new().await;
    by_requester(&world);
    let request = approved(&world).await;
    let ana = world.caller("ana");
    let (first, second) = tokio::join!(
        world.broker.activate(&ana, request, None),
        world.broker.activate(&ana, request, None),
    );
    assert!(first.is_ok() != second.is_ok());
    world.broker.do_due().await;
    world.place.take_one();
}

#[tokio::test]
async fn not_activated_in_time_it_lapses_although_the_broker_was_down() {
    let world = World::new().await;
    by_requester(&world);
    let request = approved(&world).await;
    world.clock.pass(13 * HOUR);
    let world = world.restart();
    world.broker.do_due().await;
    assert_eq!(world.request(request).await.state, RequestState::Lapsed);
    assert!(world.place.take().is_empty());
    let told: Vec<_> = world.notices().await.into_iter().map(|notice| notice.event).collect();
    assert_eq!(told.iter().filter(|event| *event == "request.lapsed").count(), 1, "{told:?}");
}

#[tokio::test]
async fn a_start_that_was_asked_for_comes_once_although_the_broker_was_down() {
    let world = World::new().await;
    let starts_at = Some(world.now() + SignedDuration::from_hours(6));
    let ana = world.caller("ana");
    let asked = Wish { starts_at, ..wish() };
    let request = world.broker.submit(&ana, &asked, None).await.unwrap().0.id;
    let ben = world.caller("ben");
    world.broker.review(&ben, request, Verdict::Approve, None, None).await.unwrap();
    world.clock.pass(6 * HOUR - 1);
    world.broker.do_due().await;
    assert!(world.place.take().is_empty());

    world.clock.pass(1_000);
    let world = world.restart();
    world.broker.do_due().await;
    world.broker.do_due().await;
    let order = world.place.take_one();
    let deadline = world.now() + SignedDuration::from_secs(60);
    assert_eq!(order.spec.deadline, deadline, "its time begins when it can be used");
    let events = world.events().await;
    let begun = events.iter().filter(|event| event.action == Action::RequestActivated);
    assert_eq!(begun.count(), 1);
}

#[tokio::test]
async fn a_warning_comes_once_before_the_end_whenever_the_broker_dies() {
    let world = World::new().await;
    world.change_flow(|flow| {
        flow.approval = ApprovalPolicy::Automatic;
        flow.duration.warn = Some("15s".parse().unwrap());
    });
    let ana = world.caller("ana");
    let request = world.broker.submit(&ana, &wish(), None).await.unwrap().0.id;
    world.go_on().await;
    let warnings = async |world: &World| {
        let told = world.notices().await;
        told.into_iter().filter(|notice| notice.event == "grant.ending_soon").count()
    };
    world.clock.pass(44);
    world.go_on().await;
    assert_eq!(warnings(&world).await, 0);
    // It dies before the warning is on record, and is late.
    world.clock.pass(3);
    let world = world.restart();
    world.go_on().await;
    // It dies when it is on record and in the outbox, before a channel has it.
    let world = world.restart();
    world.go_on().await;
    assert_eq!(warnings(&world).await, 1);
    world.clock.pass(30);
    world.go_on().await;
    assert_eq!(warnings(&world).await, 0);
    assert!(only_grant(&world, request).await.is_over());
    let events = world.events().await;
    let warned = events.iter().filter(|event| event.action == Action::GrantEndingSoon);
    assert_eq!(warned.count(), 1);
}

#[tokio::test]
async fn the_end_of_one_grant_leaves_the_others_of_its_person_alone() {
    let world = World::new().await;
    let (first, second) = (approved(&world).await, approved(&world).await);
    world.go_on().await;
    let (one, two) = (only_grant(&world, first).await, only_grant(&world, second).await);
    assert_eq!((&one.principal, &one.resource), (&two.principal, &two.resource));
    assert_ne!(one.id, two.id, "each has what is made on the target for itself");

    let ana = world.caller("ana");
    world.broker.release(&ana, one.id, None).await.unwrap();
    let order = world.place.take_one();
    assert_eq!(order.spec.grant, one.id);
    world.answer(&order, crate::harness::torn_down(world.now())).await;
    assert!(world.grant(one.id).await.is_over());
    assert_eq!(world.grant(two.id).await, two, "nothing of it changed");
}
