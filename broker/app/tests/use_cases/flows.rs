//! Flows that administrators apply: all at once, against what they were planned on, by all brokers of
//! one store, and never by what somebody wrote into the database.

use ebbgate_broker_app::{AppError, Expected, FlowsApplied, version_of};
use ebbgate_domain::{
    audit::{Action, Actor, AuditEvent},
    flow_set::FlowFile,
    grant::GrantState,
    order::OrderAction,
    request::RequestState,
};

use super::{
    active, asked,
    harness::{World, files, id},
    wish,
};

async fn apply(
    world: &World,
    files: Vec<FlowFile>,
    expected: &Expected,
) -> Result<FlowsApplied, AppError> {
    world.broker.apply_flows(&world.caller("adam"), files, expected).await
}

/// What somebody sees who looks now.
async fn seen(world: &World) -> Expected {
    Expected::Version(version_of(world.store.applied_flows(0).await.unwrap().as_ref()))
}

async fn put(world: &World, text: &str) -> FlowsApplied {
    apply(world, files(text), &seen(world).await).await.unwrap()
}

fn flows(world: &World) -> Vec<String> {
    world.broker.snapshot().policies.flows.keys().map(ToString::to_string).collect()
}

async fn applied_events(world: &World) -> Vec<AuditEvent> {
    world.events_of(Action::FlowsApplied).await
}

#[tokio::test]
async fn applied_flows_are_in_force_at_once_and_on_record() {
    let world = World::applied().await;
    let refused = world.broker.submit(&world.caller("ana"), &wish(), None).await.unwrap_err();
    assert!(matches!(refused, AppError::Refused(_)), "{refused}");

    let first = apply(&world, files("shop 1h"), &Expected::Nothing).await.unwrap();
    assert_eq!((first.set.number, first.plan.unwrap().added), (1, vec!["shop".to_owned()]));
    asked(&world).await;
    put(&world, "shop 2h\nother 1h").await;
    put(&world, "other 1h").await;
    assert_eq!(flows(&world), ["other"]);

    let told: Vec<_> = applied_events(&world)
        .await
        .into_iter()
        .map(|event| {
            assert_eq!(event.actor, Actor::Principal(id("adam")));
            let detail = |key: &str| event.details[key].to_string();
            format!(
                "{} +{} ~{} -{}",
                detail("number"),
                detail("added"),
                detail("changed"),
                detail("removed")
            )
        })
        .collect();
    assert_eq!(
        told,
        [r#"1 +["shop"] ~[] -[]"#, r#"2 +["other"] ~["shop"] -[]"#, r#"3 +[] ~[] -["shop"]"#]
    );
    let kept = world.broker.flow_sets(&world.caller("audrey"), Some(3), 9).await.unwrap();
    let kept: Vec<_> = kept.into_iter().map(|set| (set.number, set.files)).collect();
    assert_eq!(kept, [(2, files("shop 2h\nother 1h")), (1, files("shop 1h"))]);
}

#[tokio::test]
async fn a_request_keeps_its_flow_and_a_removed_flow_takes_access_away() {
    let world = World::applied().await;
    put(&world, "shop 1h").await;
    let waiting = asked(&world).await;
    let version = world.request(waiting).await.flow.version();
    put(&world, "shop 2h").await;
    assert_eq!(world.request(waiting).await.flow.version(), version);
    assert_eq!(world.request(waiting).await.state, RequestState::Pending);
    let grant = active(&world).await.spec.grant;

    put(&world, "other 1h").await;
    assert_eq!(world.request(waiting).await.state, RequestState::Cancelled);
    assert!(matches!(world.grant(grant).await.state, GrantState::Revoking { .. }));
    assert_eq!(world.place.take_one().action, OrderAction::Revoke);
}

#[tokio::test]
async fn who_planned_against_what_is_no_longer_in_force_changes_nothing() {
    let world = World::applied().await;
    put(&world, "shop 1h").await;
    let planned = seen(&world).await;
    put(&world, "shop 2h").await;
    for expected in [planned, Expected::Nothing] {
        let refused = apply(&world, files("shop 3h"), &expected).await.unwrap_err();
        let AppError::FlowsChanged { since: Some(set) } = &refused else { panic!("{refused}") };
        assert_eq!((set.number, &set.by), (2, &id("adam")));
        let told = refused.to_string();
        assert!(told.starts_with("adam@example.com applied flows at 2027-01-15T"), "{told}");
    }
    assert_eq!(applied_events(&world).await.len(), 2);
}

/// Whoever lost the answer asks again, with what they saw before.
#[tokio::test]
async fn the_same_flows_again_change_nothing() {
    let world = World::applied().await;
    let first = apply(&world, files("shop 1h"), &Expected::Nothing).await.unwrap();
    let again = apply(&world, files("shop 1h"), &Expected::Nothing).await.unwrap();
    assert_eq!((again.set, again.plan), (first.set, None));
    assert_eq!(applied_events(&world).await.len(), 1);
}

#[tokio::test]
async fn many_at_once_apply_one_after_the_other_or_not_at_all() {
    let world = World::applied().await;
    let texts: Vec<_> = (1..=8).map(|n| format!("shop {n}h")).collect();
    let all = texts.iter().map(|text| apply(&world, files(text), &Expected::Nothing));
    let done = futures_util::future::join_all(all).await;
    assert_eq!(done.iter().filter(|one| one.is_ok()).count(), 1);
    let late = |one: &Result<_, _>| matches!(one, Err(AppError::FlowsChanged { .. }) | Ok(_));
    assert!(done.iter().all(late), "{done:?}");
    assert_eq!(applied_events(&world).await.len(), 1);
}

#[tokio::test]
async fn mistakes_are_told_with_their_place_and_nothing_changes() {
    let world = World::applied().await;
    put(&world, "shop 1h").await;
    let refused = apply(&world, files("other 1h\nshop"), &seen(&world).await).await.unwrap_err();
    assert_eq!(refused.to_string(), "flows.txt:2:1: 'shop' is no flow");
    let twice = [files("shop 1h"), files("shop 2h")].concat();
    let refused = apply(&world, twice, &seen(&world).await).await.unwrap_err();
    assert_eq!(refused.to_string(), "files: two files are called 'flows.txt'");
    assert_eq!(flows(&world), ["shop"]);
}

#[tokio::test]
async fn only_administrators_apply_and_only_where_flows_are_not_in_files() {
    let world = World::applied().await;
    let ana = world.caller("ana");
    let refused = world.broker.apply_flows(&ana, Vec::new(), &Expected::Nothing).await;
    assert!(matches!(refused, Err(AppError::Forbidden { role: "administrator" })));
    let refused = world.broker.flow_sets(&ana, None, 1).await;
    assert!(matches!(refused, Err(AppError::Forbidden { role: "auditor" })));
    let world = World::new().await;
    let adam = apply(&world, files("shop 1h"), &Expected::Nothing).await;
    assert!(matches!(adam, Err(AppError::FlowsInFiles)), "{adam:?}");
}

#[tokio::test]
async fn another_broker_of_the_store_follows_with_its_next_tick() {
    let world = World::applied().await;
    let other = world.another();
    put(&world, "shop 1h").await;
    let waiting = asked(&world).await;
    assert!(flows(&other).is_empty());
    other.broker.do_due().await;
    assert_eq!(flows(&other), ["shop"]);
    // Each applies against what the other did, though it has not followed yet.
    put(&other, "other 1h").await;
    assert_eq!(other.request(waiting).await.state, RequestState::Cancelled);
    put(&world, "third 1h").await;
    other.broker.do_due().await;
    assert_eq!(
        (flows(&world), flows(&other)),
        (vec!["third".to_owned()], vec!["third".to_owned()])
    );
}

/// A broker that has them goes on; one that starts gives nothing, and takes nothing away.
#[tokio::test]
async fn flows_that_were_tampered_with_give_nothing_and_take_nothing_away() {
    let world = World::applied().await;
    put(&world, "shop 1h").await;
    put(&world, "shop 2h").await;
    let grant = active(&world).await.spec.grant;
    let waiting = asked(&world).await;
    world.run_by_hand("DELETE FROM flow_sets WHERE id LIKE '%2'").await;
    world.broker.do_due().await;
    asked(&world).await;

    // Ids are counted from the time.
    world.clock.pass(1);
    let started = world.another();
    assert!(started.broker.follow_flows().await.unwrap());
    assert!(started.broker.snapshot().policies.unknown);
    started.broker.settle_leavers().await.unwrap();
    started.broker.do_due().await;
    let refused = started.broker.submit(&started.caller("ana"), &wish(), None).await;
    assert!(matches!(refused, Err(AppError::FlowsUnknown)), "{refused:?}");
    assert_eq!(started.grant(grant).await.state, GrantState::Active);
    assert_eq!(started.request(waiting).await.state, RequestState::Pending);
    assert_eq!(started.broker.not_believed(), 1);

    let refused = apply(&started, files("shop 3h"), &Expected::Nothing).await.unwrap_err();
    assert!(matches!(refused, AppError::FlowsChanged { since: None }), "{refused}");
    let again = put(&started, "shop 3h").await;
    assert_eq!(again.set.number, 3);
    asked(&started).await;
    assert_eq!(started.grant(grant).await.state, GrantState::Active);
}
