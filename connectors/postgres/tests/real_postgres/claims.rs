//! Whose server it is: two installations that manage one server would remove each other's grants.

use ebbgate_connector_api::{Connector as _, ErrorKind};
use ebbgate_connector_postgres::PostgresConnector;
use futures_util::future::join_all;

use crate::support::*;

#[tokio::test]
async fn the_first_owner_has_the_server_until_it_is_handed_over() {
    let server = server_of_ones_own().await;
    let connector =
        |owner: &str| PostgresConnector::new(settings_for(server).with_owner(owner)).unwrap();
    let (ours, theirs) = (connector("3f9c/orders"), connector("77aa/orders"));
    // Nobody's: looking claims nothing.
    assert_eq!(theirs.check().await.unwrap(), []);
    assert_eq!(theirs.marked().await.unwrap(), []);
    let grant = grant_on("postgres", "select");
    ours.provision(&grant, now()).await.unwrap();

    let both = |text: &str| text.contains("3f9c/orders") && text.contains("77aa/orders");
    let release = r#"COMMENT ON ROLE "ebbgate_graveyard" IS NULL"#;
    for error in [
        theirs.provision(&grant_on("postgres", "select"), now()).await.unwrap_err(),
        theirs.marked().await.unwrap_err(),
        theirs.remove_orphan(grant.grant, &WallClock).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(both(&error.chain()) && error.chain().contains(release), "{}", error.chain());
    }
    let lacks = theirs.check().await.unwrap();
    assert!(both(&lacks[0].what) && lacks[0].cure.ends_with(release), "{lacks:?}");
    // Nor does one without an owner.
    let nobody = PostgresConnector::new(settings_for(server)).unwrap();
    assert_eq!(nobody.marked().await.unwrap_err().kind(), ErrorKind::Refused);
    // What it was ordered to tear down it does tear down.
    theirs.revoke(&grant, &WallClock).await.unwrap();
    assert_eq!(ours.marked().await.unwrap(), []);

    run(&mut superuser_on(server, "postgres").await, release).await;
    theirs.provision(&grant_on("postgres", "select"), now()).await.unwrap();
    assert!(both(&ours.marked().await.unwrap_err().chain()));
}

#[tokio::test]
async fn of_many_who_claim_it_at_once_one_has_it() {
    let server = server_of_ones_own().await;
    let connectors: Vec<_> = (0..8)
        .map(|number| settings_for(server).with_owner(format!("{number}/orders")))
        .map(|settings| PostgresConnector::new(settings).unwrap())
        .collect();
    let grants: Vec<_> = connectors.iter().map(|_| grant_on("postgres", "select")).collect();
    let all = connectors.iter().zip(&grants);
    let answers = join_all(all.map(|(one, grant)| one.provision(grant, now()))).await;
    let winners: Vec<_> = answers.iter().filter(|answer| answer.is_ok()).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    for loser in answers.into_iter().filter_map(Result::err) {
        assert!(loser.chain().contains("managed by"), "{}", loser.chain());
    }
}
