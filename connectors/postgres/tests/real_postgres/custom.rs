//! Permissions that an operator puts together: levels in several databases and schemas, and roles.

use ebbgate_connector_api::Connector as _;
use ebbgate_domain::right::{Level, Right};
use rstest::rstest;

use crate::support::*;

fn role(name: &str) -> Right {
    Right::Role { name: name.parse().unwrap() }
}

#[tokio::test]
async fn several_databases_in_one_grant() {
    let (shop, other, third) = (Shop::open().await, Shop::open().await, Shop::open().await);
    let grant = shop.custom(vec![
        level(Level::Full, None, None),
        level(Level::Select, Some(&other.database), None),
        level(Level::Select, Some(&other.database), Some("public")),
    ]);
    let (grant, person, mut ana) = shop.session_of(grant).await;
    run(&mut ana, "INSERT INTO orders (item) VALUES ('coffee')").await;
    let elsewhere = |shop: &Shop| Person { database: shop.database.clone(), ..person.clone() };
    let mut there = elsewhere(&other).log_in().await.unwrap();
    assert_eq!(value::<String>(&mut there, "SELECT item FROM orders").await, "tea");
    let write = attempt(&mut there, "INSERT INTO orders (item) VALUES ('x')").await;
    assert_eq!(code(write), "42501");
    let mut third = elsewhere(&third).log_in().await.unwrap();
    assert_eq!(code(attempt(&mut third, "SELECT * FROM orders").await), "42501");
    assert_eq!(shop.revoke(&grant).await.sessions_ended, 3);
    assert!(!role_exists(&person.user).await);
}

#[tokio::test]
async fn a_role_that_the_operator_has_made() {
    let shop = Shop::open().await;
    let mut admin = shop.as_superuser().await;
    let reports = format!("reports_{}", shop.owner);
    run(
        &mut admin,
        &format!("CREATE ROLE {reports} NOLOGIN; GRANT SELECT (item) ON orders TO {reports}"),
    )
    .await;
    let (grant, person, mut ana) = shop.session_of(shop.custom(vec![role(&reports)])).await;
    assert_eq!(value::<String>(&mut ana, "SELECT item FROM orders").await, "tea");
    assert_eq!(code(attempt(&mut ana, "SELECT id FROM orders").await), "42501");
    set_role(&mut ana, &reports).await;
    shop.revoke(&grant).await;
    assert!(!role_exists(&person.user).await);
    assert!(role_exists(&reports).await);
}

#[rstest]
#[case("CREATE ROLE NAME LOGIN", "it may log in")]
#[case("CREATE ROLE NAME SUPERUSER", "it is a superuser")]
#[case("CREATE ROLE NAME CREATEROLE", "it may create roles")]
#[case("CREATE ROLE NAME BYPASSRLS", "it bypasses row-level security")]
#[case("CREATE ROLE NAME REPLICATION", "it may replicate")]
#[case("CREATE ROLE NAME IN ROLE pg_execute_server_program", "pg_execute_server_program, which")]
#[case("CREATE ROLE NAME IN ROLE pg_read_server_files", "reaches beyond any one database")]
#[case("CREATE ROLE NAME IN ROLE pg_read_all_data", "reaches beyond any one database")]
#[case("CREATE ROLE NAME IN ROLE postgres", "a member of postgres, which is the connector's own")]
#[case(
    "CREATE ROLE NAME_a LOGIN; CREATE ROLE NAME_b IN ROLE NAME_a; CREATE ROLE NAME IN ROLE NAME_b",
    "_a, which may log in"
)]
#[case("SELECT 1", "there is no role")]
#[tokio::test]
async fn a_role_that_can_do_more_is_refused(#[case] make: &str, #[case] why: &str) {
    let shop = Shop::open().await;
    let name = format!("powers_{}", shop.owner);
    // PostgreSQL 13 has no role that reads everything.
    let reader = if is_at_least(14).await { "pg_read_all_data" } else { "pg_write_server_files" };
    let make = make.replace("pg_read_all_data", reader);
    run(&mut shop.as_superuser().await, &make.replace("NAME", &name)).await;
    let grant = shop.custom(vec![role(&name)]);
    let refusal = shop.refusal(&grant).await;
    assert!(refusal.contains(why), "{refusal}");
    assert!(!role_exists(&format!("ebb_{}", grant.grant)).await);
}

#[rstest]
#[case("ebbgate_graveyard", "it is managed by Ebbgate")]
#[case("postgres", "it is the connector's own role")]
#[case("pg_signal_backend", "it reaches beyond any one database")]
#[tokio::test]
async fn roles_that_are_not_an_operators_to_give(#[case] name: &str, #[case] why: &str) {
    let shop = Shop::open().await;
    let make = "DO $$ BEGIN CREATE ROLE ebbgate_graveyard;
                EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$";
    run(&mut shop.as_superuser().await, make).await;
    let refusal = shop.refusal(&shop.custom(vec![role(name)])).await;
    assert!(refusal.contains(why), "{refusal}");
}

#[tokio::test]
async fn a_role_that_only_shows_how_the_server_fares() {
    let shop = Shop::open().await;
    let (_, _, mut ana) = shop.session_of(shop.custom(vec![role("pg_monitor")])).await;
    run(&mut ana, "SELECT * FROM pg_ls_waldir()").await;
}

#[tokio::test]
async fn a_schema_or_database_that_does_not_exist() {
    let shop = Shop::open().await;
    let refusal = shop.refusal(&shop.custom(vec![level(Level::Full, None, Some("nowhere"))])).await;
    assert!(refusal.contains("there is no schema nowhere of database"), "{refusal}");
    let refusal = shop.refusal(&shop.custom(vec![level(Level::Full, Some("no shop"), None)])).await;
    assert!(refusal.contains("no shop"), "{refusal}");
}

#[tokio::test]
async fn provisioning_again_takes_away_what_the_grant_no_longer_says() {
    let shop = Shop::open().await;
    let mut grant = shop
        .custom(vec![level(Level::Full, None, None), level(Level::Select, None, Some("public"))]);
    shop.provision(&grant).await;
    let ana = shop.register(&grant).await;
    let mut ana = ana.log_in().await.unwrap();
    run(&mut ana, "INSERT INTO orders (item) VALUES ('x')").await;
    grant.rights.remove(0);
    shop.connector.provision(&grant, now()).await.unwrap();
    run(&mut ana, "SELECT * FROM orders").await;
    let write = attempt(&mut ana, "INSERT INTO orders (item) VALUES ('x')").await;
    assert_eq!(code(write), "42501");
}
