//! More time: decided by the same people, ordered once for each grant, and whatever dies between.

use ebbgate_broker_app::AppError;
use ebbgate_broker_ports::Outcome;
use ebbgate_domain::{
    approval::Verdict,
    audit::Action,
    flow::ApprovalPolicy,
    grant::{Grant, GrantState},
    ids::RequestId,
    order::{EndCause, OrderAction, Provisioned},
    request::RequestState,
};
use jiff::SignedDuration;

use crate::{
    approved,
    harness::{World, finding, torn_down},
};

/// A request of Ana's, active for a minute from now on.
async fn active(world: &World) -> (RequestId, Grant) {
    world.change_flow(|flow| flow.duration.extend = true);
    let request = approved(world).await;
    world.go_on().await;
    let grant = world.request(request).await.items[0].grant;
    (request, world.grant(grant).await)
}

async fn ask(world: &World, request: RequestId, by: &str) -> Result<(), AppError> {
    let ana = world.caller("ana");
    world.broker.extend(&ana, request, by.parse().unwrap(), Some("not done"), None).await.map(drop)
}

async fn approve(world: &World, request: RequestId) {
    let dan = world.caller("dan");
    world.broker.review(&dan, request, Verdict::Approve, None, None).await.unwrap();
}

fn later(grant: &Grant, seconds: i64) -> Option<ebbgate_domain::Timestamp> {
    grant.deadline.map(|end| end + SignedDuration::from_secs(seconds))
}

#[tokio::test]
async fn a_live_grant_lasts_until_its_new_end() {
    let world = World::new().await;
    let (request, before) = active(&world).await;
    ask(&world, request, "2m").await.unwrap();
    assert!(world.place.take().is_empty(), "nothing is ordered before somebody has approved");
    let dan = world.caller("dan");
    let waiting = world.broker.inbox(&dan, None, 10).await.unwrap();
    assert_eq!(waiting.iter().map(|asked| asked.id).collect::<Vec<_>>(), [request]);

    approve(&world, request).await;
    let order = world.place.take_one();
    assert_eq!(order.action, OrderAction::Provision);
    assert!(order.seq > before.seq);
    assert_eq!(Some(order.spec.deadline), later(&before, 120));
    world.answer(&order, Outcome::Provisioned(Provisioned::default())).await;
    assert_eq!(world.grant(before.id).await.active_since, before.active_since);

    world.clock.pass(100);
    world.go_on().await;
    assert_eq!(world.grant(before.id).await.state, GrantState::Active, "past the old end");
    world.clock.pass(80);
    world.go_on().await;
    assert!(world.grant(before.id).await.is_over());
    assert!(matches!(world.request(request).await.state, RequestState::Ended { .. }));
}

#[tokio::test]
async fn an_order_that_was_lost_with_the_broker_is_sent_again_and_once_is_enough() {
    let world = World::new().await;
    let (request, before) = active(&world).await;
    ask(&world, request, "1h").await.unwrap_err();
    ask(&world, request, "30m").await.unwrap();
    approve(&world, request).await;
    let lost = world.place.take_one();
    // It died when the intent was on record and before the order left, or before it was answered.
    let world = world.restart();
    assert_eq!(world.grant(before.id).await.deadline, later(&before, 1_800));
    world.clock.pass(30);
    world.broker.do_due().await;
    let again = world.place.take_one();
    assert_eq!((again.action, again.spec.deadline), (lost.action, lost.spec.deadline));
    world.answer(&lost, Outcome::Provisioned(Provisioned::default())).await;
    world.answer(&again, Outcome::Provisioned(Provisioned::default())).await;
    let world = world.restart();
    world.clock.pass(60);
    world.broker.do_due().await;
    assert!(world.place.take().is_empty(), "it is known now");
    let events = world.events().await;
    let count = |action| events.iter().filter(|event| event.action == action).count();
    assert_eq!((count(Action::GrantExtending), count(Action::GrantExtended)), (1, 1));
}

#[tokio::test]
async fn the_end_that_an_agent_knows_holds_where_the_order_never_came() {
    let world = World::new().await;
    let (request, before) = active(&world).await;
    world.place.goes("db-eu");
    ask(&world, request, "30m").await.unwrap();
    approve(&world, request).await;
    let grant = world.grant(before.id).await;
    assert_eq!(grant.extending.unwrap().from, before.deadline.unwrap());
    let told = world.notices().await;
    assert!(told.iter().any(|notice| notice.event == "grant.extend_failed"), "{told:?}");
    world.clock.pass(60);
    world.broker.do_due().await;
    world.place.comes("db-eu");
    // What it did by its own timer while it was away.
    let outcome =
        Outcome::TornDown { finding: finding(before.deadline.unwrap()), cause: EndCause::Deadline };
    let agent = ebbgate_domain::audit::Actor::Agent(before.place.clone().unwrap());
    let now = world.now();
    world.broker.record_outcome(before.id, before.seq, outcome, agent, now).await.unwrap();
    assert!(world.grant(before.id).await.is_over());
    let events = world.events().await;
    let end = events.iter().find(|event| event.action == Action::GrantRevoked).unwrap();
    assert_eq!(end.details["not_extended"], true);
    world.broker.do_due().await;
    assert!(world.place.take().is_empty(), "what has ended never comes back");
}

#[tokio::test]
async fn what_ends_meanwhile_gets_no_more_time() {
    let world = World::new().await;
    let (request, before) = active(&world).await;
    ask(&world, request, "30m").await.unwrap();
    let ana = world.caller("ana");
    world.broker.release(&ana, before.id, None).await.unwrap();
    let order = world.place.take_one();
    approve(&world, request).await;
    assert!(world.place.take().is_empty());
    world.answer(&order, torn_down(world.now())).await;
    assert!(world.grant(before.id).await.is_over());
}

#[tokio::test]
async fn two_approvers_at_once_give_the_time_once() {
    let world = World::new().await;
    let (request, before) = active(&world).await;
    ask(&world, request, "10m").await.unwrap();
    let (ben, dan) = (world.caller("ben"), world.caller("dan"));
    let (first, second) = tokio::join!(
        world.broker.review(&ben, request, Verdict::Approve, None, None),
        world.broker.review(&dan, request, Verdict::Approve, None, None),
    );
    assert!(first.is_ok() != second.is_ok());
    assert_eq!(world.grant(before.id).await.deadline, later(&before, 600));
}

#[tokio::test]
async fn where_nobody_must_approve_it_is_given_at_once_and_never_past_the_maximum() {
    let world = World::new().await;
    world.change_flow(|flow| flow.approval = ApprovalPolicy::Automatic);
    world.change_flow(|flow| flow.duration.extend = true);
    let ana = world.caller("ana");
    let request = world.broker.submit(&ana, &crate::wish(), None).await.unwrap().0.id;
    world.go_on().await;
    ask(&world, request, "29m").await.unwrap();
    ask(&world, request, "30m").await.unwrap();
    let refused = ask(&world, request, "1s").await.unwrap_err();
    assert!(matches!(refused, AppError::Refused(no) if no.code() == "extension_too_long"));
    let order = world.place.take().pop().unwrap();
    assert_eq!(order.spec.deadline, world.now() + SignedDuration::from_secs(3_600));
}
