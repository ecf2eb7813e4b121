//! How a person logs in, and when not.

use ebbgate_connector_api::{Connector as _, CredentialWish, ErrorKind};
use ebbgate_domain::verifier::Verifier;
use jiff::SignedDuration;

use crate::support::*;

fn wish() -> CredentialWish {
    CredentialWish::Verifier(Verifier::Scram(verifier().parse().unwrap()))
}

#[tokio::test]
async fn nobody_logs_in_before_a_verifier_is_there() {
    let shop = Shop::open().await;
    let grant = shop.grant("select");
    shop.provision(&grant).await;
    for password in ["", "sesame"] {
        let url = server().psql_url(&shop.database, &format!("ebb_{}", grant.grant), password);
        assert_eq!(code(connect(&url).await), "28P01");
    }
}

#[tokio::test]
async fn a_second_verifier_replaces_the_first() {
    let shop = Shop::open().await;
    let grant = shop.grant("select");
    shop.provision(&grant).await;
    let first = shop.register(&grant).await;
    first.log_in().await.unwrap();
    let other = postgres_protocol::password::scram_sha_256(b"sesame");
    let second = shop.register_with(&grant, "sesame", &other).await;
    assert_eq!(second.user, format!("ebb_{}", grant.grant));
    second.log_in().await.unwrap();
    assert_eq!(code(first.log_in().await), "28P01");
}

#[tokio::test]
async fn past_the_deadline_the_server_itself_refuses() {
    let shop = Shop::open().await;
    let mut grant = shop.grant("select");
    grant.deadline = now() + SignedDuration::from_secs(6);
    shop.provision(&grant).await;
    let ana = shop.register(&grant).await;
    ana.log_in().await.unwrap();
    until(&format!("SELECT clock_timestamp() > '{}'", grant.deadline)).await;
    assert_eq!(code(ana.log_in().await), "28P01");
    let error = shop.connector.credential(&grant, wish(), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let error = shop.connector.provision(&grant, now()).await.unwrap_err();
    assert!(error.chain().ends_with("its deadline has passed"), "{}", error.chain());
}

#[tokio::test]
async fn a_grant_that_is_not_provisioned_gets_none() {
    let shop = Shop::open().await;
    let grant = shop.grant("select");
    let error = shop.connector.credential(&grant, wish(), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.chain().ends_with("the grant is not provisioned"), "{}", error.chain());

    // Nor one that is being torn down.
    shop.provision(&grant).await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("ALTER ROLE ebb_{} NOLOGIN", grant.grant)).await;
    assert!(shop.connector.credential(&grant, wish(), now()).await.is_err());
}

#[tokio::test]
async fn the_server_issues_none_by_itself() {
    let shop = Shop::open().await;
    let error = shop
        .connector
        .credential(&shop.grant("select"), CredentialWish::Issue, now())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn no_password_gets_into_the_servers_log_and_no_verifier_into_errors() {
    let shop = Shop::open().await;
    let grant = shop.grant("select");
    shop.provision(&grant).await;
    let ana = shop.register(&grant).await;
    // The connector may look but not alter: the statement fails on the server.
    let mut admin = shop.as_superuser().await;
    run(&mut admin, "CREATE ROLE weak LOGIN PASSWORD 'weak'").await;
    let mut settings = settings();
    settings.url = settings.url.replace("postgres@", "weak@");
    settings.password = Some("weak".to_owned().into());
    let weak = ebbgate_connector_postgres::PostgresConnector::new(settings).unwrap();
    let error = weak.credential(&grant, wish(), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.chain().contains("SQLSTATE 42501"), "{}", error.chain());
    let (_, key) = verifier().rsplit_once(':').unwrap();
    assert!(!format!("{error:?} {}", error.chain()).contains(key));

    let log = std::fs::read_to_string(server().log_path()).unwrap();
    assert!(log.contains(&format!("ALTER ROLE \"{}\" PASSWORD 'SCRAM-SHA-256$4096:", ana.user)));
    assert!(!log.contains(&ana.password));
}
