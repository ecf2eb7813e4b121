//! What runs under grants now, and the end of a single session.

use ebbgate_connector_api::{Connector as _, ErrorKind};
use ebbgate_domain::session::LiveSession;
use sqlx::Connection as _;

use crate::support::*;

/// The sessions of one grant; other tests have theirs.
async fn sessions_of(shop: &Shop, grant: &ebbgate_domain::order::GrantSpec) -> Vec<LiveSession> {
    let mut all = shop.connector.sessions().await.unwrap();
    all.retain(|session| session.grant == grant.grant);
    all
}

#[tokio::test]
async fn each_session_is_shown_with_what_it_does() {
    let shop = Shop::open().await;
    let before = now();
    let (grant, person, mut ana) = shop.session("select").await;
    let mut busy = person.log_in_with(&[("application_name", "psql")]).await.unwrap();
    let _app = shop.as_owner().await;
    run(&mut busy, "BEGIN; SELECT 'a secret'").await;
    let pid: i32 = value(&mut ana, "SELECT pg_backend_pid()").await;
    let sessions = sessions_of(&shop, &grant).await;
    let [idle, busy] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!(idle.id, pid.to_string());
    assert_eq!((idle.state.as_str(), busy.state.as_str()), ("idle", "idle in transaction"));
    assert_eq!(idle.application, Some(grant.grant.to_string()));
    assert_eq!(busy.application.as_deref(), Some("psql"));
    assert_eq!(idle.client.as_deref(), Some("127.0.0.1"));
    assert!(before <= idle.started_at && idle.started_at <= busy.started_at);
    assert!(idle.state_since.is_some_and(|since| since >= idle.started_at));
    assert!(!format!("{sessions:?}").contains("secret"));
    shop.revoke(&grant).await;
    assert_eq!(sessions_of(&shop, &grant).await, []);
}

#[tokio::test]
async fn one_is_ended_and_the_grant_stays() {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("select").await;
    let mut other = person.log_in().await.unwrap();
    let sessions = sessions_of(&shop, &grant).await;
    assert!(shop.connector.end_session(&sessions[0]).await.unwrap());
    assert!(ana.ping().await.is_err());
    other.ping().await.unwrap();
    assert_eq!(sessions_of(&shop, &grant).await.len(), 1);
    // It is gone, and the person may come back.
    assert!(!shop.connector.end_session(&sessions[0]).await.unwrap());
    person.log_in().await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn a_number_that_is_somebody_elses_by_now_is_not_hit() {
    let shop = Shop::open().await;
    let (grant, _, mut ana) = shop.session("select").await;
    let (other, _, mut ben) = shop.session("select").await;
    let mut app = shop.as_owner().await;
    let session = sessions_of(&shop, &grant).await.remove(0);
    let mut earlier = session.clone();
    earlier.started_at -= jiff::SignedDuration::from_micros(1);
    let not_his = LiveSession { grant: other.grant, ..session.clone() };
    let apps = value::<i32>(&mut app, "SELECT pg_backend_pid()").await.to_string();
    let not_under_a_grant = LiveSession { id: apps, ..session.clone() };
    for wrong in [earlier, not_his, not_under_a_grant] {
        assert!(!shop.connector.end_session(&wrong).await.unwrap());
    }
    for alive in [&mut ana, &mut ben, &mut app] {
        alive.ping().await.unwrap();
    }
    for id in ["postgres", "1@elsewhere:5432"] {
        let nonsense = LiveSession { id: id.to_owned(), ..session.clone() };
        let error = shop.connector.end_session(&nonsense).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn a_session_of_somebody_to_whom_the_role_was_given() {
    let shop = Shop::open().await;
    let (grant, person, _ana) = shop.session("full").await;
    let friend = format!("friend_{}", shop.owner);
    let mut admin = shop.as_superuser().await;
    let make = format!("CREATE ROLE {friend} LOGIN PASSWORD 'friend' IN ROLE {}", person.user);
    run(&mut admin, &make).await;
    let url = server().psql_url(&shop.database, &friend, "friend");
    let mut friend = connect(&url).await.unwrap();
    run(&mut friend, &format!("SET ROLE {}", person.user)).await;
    let sessions = sessions_of(&shop, &grant).await;
    assert_eq!(sessions.len(), 2);
    assert!(shop.connector.end_session(&sessions[1]).await.unwrap());
    assert!(friend.ping().await.is_err());
}
