//! People who may not have it any more: what has not begun is cancelled, live access ends at once,
//! unless the flow keeps it.

use ebbgate_domain::{
    flow::{Activation, OnChange},
    grant::GrantState,
    order::OrderAction,
    request::RequestState,
};
use rstest::rstest;

use crate::{approved, asked, harness::World};

#[derive(Debug, Clone, Copy)]
enum Loss {
    Disabled,
    Group,
    Flow,
    Requesters,
}

fn lose(world: &World, loss: Loss) {
    match loss {
        Loss::Disabled => world.disable("ana"),
        Loss::Group => world.regroup("ana", "sales"),
        Loss::Flow => world.remove_flow(),
        Loss::Requesters => {
            world.change_flow(|flow| flow.requesters = vec!["group:dba".parse().unwrap()]);
        }
    }
}

#[rstest]
#[case(Loss::Disabled, "requester-left")]
#[case(Loss::Group, "not-a-requester")]
#[case(Loss::Flow, "flow-removed")]
#[case(Loss::Requesters, "not-a-requester")]
#[tokio::test]
async fn everything_of_theirs_ends(#[case] loss: Loss, #[case] reason: &str) {
    let world = World::new().await;
    let live = approved(&world).await;
    world.go_on().await;
    let pending = asked(&world).await;
    world.change_flow(|flow| {
        flow.activation = Activation::ByRequester { within: "1h".parse().unwrap() };
    });
    let waiting = approved(&world).await;

    lose(&world, loss);
    world.broker.settle_leavers().await.unwrap();
    for request in [pending, waiting] {
        assert_eq!(world.request(request).await.state, RequestState::Cancelled);
    }
    let order = world.place.take_one();
    assert_eq!(order.action, OrderAction::Revoke);
    let GrantState::Revoking { reason: told, .. } = world.grant(order.spec.grant).await.state
    else {
        panic!("it does not end")
    };
    assert_eq!(told.as_str(), reason);
    world.answer(&order, crate::harness::torn_down(world.now())).await;
    assert!(world.request(live).await.is_over());
}

#[rstest]
#[case(Loss::Disabled, true)]
#[case(Loss::Group, false)]
#[case(Loss::Flow, false)]
#[tokio::test]
async fn a_flow_may_keep_what_is_live(#[case] loss: Loss, #[case] ends: bool) {
    let world = World::new().await;
    world.change_flow(|flow| flow.on_change = OnChange::Keep);
    approved(&world).await;
    world.go_on().await;
    let pending = asked(&world).await;
    lose(&world, loss);
    world.broker.settle_leavers().await.unwrap();
    assert_eq!(world.request(pending).await.state, RequestState::Cancelled);
    assert_eq!(world.place.take().len(), usize::from(ends));
}

#[tokio::test]
async fn who_lost_nothing_keeps_everything() {
    let world = World::new().await;
    approved(&world).await;
    world.go_on().await;
    let pending = asked(&world).await;
    world.disable("eve");
    world.regroup("dan", "sales");
    world.broker.settle_leavers().await.unwrap();
    assert_eq!(world.request(pending).await.state, RequestState::Pending);
    assert!(world.place.take().is_empty());
}
