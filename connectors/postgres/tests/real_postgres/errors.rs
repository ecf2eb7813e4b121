//! What goes wrong on the way to the server, and how it is told.

use std::time::{Duration, Instant};

use ebbgate_connector_api::{Connector as _, ErrorKind};
use ebbgate_connector_postgres::{Limits, PostgresConnector, PostgresSettings};
use ebbgate_testkit_postgres::PrivateServer;
use futures_util::future::join_all;
use sqlx::Connection as _;

use crate::support::*;

fn connector(url: &str, limits: Limits) -> PostgresConnector {
    let mut settings = PostgresSettings::new("orders".parse().unwrap(), url, None);
    settings.limits = limits;
    PostgresConnector::new(settings).unwrap()
}

#[tokio::test]
async fn a_server_that_never_answers_is_unreachable_within_the_limit() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://ebb@{}/postgres", listener.local_addr().unwrap());
    let limits = Limits { connect: Duration::from_millis(200), ..Limits::default() };
    let connector = connector(&url, limits);
    let begun = Instant::now();
    let error = connector.revoke(&grant_on("shop", "select"), &WallClock).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.chain().contains("no answer within 200 ms"), "{}", error.chain());
    assert!(begun.elapsed() < Limits::default().connect);
}

#[tokio::test]
async fn grants_that_wait_for_the_same_look_do_not_repeat_it_one_by_one() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://ebb@{}/postgres", listener.local_addr().unwrap());
    let limits = Limits { connect: Duration::from_millis(300), ..Limits::default() };
    let connector = connector(&url, limits);
    let grants: Vec<_> = (0..10).map(|_| grant_on("shop", "select")).collect();
    let answers = join_all(grants.iter().map(|grant| connector.provision(grant, now())));
    let mut clients = Vec::new();
    let accept = async {
        loop {
            clients.push(listener.accept().await.unwrap());
        }
    };
    let answers = tokio::select! {
        answers = answers => answers,
        () = accept => unreachable!(),
    };
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unreachable);
    }
    assert_eq!(clients.len(), 1);
}

#[tokio::test]
async fn a_server_that_stops_and_comes_back() {
    let mut server = tokio::task::spawn_blocking(|| PrivateServer::start().unwrap()).await.unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port());
    let mut settings = PostgresSettings::new("orders".parse().unwrap(), url, None);
    settings.password = Some(server.password().to_owned().into());
    let connector = PostgresConnector::new(settings).unwrap();
    let grant = grant_on("postgres", "select");
    connector.provision(&grant, now()).await.unwrap();
    server.kill9().unwrap();
    for error in [
        connector.provision(&grant, now()).await.unwrap_err(),
        connector.revoke(&grant, &WallClock).await.unwrap_err(),
        connector.marked().await.unwrap_err(),
        connector.check().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", error.chain());
    }
    server.start_again().unwrap();
    connector.revoke(&grant, &WallClock).await.unwrap();
    assert!(connector.marked().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_makes_no_sense_here_is_invalid() {
    let shop = Shop::open().await;
    let mut elsewhere = shop.grant("select");
    elsewhere.integration = "other".parse().unwrap();
    let mut nameless = shop.grant("select");
    nameless.native = String::new();
    for grant in [elsewhere, nameless, shop.grant("read-only")] {
        let error = shop.connector.provision(&grant, now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{}", error.chain());
    }
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_refused() {
    let shop = Shop::open().await;
    let error =
        shop.connector.provision(&grant_on("no such shop", "select"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.chain().contains("no such shop"), "{}", error.chain());
}

#[tokio::test]
async fn a_teardown_that_waits_for_a_lock_says_so_and_is_done_later() {
    let shop = Shop::open_with(|settings| settings.limits.lock = Duration::from_millis(100)).await;
    let (grant, person, mut ana) = shop.session("full").await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("GRANT CREATE ON SCHEMA public TO {}", person.user)).await;
    run(&mut ana, "CREATE TABLE notes (text text)").await;
    run(&mut admin, "BEGIN; LOCK TABLE notes").await;
    let error = shop.connector.revoke(&grant, &WallClock).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled, "{}", error.chain());
    // Access is closed all the same, and that is the moment that counts.
    assert!(ana.ping().await.is_err());
    assert_eq!(code(person.log_in().await), "28P01");
    let noticed = now();
    run(&mut admin, "ROLLBACK").await;
    let finding = shop.revoke(&grant).await;
    assert_eq!(finding.sessions_ended, 1);
    assert!(finding.closed_at < noticed && noticed < finding.checked_at);
}

#[tokio::test]
async fn a_session_that_does_not_end_is_still_present() {
    let shop =
        Shop::open_with(|settings| settings.limits.sessions = Duration::from_millis(300)).await;
    let (grant, _, mut ana) = shop.session("select").await;
    let pid: i32 = value(&mut ana, "SELECT pg_backend_pid()").await;
    signal(pid, "STOP");
    let error = shop.connector.revoke(&grant, &WallClock).await.unwrap_err();
    signal(pid, "CONT");
    assert_eq!(error.kind(), ErrorKind::StillPresent);
    assert!(error.chain().contains(&pid.to_string()), "{}", error.chain());
    shop.revoke(&grant).await;
}

fn signal(pid: i32, name: &str) {
    let pid = pid.to_string();
    let status = std::process::Command::new("kill").args(["-s", name, &pid]).status().unwrap();
    assert!(status.success());
}
