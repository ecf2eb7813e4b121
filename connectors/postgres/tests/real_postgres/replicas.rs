//! Sessions on a standby, which the primary does not see and whose role's end does not end them.

use std::time::Duration;

use ebbgate_connector_api::{Connector as _, ErrorKind};
use ebbgate_connector_postgres::PostgresConnector;
use ebbgate_testkit_postgres::PrivateServer;

use crate::support::*;

async fn start() -> (&'static PrivateServer, PrivateServer) {
    let start = || PrivateServer::start_with_standby(&[]).unwrap();
    let (primary, standby) = tokio::task::spawn_blocking(start).await.unwrap();
    (Box::leak(Box::new(primary)), standby)
}

fn replica_of(standby: &PrivateServer) -> String {
    settings_for(standby).url
}

/// The person's session there, once the role is known there.
async fn log_in_at(standby: &PrivateServer, person: &Person) -> sqlx::PgConnection {
    let url = standby.psql_url(&person.database, &person.user, &person.password);
    for _ in 0..2_000 {
        if let Ok(session) = connect(&url).await {
            return session;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the standby never knew of the grant");
}

#[tokio::test]
async fn a_session_on_a_replica_ends_with_the_grant() {
    let (primary, standby) = start().await;
    let replicas = [replica_of(&standby)];
    let shop = Shop::open_on(primary, |settings| settings.replicas = replicas.to_vec()).await;
    assert_eq!(shop.connector.check().await.unwrap(), []);
    let (grant, person, mut ana) = shop.session("select").await;
    let mut there = log_in_at(&standby, &person).await;
    assert_eq!(value::<String>(&mut there, "SELECT item FROM orders").await, "tea");

    // It is shown, and can be ended alone.
    let mut second = log_in_at(&standby, &person).await;
    let sessions = shop.connector.sessions().await.unwrap();
    assert_eq!(sessions.len(), 3, "{sessions:?}");
    assert!(sessions[2].id.ends_with(&format!("@127.0.0.1:{}", standby.port())));
    assert!(shop.connector.end_session(&sessions[2]).await.unwrap());
    assert!(attempt(&mut second, "SELECT 1").await.is_err());

    let finding = shop.revoke(&grant).await;
    assert_eq!(finding.sessions_ended, 2);
    assert!(finding.summary.contains("on the server and its replica"), "{}", finding.summary);
    assert!(attempt(&mut ana, "SELECT 1").await.is_err());
    assert!(attempt(&mut there, "SELECT 1").await.is_err());
    let url = standby.psql_url(&person.database, &person.user, &person.password);
    assert_eq!(code(connect(&url).await), "28P01");
}

#[tokio::test]
async fn while_a_replica_can_not_be_asked_a_grant_is_not_reported_gone() {
    let (primary, mut standby) = start().await;
    let replicas = [replica_of(&standby)];
    let shop = Shop::open_on(primary, |settings| settings.replicas = replicas.to_vec()).await;
    let (grant, person, mut ana) = shop.session("select").await;
    let mut there = log_in_at(&standby, &person).await;
    standby.kill9().unwrap();
    let error = shop.connector.revoke(&grant, &WallClock).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", error.chain());
    assert!(error.chain().contains(&standby.port().to_string()), "{}", error.chain());
    // Where it can be closed, it is.
    assert!(attempt(&mut ana, "SELECT 1").await.is_err());
    assert_eq!(code(person.log_in().await), "28P01");
    standby.start_again().unwrap();
    shop.revoke(&grant).await;
    assert!(attempt(&mut there, "SELECT 1").await.is_err());
}

#[tokio::test]
async fn a_primary_is_no_replica() {
    let (shop, other) = (Shop::open().await, server_of_ones_own().await);
    let settings = settings().with_replicas([settings_for(other).url]);
    // The same password opens both.
    let mut admin = superuser_on(other, "postgres").await;
    let password = format!("ALTER ROLE postgres PASSWORD '{}'", server().password());
    run(&mut admin, &password).await;
    let connector = PostgresConnector::new(settings).unwrap();
    let lacks = connector.check().await.unwrap();
    assert!(lacks[0].what.ends_with("is no standby"), "{lacks:?}");
    let grant = shop.grant("select");
    connector.provision(&grant, now()).await.unwrap();
    let error = connector.revoke(&grant, &WallClock).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.chain().contains("take it out of the integration's replicas"));
    shop.revoke(&grant).await;
}
