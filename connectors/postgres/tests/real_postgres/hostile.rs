//! People who prepare for the end of their grant: what they set up while they may must neither keep
//! them in nor keep the teardown from its end.

use std::time::Duration;

use ebbgate_connector_api::{Connector as _, ErrorKind};
use rstest::rstest;

use crate::support::*;

/// A transaction that changes the role itself locks its row. One that was prepared has no session
/// that could be ended.
#[tokio::test]
async fn a_prepared_transaction_that_holds_the_role() {
    let shop = Shop::open_with(|settings| settings.limits.lock = Duration::from_millis(400)).await;
    let (grant, person, mut ana) = shop.session("select").await;
    let prepare = format!(
        "BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'mine'; PREPARE TRANSACTION 'held {}'",
        shop.database
    );
    run(&mut ana, &prepare).await;
    let finding = shop.revoke(&grant).await;
    assert!(finding.summary.contains("1 prepared transaction"), "{}", finding.summary);
    assert!(attempt(&mut ana, "SELECT 1").await.is_err());
    assert!(!role_exists(&person.user).await);
}

/// Whoever was made a member may hold the role in the same way, from a session of their own.
#[tokio::test]
async fn a_member_that_holds_the_role() {
    let shop = Shop::open_with(|settings| settings.limits.lock = Duration::from_millis(400)).await;
    let (grant, person, mut ana) = shop.session("select").await;
    let mut admin = shop.as_superuser().await;
    let friend = format!("friend_{}", shop.owner);
    let user = &person.user;
    run(&mut admin, &format!("CREATE ROLE {friend} LOGIN PASSWORD 'friend' IN ROLE {user}")).await;
    let url = server().psql_url(&shop.database, &friend, "friend");
    let mut friend = connect(&url).await.unwrap();
    run(&mut friend, &format!("SET ROLE {user}; BEGIN")).await;
    run(&mut friend, "ALTER ROLE CURRENT_USER PASSWORD 'mine'").await;
    shop.revoke(&grant).await;
    for session in [&mut ana, &mut friend] {
        assert!(attempt(session, "SELECT 1").await.is_err());
    }
    assert!(!role_exists(user).await);
    connect(&url).await.unwrap();
}

/// The owner of a database may set what its sessions begin with; ours, too.
#[rstest]
#[case::another_identity("role = 'ROLE'")]
#[case::another_user("session_authorization = 'ROLE'")]
#[case::read_only("default_transaction_read_only = on")]
#[case::other_names("search_path = public")]
#[case::no_time("statement_timeout = 1")]
#[case::no_rest("idle_session_timeout = 1")]
#[case::no_time_at_all("transaction_timeout = 1")]
#[tokio::test]
async fn settings_of_the_database_do_not_reach_the_connector(#[case] setting: &str) {
    // The database is the one from which roles are managed, at that.
    let server = server_of_ones_own().await;
    let shop = Shop::open_on(server, |_| {}).await;
    shop.give_to_plain_owner().await;
    let (grant, person, mut ana) = shop.session("admin").await;
    run(&mut ana, "CREATE SCHEMA mine; CREATE TABLE mine.notes (n int)").await;
    let change = format!("ALTER DATABASE {} SET {setting}", shop.database);
    match attempt(&mut ana, &change.replace("ROLE", &person.user)).await {
        // Of a later version.
        Err(error) if error.to_string().contains("unrecognized configuration parameter") => return,
        answer => answer.unwrap(),
    }
    let mut settings = settings_for(server);
    settings.url = settings.url.replace("/postgres?", &format!("/{}?", shop.database));
    let home = ebbgate_connector_postgres::PostgresConnector::new(settings).unwrap();
    let other = shop.grant("select");
    home.provision(&other, now()).await.unwrap();
    home.revoke(&other, &WallClock).await.unwrap();
    shop.revoke(&grant).await;
    assert!(attempt(&mut ana, "SELECT 1").await.is_err());
}

/// Default privileges of a privilege role stay with it: no later grant on that database is cleared
/// away the long way because of them, or not seen gone.
#[tokio::test]
async fn default_privileges_of_a_privilege_role() {
    let shop = Shop::open().await;
    let (grant, _, mut ana) = shop.session("full").await;
    let role = format!("ebbgate_full_{}", shop.database);
    let leave = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {role} GRANT ALL ON TABLES TO PUBLIC");
    let left = attempt(&mut ana, &leave).await;
    assert!(left.is_ok() || is_at_least(16).await, "{left:?}");
    shop.revoke(&grant).await;
    let (next, _, _ben) = shop.session("full").await;
    let finding = shop.revoke(&next).await;
    assert!(!finding.summary.contains("was cleared away"), "{}", finding.summary);
}

/// What different people leave behind belongs to one role then. Nobody's code runs as that.
#[tokio::test]
async fn what_one_left_behind_does_not_open_what_another_left() {
    let shop = Shop::open().await;
    shop.give_to_plain_owner().await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("CREATE ROLE standing_{} LOGIN PASSWORD 'standing'", shop.owner))
        .await;
    let (bens, _, mut ben) = shop.session("ddl").await;
    run(&mut ben, "CREATE TABLE secrets AS SELECT 'salary'::text AS what").await;
    let (anas, _, mut ana) = shop.session("ddl").await;
    run(
        &mut ana,
        "CREATE FUNCTION peek() RETURNS text LANGUAGE plpgsql SECURITY DEFINER
             AS $$ BEGIN RETURN (SELECT what FROM public.secrets); END $$;
         CREATE PROCEDURE do_it() LANGUAGE plpgsql SECURITY DEFINER
             AS $$ BEGIN DELETE FROM public.secrets; END $$;
         CREATE VIEW seen AS SELECT what FROM public.secrets; GRANT SELECT ON seen TO PUBLIC",
    )
    .await;
    shop.revoke(&bens).await;
    shop.revoke(&anas).await;
    let url = server().psql_url(&shop.database, &format!("standing_{}", shop.owner), "standing");
    let mut standing = connect(&url).await.unwrap();
    let mut tries = vec!["SELECT peek()", "CALL do_it()"];
    // Before 15 a view always reads as its owner.
    tries.extend(is_at_least(15).await.then_some("SELECT * FROM seen"));
    for call in tries {
        assert_eq!(code(attempt(&mut standing, call).await), "42501", "{call}");
    }
}

/// Nobody is given the database from which the connector manages roles: its owner could lock it out.
#[tokio::test]
async fn the_connectors_own_database_is_nobodys() {
    let shop = Shop::open().await;
    shop.give_to_plain_owner().await;
    let mut settings = settings();
    settings.url = settings.url.replace("/postgres?", &format!("/{}?", shop.database));
    let home = ebbgate_connector_postgres::PostgresConnector::new(settings).unwrap();
    let refusal = home.provision(&shop.grant("ddl"), now()).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Refused);
    assert!(
        refusal.chain().contains("it owns the database from which roles are managed"),
        "{}",
        refusal.chain()
    );
    let admin = shop.grant("admin");
    home.provision(&admin, now()).await.unwrap();
    let person = shop.register(&admin).await;
    let mut ana = person.log_in().await.unwrap();
    let change = format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", shop.database);
    assert_eq!(code(attempt(&mut ana, &change).await), "42501");
    home.revoke(&admin, &WallClock).await.unwrap();
}

/// Everything that `admin` may make in a database.
#[tokio::test]
async fn extensions_publications_and_schemas() {
    let shop = Shop::open().await;
    shop.give_to_plain_owner().await;
    let (grant, person, mut ana) = shop.session("admin").await;
    let mut admin = shop.as_superuser().await;
    let has = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'hstore')";
    if value::<bool>(&mut admin, has).await {
        run(&mut ana, "CREATE EXTENSION hstore").await;
    }
    run(
        &mut ana,
        "CREATE SCHEMA mine; CREATE PUBLICATION all_of_it; CREATE TYPE mine.pair AS (a int, b int);
         CREATE TABLE mine.parted (n int) PARTITION BY RANGE (n);
         CREATE TABLE mine.part PARTITION OF mine.parted FOR VALUES FROM (1) TO (2);
         CREATE DOMAIN mine.small AS int CHECK (VALUE < 9);
         CREATE AGGREGATE mine.total (int) (SFUNC = int4pl, STYPE = int);
         CREATE MATERIALIZED VIEW mine.seen AS SELECT 1 AS n;
         CREATE TEXT SEARCH CONFIGURATION mine.words (COPY = pg_catalog.simple);
         ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
         COMMENT ON TABLE mine.part IS 'x'; SELECT lo_create(0)",
    )
    .await;
    shop.revoke(&grant).await;
    assert!(!role_exists(&person.user).await);
}
