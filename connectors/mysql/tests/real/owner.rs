//! Two that share a server.

use ebbgate_connector_api::{Connector as _, ConnectorError, ErrorKind};
use ebbgate_connector_mysql::MysqlConnector;
use ebbgate_testkit_mariadb::PrivateServer;

use crate::support::*;

/// A server of its own, since a claim is for all of it.
async fn private() -> (PrivateServer, sqlx::MySqlConnection) {
    let private = tokio::task::spawn_blocking(|| PrivateServer::start().unwrap()).await.unwrap();
    let mut admin = connect(&private.url()).await.unwrap();
    run(&mut admin, "CREATE DATABASE shop").await;
    (private, admin)
}

fn owned_by(private: &PrivateServer, owner: &str) -> MysqlConnector {
    MysqlConnector::new(settings_of(private).with_owner(owner)).unwrap()
}

fn assert_names_both(error: &ConnectorError) {
    assert_eq!(error.kind(), ErrorKind::Refused);
    let chain = error.chain();
    for text in ["3f9c/orders", "77aa/orders", "DROP ROLE `ebbgate_owner_3f9c/orders`"] {
        assert!(chain.contains(text), "{chain}");
    }
}

#[tokio::test]
async fn the_first_claims_it_and_the_second_is_told() {
    let (private, mut admin) = private().await;
    let first = owned_by(&private, "3f9c/orders");
    let second = owned_by(&private, "77aa/orders");
    assert!(second.check().await.unwrap().is_empty());
    let grant = grant_on("shop", "select");
    first.provision(&grant, now()).await.unwrap();
    first.provision(&grant, now()).await.unwrap();
    assert_eq!(first.marked().await.unwrap(), [grant.grant]);
    // The same, after a restart.
    assert_eq!(owned_by(&private, "3f9c/orders").marked().await.unwrap(), [grant.grant]);

    assert_names_both(&second.provision(&grant_on("shop", "select"), now()).await.unwrap_err());
    assert_names_both(&second.marked().await.unwrap_err());
    assert_names_both(&second.remove_orphan(grant.grant, &WallClock).await.unwrap_err());
    let lacks = second.check().await.unwrap();
    assert!(lacks.iter().any(|lack| lack.what.contains("3f9c/orders")), "{lacks:?}");
    // What it is told to tear down, it does.
    second.revoke(&grant, &WallClock).await.unwrap();

    run(&mut admin, "DROP ROLE `ebbgate_owner_3f9c/orders`").await;
    second.provision(&grant_on("shop", "select"), now()).await.unwrap();
}

#[tokio::test]
async fn of_two_at_once_at_most_one_wins() {
    let (private, mut admin) = private().await;
    let connectors: Vec<_> = ["a/1", "b/1", "c/1"].map(|owner| owned_by(&private, owner)).into();
    let grants: Vec<_> = (0..3).map(|_| grant_on("shop", "select")).collect();
    let all = connectors.iter().zip(&grants).map(|(one, grant)| one.provision(grant, now()));
    let answers = futures_util::future::join_all(all).await;
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(won <= 1, "{answers:?}");
    let claims = "SELECT User FROM mysql.user WHERE User LIKE 'ebbgate\\_owner\\_%'";
    assert_eq!(column(&mut admin, claims).await.len(), won);
}

#[tokio::test]
async fn a_long_owner_is_told_by_its_hash() {
    let (private, mut admin) = private().await;
    let owner = format!("{}/orders", "3f".repeat(80));
    let connector = owned_by(&private, &owner);
    for _ in 0..2 {
        connector.provision(&grant_on("shop", "select"), now()).await.unwrap();
    }
    let longest = "o".repeat(128 - "ebbgate_owner_".len());
    let error = owned_by(&private, &longest).marked().await.unwrap_err();
    assert!(error.chain().contains("DROP ROLE `ebbgate_owner_"), "{}", error.chain());
    run(
        &mut admin,
        "DELETE FROM mysql.global_priv WHERE User LIKE 'ebbgate\\_owner\\_%'; FLUSH PRIVILEGES",
    )
    .await;
    let connector = owned_by(&private, &longest);
    connector.provision(&grant_on("shop", "select"), now()).await.unwrap();
    assert_eq!(connector.marked().await.unwrap().len(), 3);
}
