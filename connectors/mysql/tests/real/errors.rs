//! What goes wrong on the way to the server, and how it is told.

use std::time::{Duration, Instant};

use ebbgate_connector_api::{Connector as _, ErrorKind};
use ebbgate_connector_mysql::{Limits, MysqlConnector, MysqlSettings};
use ebbgate_testkit_mariadb::PrivateServer;

use crate::support::*;

#[tokio::test]
async fn a_server_that_never_answers_is_unreachable_within_the_limit() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mysql://ebb@{}/", listener.local_addr().unwrap());
    let mut settings = MysqlSettings::new("orders".parse().unwrap(), url, None);
    settings.limits.connect = Duration::from_millis(200);
    let connector = MysqlConnector::new(settings).unwrap();
    let begun = Instant::now();
    let error = connector.revoke(&grant_on("shop", "select"), &WallClock).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.chain().contains("no answer within 200 ms"), "{}", error.chain());
    assert!(begun.elapsed() < Limits::default().connect);
}

#[tokio::test]
async fn a_server_that_stops_and_comes_back() {
    let mut private =
        tokio::task::spawn_blocking(|| PrivateServer::start().unwrap()).await.unwrap();
    run(&mut connect(&private.url()).await.unwrap(), "CREATE DATABASE shop").await;
    let connector = MysqlConnector::new(settings_of(&private)).unwrap();
    let grant = grant_on("shop", "select");
    connector.provision(&grant, now()).await.unwrap();
    private.kill9().unwrap();
    for error in [
        connector.provision(&grant, now()).await.unwrap_err(),
        connector.credential(&grant, wish(PASSWORD), now()).await.unwrap_err(),
        connector.revoke(&grant, &WallClock).await.unwrap_err(),
        connector.marked().await.unwrap_err(),
        connector.sessions().await.unwrap_err(),
        connector.check().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", error.chain());
    }
    private.start_again().unwrap();
    connector.revoke(&grant, &WallClock).await.unwrap();
    assert!(connector.marked().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_wrong_password_is_refused_without_being_told() {
    let mut settings = settings();
    settings.password = Some("sesame".to_owned().into());
    let error = MysqlConnector::new(settings).unwrap().check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let chain = error.chain();
    assert!(chain.contains("as root") && chain.contains("Access denied"), "{chain}");
    assert!(!format!("{error:?}").contains("sesame"));
}

#[tokio::test]
async fn a_teardown_that_waits_for_a_lock_says_so_and_is_done_later() {
    let shop = Shop::open_with(|settings| settings.limits.lock = Duration::from_secs(1)).await;
    let (grant, person, mut ana) = shop.session("ddl").await;
    run(&mut ana, "CREATE VIEW v AS SELECT item FROM orders").await;
    let mut admin = root().await;
    run(&mut admin, &format!("USE {}; LOCK TABLES v READ", shop.database)).await;
    let error = shop.connector.revoke(&grant, &WallClock).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled, "{}", error.chain());
    // Access is closed all the same, and that is the moment that counts.
    assert!(attempt(&mut ana, "SELECT 1").await.is_err());
    assert_eq!(code(person.log_in().await), 4151);
    let noticed = now();
    run(&mut admin, "UNLOCK TABLES").await;
    let finding = shop.revoke(&grant).await;
    assert_eq!(finding.sessions_ended, 1);
    assert!(finding.closed_at < noticed && noticed < finding.checked_at);
}
