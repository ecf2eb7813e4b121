//! Emergencies: told to everybody at once and whatever happens, with a review that is owed.

use ebbgate_broker_app::AppError;
use ebbgate_domain::{
    audit::{Action, AuditEvent},
    flow::{ApprovalPolicy, BreakGlass},
    ids::RequestId,
    request::RequestState,
};

use crate::{
    harness::{World, id},
    wish,
};

const HOUR: i64 = 3_600;

async fn world() -> World {
    let world = World::new().await;
    world.change_flow(|flow| {
        flow.approval = ApprovalPolicy::Automatic;
        flow.break_glass = Some(BreakGlass {
            review_within: "48h".parse().unwrap(),
            notify: ["group:dba", "channel:ops"].map(|text| text.parse().unwrap()).to_vec(),
        });
    });
    world
}

async fn used(world: &World) -> Result<RequestId, AppError> {
    let flow = Some("data-shop".parse().unwrap());
    let wish = ebbgate_broker_app::Wish { flow, ..wish() };
    let ana = world.caller("ana");
    Ok(world.broker.submit(&ana, &wish, None).await?.0.id)
}

fn code(refused: AppError) -> &'static str {
    let AppError::Refused(refusal) = refused else { panic!("{refused:?}") };
    refusal.code()
}

#[tokio::test]
async fn nobody_uses_one_by_accident() {
    let world = world().await;
    let ana = world.caller("ana");
    let refused = world.broker.submit(&ana, &wish(), None).await.unwrap_err();
    assert_eq!(code(refused), "not_a_requester", "no ordinary flow gives this");
}

#[tokio::test]
async fn everybody_is_told_although_the_broker_dies_at_once() {
    let world = world().await;
    let request = used(&world).await.unwrap();
    // Before any channel was asked.
    let world = world.restart();
    let told = world.notices().await;
    let alarm = told.iter().find(|notice| notice.event == "breakglass.activated").unwrap();
    assert_eq!(alarm.to, [id("ben"), id("dan")].into());
    assert_eq!(alarm.channels, ["ops".parse().unwrap()].into());
    assert!(told.iter().any(|notice| notice.event == "breakglass.receipt"));
    world.go_on().await;
    assert_eq!(world.request(request).await.state, RequestState::Active);
}

#[tokio::test]
async fn an_overdue_review_blocks_the_next_and_its_writing_frees_it() {
    let world = world().await;
    let first = used(&world).await.unwrap();
    world.go_on().await;
    world.clock.pass(HOUR);
    world.go_on().await;
    assert!(world.request(first).await.is_over());
    used(&world).await.unwrap();

    world.clock.pass(48 * HOUR);
    let world = world.restart();
    assert_eq!(code(used(&world).await.unwrap_err()), "review_overdue");
    let ana = world.caller("ana");
    let owed = world.broker.use_reviews(&ana, false, true, None, 10).await.unwrap();
    assert_eq!(owed.len(), 2);
    for request in owed {
        world.go_on().await;
        world.broker.write_review(&ana, request.id, "a disk was full", None).await.unwrap();
    }
    used(&world).await.unwrap();
}

#[tokio::test]
async fn reminders_survive_restarts_and_come_once() {
    let world = world().await;
    used(&world).await.unwrap();
    world.go_on().await;
    world.notices().await;
    world.clock.pass(24 * HOUR);
    let world = world.restart();
    world.go_on().await;
    let world = world.restart();
    world.go_on().await;
    let reminders = |told: Vec<ebbgate_domain::notice::Notice>, name: &str| {
        told.into_iter().filter(|notice| notice.event == name).count()
    };
    assert_eq!(reminders(world.notices().await, "review.due"), 1);
    for _ in 0..2 {
        world.clock.pass(24 * HOUR);
        world.go_on().await;
        world.go_on().await;
        assert_eq!(reminders(world.notices().await, "review.overdue"), 1);
    }
}

#[tokio::test]
async fn one_page_joins_request_grants_and_audit() {
    let world = world().await;
    let request = used(&world).await.unwrap();
    world.go_on().await;
    used(&world).await.unwrap();
    world.clock.pass(HOUR);
    world.go_on().await;
    let audrey = world.caller("audrey");
    let page = world.broker.use_page(&audrey, request).await.unwrap();
    assert_eq!((page.view.request.id, page.view.grants.len()), (request, 1));
    let events: Vec<AuditEvent> =
        page.records.iter().map(|record| serde_json::from_str(&record.body).unwrap()).collect();
    assert!(events.iter().all(|event| event.request == Some(request)));
    let has = |action| events.iter().filter(|event| event.action == action).count();
    for action in [
        Action::RequestCreated,
        Action::BreakglassActivated,
        Action::GrantActive,
        Action::GrantRevoked,
        Action::RequestEnded,
    ] {
        assert_eq!(has(action), 1, "{action}");
    }
    let eve = world.caller("eve");
    let none = world.broker.use_page(&eve, request).await.unwrap_err();
    assert!(matches!(none, AppError::NotFound { .. }));
}

#[tokio::test]
async fn only_those_concerned_write_a_review() {
    let world = world().await;
    let request = used(&world).await.unwrap();
    world.go_on().await;
    world.clock.pass(HOUR);
    world.go_on().await;
    let audrey = world.caller("audrey");
    let no = world.broker.write_review(&audrey, request, "x", None).await.unwrap_err();
    assert!(matches!(no, AppError::Forbidden { .. }));
    let ana = world.caller("ana");
    let empty = world.broker.write_review(&ana, request, "  ", None).await.unwrap_err();
    assert!(matches!(empty, AppError::Invalid(_)));
    world.broker.write_review(&ana, request, "a disk was full", None).await.unwrap();
    let again = world.broker.write_review(&ana, request, "more", None).await.unwrap_err();
    assert_eq!(code(again), "no_review_due");
}
