//! What a grant lets its person do.

use ebbgate_connector_api::{Connector as _, ErrorKind};
use futures_util::future::join_all;

use crate::support::*;

#[tokio::test]
async fn select_reads_and_does_not_write() {
    let shop = Shop::open().await;
    let (_, _, mut ana) = shop.session("select").await;
    assert_eq!(value::<String>(&mut ana, "SELECT item FROM orders").await, "tea");
    assert_eq!(value::<i64>(&mut ana, "SELECT last_value FROM orders_id_seq").await, 1);
    for write in [
        "INSERT INTO orders (item) VALUES ('x')",
        "UPDATE orders SET item = 'x'",
        "DELETE FROM orders",
        "CREATE SCHEMA x",
        "SELECT nextval('orders_id_seq')",
    ] {
        assert_eq!(code(attempt(&mut ana, write).await), "42501", "{write}");
    }
}

#[tokio::test]
async fn full_reads_and_writes_but_does_not_change_the_schema() {
    let shop = Shop::open().await;
    let (_, _, mut ana) = shop.session("full").await;
    run(&mut ana, "INSERT INTO orders (item) VALUES ('coffee')").await;
    run(&mut ana, "UPDATE orders SET item = 'chai' WHERE item = 'tea'").await;
    run(&mut ana, "DELETE FROM orders WHERE item = 'coffee'").await;
    assert_eq!(value::<String>(&mut ana, "SELECT item FROM orders").await, "chai");
    assert_eq!(code(attempt(&mut ana, "DROP TABLE orders").await), "42501");
    assert_eq!(code(attempt(&mut ana, "TRUNCATE orders").await), "42501");
}

#[tokio::test]
async fn what_the_owner_makes_later_is_readable_too() {
    let shop = Shop::open().await;
    let (_, _, mut ana) = shop.session("select").await;
    let mut app = shop.as_owner().await;
    run(&mut app, "CREATE TABLE later AS SELECT 'cake'::text AS item").await;
    run(&mut app, "CREATE SCHEMA more; CREATE VIEW more.all AS SELECT item FROM later").await;
    assert_eq!(value::<String>(&mut ana, "SELECT item FROM later").await, "cake");
    assert_eq!(value::<String>(&mut ana, "SELECT item FROM more.all").await, "cake");
}

#[tokio::test]
async fn names_and_kinds_of_every_sort_are_covered() {
    let shop = Shop::open().await;
    let mut app = shop.as_owner().await;
    run(
        &mut app,
        r#"CREATE SCHEMA "Ünü""s; DROP";
           CREATE TABLE "Ünü""s; DROP"."a'b\ c" AS SELECT 1 AS n;
           CREATE MATERIALIZED VIEW seen AS SELECT 2 AS n;
           CREATE TABLE parts (n int) PARTITION BY RANGE (n);
           CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (10)"#,
    )
    .await;
    let (_, _, mut ana) = shop.session("select").await;
    for (query, n) in [
        (r#"SELECT n FROM "Ünü""s; DROP"."a'b\ c""#, 1),
        ("SELECT n FROM seen", 2),
        ("SELECT count(*)::int FROM parts", 0),
    ] {
        assert_eq!(value::<i32>(&mut ana, query).await, n, "{query}");
    }
}

#[tokio::test]
async fn a_database_that_public_may_not_enter_is_opened_for_the_grant() {
    let shop = Shop::open().await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", shop.database)).await;
    run(&mut admin, "REVOKE ALL ON SCHEMA public FROM PUBLIC").await;
    let (_, _, mut ana) = shop.session("select").await;
    assert_eq!(value::<String>(&mut ana, "SELECT item FROM orders").await, "tea");
}

#[tokio::test]
async fn a_grant_is_a_membership_and_tables_are_left_alone() {
    let shop = Shop::open().await;
    shop.provision(&shop.grant("select")).await;
    let mut admin = shop.as_superuser().await;
    let row = "SELECT xmin::text || relacl::text FROM pg_class WHERE relname = 'orders'";
    let before: String = value(&mut admin, row).await;
    for _ in 0..3 {
        shop.provision(&shop.grant("select")).await;
    }
    // A connector that has seen nothing yet finds all rights there.
    let fresh = ebbgate_connector_postgres::PostgresConnector::new(settings()).unwrap();
    fresh.provision(&shop.grant("select"), now()).await.unwrap();
    assert_eq!(value::<String>(&mut admin, row).await, before);
}

#[tokio::test]
async fn forty_at_once_on_one_server() {
    let shop = Shop::open().await;
    let other = Shop::open().await;
    let grants: Vec<_> = (0..40)
        .map(|number| match number % 4 {
            0 => other.grant("full"),
            1 => shop.grant("full"),
            _ => shop.grant("select"),
        })
        .collect();
    // Two agents that know nothing of one another.
    let answers = join_all(grants.iter().enumerate().map(|(number, grant)| {
        let connector = if number % 2 == 0 { &shop.connector } else { &other.connector };
        connector.provision(grant, now())
    }))
    .await;
    for answer in answers {
        answer.unwrap();
    }
    let marked = shop.connector.marked().await.unwrap();
    assert!(grants.iter().all(|grant| marked.contains(&grant.grant)));
    let findings = join_all(grants.iter().map(|grant| shop.revoke(grant))).await;
    assert_eq!(findings.len(), 40);
    let marked = shop.connector.marked().await.unwrap();
    assert!(!grants.iter().any(|grant| marked.contains(&grant.grant)));
}

#[tokio::test]
async fn provisioning_again_brings_the_role_to_what_the_grant_says() {
    let shop = Shop::open().await;
    let mut grant = shop.grant("select");
    let role = format!("ebb_{}", grant.grant);
    // As a crash, or somebody's hand, may have left it.
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("CREATE ROLE {role} NOLOGIN CONNECTION LIMIT 0")).await;
    shop.provision(&grant).await;
    grant.deadline += jiff::SignedDuration::from_hours(1);
    shop.provision(&grant).await;
    let ana = shop.register(&grant).await;
    let mut ana = ana.log_in().await.unwrap();
    assert_eq!(value::<String>(&mut ana, "SELECT item FROM orders").await, "tea");
    let look = format!(
        "SELECT rolconnlimit = 20 AND rolvaliduntil = '{}' FROM pg_roles WHERE rolname = '{role}'",
        grant.deadline
    );
    assert!(value::<bool>(&mut admin, &look).await);
}

#[tokio::test]
async fn a_privilege_role_that_was_dropped_is_made_again() {
    let shop = Shop::open().await;
    let first = shop.grant("select");
    shop.provision(&first).await;
    let role = format!("ebbgate_select_{}", shop.database);
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    let (_, _, mut ana) = shop.session("select").await;
    assert_eq!(value::<String>(&mut ana, "SELECT item FROM orders").await, "tea");
}

#[tokio::test]
async fn a_privilege_role_that_may_log_in_is_not_used() {
    let shop = Shop::open().await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("CREATE ROLE ebbgate_select_{} LOGIN", shop.database)).await;
    let error = shop.connector.provision(&shop.grant("select"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.chain().contains("drop or rename it"), "{}", error.chain());
}

#[tokio::test]
async fn sessions_bear_the_grants_id() {
    let shop = Shop::open().await;
    let (grant, _, mut ana) = shop.session("select").await;
    let name: String = value(&mut ana, "SELECT current_setting('application_name')").await;
    assert_eq!(name, grant.grant.to_string());
}

#[tokio::test]
async fn what_a_hostile_database_puts_in_the_way_is_not_used() {
    let shop = Shop::open().await;
    let mut admin = shop.as_superuser().await;
    run(
        &mut admin,
        &format!(
            "CREATE SCHEMA trap;
             CREATE FUNCTION trap.has_schema_privilege(oid, oid, text) RETURNS boolean
                 LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
             CREATE VIEW trap.pg_roles AS SELECT 1 AS oid;
             ALTER DATABASE {0} SET search_path = trap, pg_catalog;
             ALTER DATABASE {0} SET default_transaction_read_only = on;
             ALTER DATABASE {0} SET standard_conforming_strings = off",
            shop.database
        ),
    )
    .await;
    let (grant, _, _ana) = shop.session("select").await;
    assert_eq!(shop.revoke(&grant).await.sessions_ended, 1);
}

#[tokio::test]
async fn whoever_holds_our_advisory_lock_does_not_keep_others_out() {
    let shop = Shop::open_with(|settings| {
        settings.limits.lock = std::time::Duration::from_millis(100);
    })
    .await;
    let mut app = shop.as_owner().await;
    run(&mut app, &format!("SELECT pg_advisory_lock({})", 0x6562_6272)).await;
    let (_, _, mut ana) = shop.session("select").await;
    assert_eq!(value::<String>(&mut ana, "SELECT item FROM orders").await, "tea");
}
