//! A connector that is no superuser: CREATEROLE, pg_signal_backend, and the tables' owner's rights.

use ebbgate_connector_api::{Connector as _, ErrorKind};

use crate::support::*;

/// A shop whose connector has CREATEROLE and nothing else. On PostgreSQL 16 and later the setting
/// is what `check` asks for.
async fn modest_shop(connector: &'static str) -> Shop {
    let mut admin = superuser("postgres").await;
    run(&mut admin, &format!("CREATE ROLE {connector} LOGIN CREATEROLE PASSWORD 'modest'")).await;
    if is_at_least(16).await {
        let grants = format!("ALTER ROLE {connector} SET createrole_self_grant = 'set, inherit'");
        run(&mut admin, &grants).await;
    }
    Shop::open_with(|settings| {
        settings.url = settings.url.replace("postgres@", &format!("{connector}@"));
        settings.password = Some("modest".to_owned().into());
    })
    .await
}

#[tokio::test]
async fn a_superuser_needs_nothing_more() {
    Shop::open().await.connector.check().await.unwrap();
}

#[tokio::test]
async fn check_tells_what_is_missing_and_the_sql_that_cures_it() {
    let shop = modest_shop("checker").await;
    let mut admin = superuser("postgres").await;
    let error = shop.connector.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let cures =
        ["GRANT pg_signal_backend TO \"checker\"", "GRANT pg_read_all_stats TO \"checker\""];
    for cure in cures {
        assert!(error.chain().contains(cure), "{}", error.chain());
        run(&mut admin, cure).await;
    }
    shop.connector.check().await.unwrap();
    run(&mut admin, "ALTER ROLE checker NOCREATEROLE").await;
    let error = shop.connector.check().await.unwrap_err();
    let cure = r#"ALTER ROLE "checker" CREATEROLE"#;
    assert!(error.chain().ends_with(cure), "{}", error.chain());
}

#[tokio::test]
async fn tables_of_a_role_it_may_not_act_for_are_told_with_the_cure() {
    let shop = modest_shop("stranger").await;
    let error = shop.connector.provision(&shop.grant("select"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let cure = format!("GRANT \"{}\" TO", shop.owner);
    assert!(error.chain().contains(&cure), "{}", error.chain());
}

#[tokio::test]
async fn with_those_rights_a_grant_lives_and_ends() {
    let shop = modest_shop("modest").await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("GRANT pg_signal_backend, {} TO modest", shop.owner)).await;
    // Another connector may have made it; from 16 on only its maker may act for it unasked.
    run(
        &mut admin,
        "DO $$ BEGIN CREATE ROLE ebbgate_graveyard; \
               EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         GRANT ebbgate_graveyard TO modest",
    )
    .await;
    let (grant, person, mut ana) = shop.session("full").await;
    run(&mut ana, "INSERT INTO orders (item) VALUES ('coffee')").await;
    let prepared = format!("modest {}", shop.database);
    run(&mut ana, &format!("BEGIN; DELETE FROM orders; PREPARE TRANSACTION '{prepared}'")).await;
    run(&mut ana, "SELECT lo_create(0)").await;
    let finding = shop.revoke(&grant).await;
    assert_eq!(finding.sessions_ended, 1);
    assert!(finding.summary.contains("1 prepared"), "{}", finding.summary);
    assert!(attempt(&mut ana, "SELECT 1").await.is_err());
    assert!(!role_exists(&person.user).await);
    assert_eq!(value::<i64>(&mut admin, "SELECT count(*) FROM orders").await, 2);
    let owner = "SELECT lomowner::regrole::text FROM pg_largeobject_metadata";
    assert_eq!(value::<String>(&mut admin, owner).await, "ebbgate_graveyard");
}

#[tokio::test]
async fn sessions_it_may_not_end_are_refused_loudly() {
    if is_at_least(16).await {
        // There its membership in the grants' roles is enough.
        return;
    }
    let shop = modest_shop("powerless").await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("GRANT {} TO powerless", shop.owner)).await;
    let (grant, _, mut ana) = shop.session("select").await;
    let error = shop.connector.revoke(&grant, &WallClock).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{}", error.chain());
    // Nothing is claimed that isn't so: the session is there, and the role, which admits nobody.
    assert_eq!(value::<i32>(&mut ana, "SELECT 1").await, 1);
    run(&mut admin, "GRANT pg_signal_backend TO powerless").await;
    assert_eq!(shop.revoke(&grant).await.sessions_ended, 1);
}
