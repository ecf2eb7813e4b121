//! Guardrails where nobody acts: what the broker would let begin by itself.

use std::sync::Arc;

use ebbgate_broker_app::Wish;
use ebbgate_domain::{
    approval::Verdict,
    audit::Action,
    guardrail::{Forbidden, GuardrailSet, Guardrails, Stage, Wanted},
    request::RequestState,
};

use crate::{harness::World, wish};

/// Forbids one stage.
#[derive(Debug)]
struct Stops(Stage);

impl Guardrails for Stops {
    fn forbids(&self, wanted: &Wanted<'_>) -> Option<Forbidden> {
        let forbidden = Forbidden { guardrail: "frozen".to_owned(), advice: None };
        (wanted.stage == self.0).then_some(forbidden)
    }
}

fn stop(world: &World, stage: Stage) {
    world.guard(GuardrailSet::new(Arc::new(Stops(stage))));
}

#[tokio::test]
async fn access_with_a_later_start_does_not_begin() {
    let world = World::new().await;
    let starts_at = Some(world.now() + jiff::SignedDuration::from_hours(1));
    let (ana, ben) = (world.caller("ana"), world.caller("ben"));
    let wish = Wish { starts_at, ..wish() };
    let request = world.broker.submit(&ana, &wish, None).await.unwrap().0.id;
    world.broker.review(&ben, request, Verdict::Approve, None, None).await.unwrap();
    stop(&world, Stage::Activate);
    world.clock.pass(3_599);
    world.broker.do_due().await;
    assert_eq!(world.request(request).await.state, RequestState::Approved);
    world.clock.pass(1);
    world.broker.do_due().await;
    assert_eq!(world.request(request).await.state, RequestState::Cancelled);
    assert!(world.place.take().is_empty(), "nothing was ordered");
    let events = world.events_of(Action::RequestCancelled).await;
    assert_eq!(events[0].details["guardrail"], "frozen");
    let told = world.notices().await;
    let told = told.iter().find(|notice| notice.event == "request.cancelled").unwrap();
    assert!(told.text.contains("the guardrail 'frozen' forbids this"), "{}", told.text);
    // A broker that comes up without the rule does not bring it back.
    world.guard(GuardrailSet::default());
    let world = world.restart();
    world.broker.do_due().await;
    assert_eq!(world.request(request).await.state, RequestState::Cancelled);
}

#[tokio::test]
async fn a_refused_approval_leaves_the_request_as_it_was() {
    let world = World::new().await;
    let request = crate::asked(&world).await;
    let before = world.request(request).await;
    stop(&world, Stage::Approve);
    let ben = world.caller("ben");
    for _ in 0..2 {
        let refused = world.broker.review(&ben, request, Verdict::Approve, None, None).await;
        assert!(refused.is_err());
        assert_eq!(world.request(request).await, before);
    }
    assert_eq!(world.events_of(Action::RequestRefused).await.len(), 2);
    world.guard(GuardrailSet::default());
    world.broker.review(&ben, request, Verdict::Approve, None, None).await.unwrap();
    world.broker.do_due().await;
    world.place.take_one();
}
