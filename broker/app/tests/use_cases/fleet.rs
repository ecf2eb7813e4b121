//! Agents as a fleet: tokens that are bound, agents that are shut out, sessions and drift on their
//! targets.

use ebbgate_broker_app::{AppError, DriftReport, EndSession, TokenWish, spent_token_hash};
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor},
    ids::{AgentId, GrantId},
    session::LiveSession,
};
use secrecy::SecretString;

use crate::{
    active,
    harness::{World, agent, key, orders},
    wish,
};

fn token(integrations: Option<&[&str]>) -> TokenWish {
    let integrations =
        integrations.map(|names| names.iter().map(|name| name.parse().unwrap()).collect());
    TokenWish { agent: agent("db-eu"), integrations, ttl: Some("1h".parse().unwrap()) }
}

async fn enrolled(world: &World, integrations: Option<&[&str]>) -> AgentId {
    let (adam, secret) = (world.caller("adam"), SecretString::from("ebt_1"));
    world.broker.new_agent_token(&adam, token(integrations), &secret, None).await.unwrap();
    let token = world.broker.enrolment_token(&secret).await.unwrap();
    let id = world.broker.new_agent_id();
    world.broker.enrol(&token, id, world.now()).await.unwrap();
    id
}

#[tokio::test]
async fn a_token_is_bound_to_integrations_that_are_the_agents() {
    let world = World::new().await;
    let (adam, secret) = (world.caller("adam"), SecretString::from("ebt_0"));
    for (names, why) in [(&["billing"][..], "they give it: orders"), (&[][..], "at least one")] {
        let wish = token(Some(names));
        let error = world.broker.new_agent_token(&adam, wish, &secret, None).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let long = TokenWish { ttl: Some("25h".parse().unwrap()), ..token(None) };
    assert!(world.broker.new_agent_token(&adam, long, &secret, None).await.is_err());

    let bound = enrolled(&world, Some(&["orders"])).await;
    let record = world.broker.known_agent(bound).await.unwrap();
    assert_eq!(record.allowed_integrations, Some(vec![orders()]));
}

#[tokio::test]
async fn who_is_shut_out_speaks_no_more_and_its_grants_go_to_another() {
    let world = World::new().await;
    let id = enrolled(&world, None).await;
    let mut record = world.broker.known_agent(id).await.unwrap();
    record.integrations = vec![orders()];
    world.broker.note_agent(record.clone(), Action::AgentConnected).await.unwrap();
    let order = active(&world).await;
    world.place.comes("db-us");

    let audrey = world.caller("audrey");
    let no = world.broker.revoke_agent(&audrey, id, "stolen", None).await.unwrap_err();
    assert!(matches!(no, AppError::Forbidden { .. }));
    let adam = world.caller("adam");
    assert!(world.broker.revoke_agent(&adam, id, " ", None).await.is_err(), "say why");
    world.broker.revoke_agent(&adam, id, "stolen", None).await.unwrap();

    assert!(world.place.was_shut_out(id));
    assert!(world.broker.known_agent(id).await.is_err());
    assert_eq!(world.grant(order.spec.grant).await.place, Some(agent("db-us")));
    assert_eq!(world.place.take_sent()[0].0, agent("db-us"));
    let told = world.events_of(Action::AgentRevoked).await;
    assert_eq!((told.len(), &told[0].details["comment"]), (1, &"stolen".into()));

    // Its stream ends only now, and whoever notes that had read its record before.
    world.broker.note_agent(record, Action::AgentDisconnected).await.unwrap();
    let kept = world.store.agent(id).await.unwrap().unwrap();
    assert!(kept.retired);
    assert_eq!(kept.revoked.unwrap().comment, "stolen");
}

#[tokio::test]
async fn what_nobody_needs_any_more_is_purged_in_its_time() {
    const DAY: i64 = 24 * 3_600;
    let world = World::new().await;
    let id = enrolled(&world, None).await;
    let (ana, adam) = (world.caller("ana"), world.caller("adam"));
    let key = key("k", "f");
    let first = world.broker.submit(&ana, &wish(), Some(&key)).await.unwrap().0.id;
    world.broker.revoke_agent(&adam, id, "stolen", None).await.unwrap();
    let record = world.store.agent(id).await.unwrap().unwrap();
    let records = world.events().await.len();
    let on_record = async || world.store.agent(id).await.unwrap().is_some();
    let token = spent_token_hash(&SecretString::from("ebt_1"));

    world.clock.pass(DAY);
    assert!(!world.broker.purge().await.unwrap(), "that was all");
    let again = world.broker.submit(&ana, &wish(), Some(&key)).await.unwrap().0.id;
    assert_eq!(again, first, "a day later to the second");
    world.clock.pass(1);
    world.broker.purge().await.unwrap();
    assert!(world.store.idempotency(&ana.id, "k").await.unwrap().is_none());
    assert!(world.store.enrolment_token(&token).await.unwrap().is_some());
    world.clock.pass(29 * DAY);
    world.broker.purge().await.unwrap();
    assert!(world.store.enrolment_token(&token).await.unwrap().is_none());

    assert!(on_record().await);
    world.clock.pass(60 * DAY);
    world.broker.purge().await.unwrap();
    assert!(!on_record().await);
    assert_eq!(world.events().await.len(), records, "the log stays");
    // A stream that ends only now does not bring it back.
    let late = world.broker.note_agent(record, Action::AgentDisconnected).await;
    assert!(matches!(late, Err(AppError::NotFound { .. })), "{late:?}");
    assert!(!on_record().await);
}

#[tokio::test]
async fn an_agent_that_may_speak_is_never_purged() {
    let world = World::new().await;
    let id = enrolled(&world, None).await;
    world.clock.pass(400 * 24 * 3_600);
    world.broker.purge().await.unwrap();
    assert!(world.broker.known_agent(id).await.is_ok());
}

fn session(id: &str, grant: GrantId, started_at: Timestamp) -> LiveSession {
    LiveSession {
        id: id.to_owned(),
        grant,
        started_at,
        state: "idle".to_owned(),
        state_since: None,
        client: None,
        application: None,
    }
}

#[tokio::test]
async fn everybody_sees_their_own_sessions_and_auditors_all() {
    let world = World::new().await;
    let order = active(&world).await;
    let unknown = GrantId::new(world.now(), [9; 10]);
    let (own, stray) =
        (session("17", order.spec.grant, world.now()), session("18", unknown, world.now()));
    world.place.shows(Ok(vec![own.clone(), stray]));
    for (name, count) in [("ana", 1), ("audrey", 1), ("eve", 0)] {
        let seen = world.broker.sessions(&world.caller(name), None, None).await.unwrap();
        assert_eq!((seen.items.len(), seen.unavailable.len()), (count, 0), "{name}");
    }
    let (ana, eve) = (world.caller("ana"), world.caller("eve"));
    let only = Some(order.spec.grant);
    assert_eq!(world.broker.sessions(&ana, None, only).await.unwrap().items[0].session, own);
    assert!(world.broker.sessions(&eve, None, only).await.is_err(), "not hers to see");
    assert!(world.broker.sessions(&ana, Some(&"billing".parse().unwrap()), None).await.is_err());

    world.place.shows(Err("it is down"));
    let seen = world.broker.sessions(&ana, None, None).await.unwrap();
    assert_eq!(seen.unavailable.len(), 1);
    assert!(seen.unavailable[0].1.contains("it is down"), "{seen:?}");
}

#[tokio::test]
async fn only_administrators_end_a_session_and_its_grant_stays() {
    let world = World::new().await;
    let order = active(&world).await;
    world.place.shows(Ok(vec![session("17", order.spec.grant, world.now())]));
    let wish = EndSession {
        grant: order.spec.grant,
        id: "17".to_owned(),
        started_at: world.now(),
        comment: "it holds a lock".to_owned(),
    };
    let no = world.broker.end_session(&world.caller("audrey"), &wish, None).await.unwrap_err();
    assert!(matches!(no, AppError::Forbidden { .. }));
    let adam = world.caller("adam");
    let silent = EndSession { comment: String::new(), ..wish.clone() };
    assert!(world.broker.end_session(&adam, &silent, None).await.is_err(), "say why");
    let later =
        EndSession { started_at: world.now() + jiff::SignedDuration::from_secs(1), ..wish.clone() };
    assert!(!world.broker.end_session(&adam, &later, None).await.unwrap(), "another one's number");
    assert!(world.broker.end_session(&adam, &wish, None).await.unwrap());
    assert!(!world.broker.end_session(&adam, &wish, None).await.unwrap(), "it is gone");
    assert_eq!(world.events_of(Action::SessionEnding).await.len(), 3);
    let found: Vec<_> = world.events_of(Action::SessionEnded).await;
    let found: Vec<_> = found.iter().map(|event| event.details["found"].clone()).collect();
    assert_eq!(found, [false, true, false].map(serde_json::Value::from));
    assert_eq!(world.grant(order.spec.grant).await.state_name(), "active");
}

fn look(world: &World, orphans: &[GrantId], error: Option<&str>) -> DriftReport {
    DriftReport {
        integration: orders(),
        at: world.now(),
        by: Actor::Agent(agent("db-eu")),
        marked: 2,
        orphans: orphans.to_vec(),
        missing: Vec::new(),
        error: error.map(ToOwned::to_owned),
    }
}

#[tokio::test]
async fn drift_is_audited_when_it_changes_and_a_live_grant_is_none() {
    let world = World::new().await;
    let live = active(&world).await.spec.grant;
    let orphan = GrantId::new(world.now(), [9; 10]);
    let found = async || world.events_of(Action::DriftFound).await.len();
    // Another agent's grant, of which this one does not know yet.
    world.broker.record_drift(look(&world, &[live], None)).await.unwrap();
    assert_eq!(found().await, 0);
    for _ in 0..2 {
        world.broker.record_drift(look(&world, &[live, orphan], None)).await.unwrap();
        assert_eq!(found().await, 1, "told once");
    }
    world.broker.record_drift(look(&world, &[], Some("down"))).await.unwrap();
    assert_eq!(found().await, 1, "a look that failed found nothing new");
    world.broker.record_drift(look(&world, &[], None)).await.unwrap();
    assert_eq!(found().await, 2, "it is gone");

    assert!(world.broker.drift(&world.caller("ana")).await.is_err());
    let last = world.broker.drift(&world.caller("audrey")).await.unwrap();
    assert_eq!((last.len(), last[0].orphans.len()), (1, 0));
}
