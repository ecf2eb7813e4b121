//! What `ddl` and `admin` let their person do, and where they are refused.

use ebbgate_connector_api::Connector as _;
use ebbgate_connector_postgres::PostgresConnector;
use ebbgate_domain::right::Level;
use rstest::rstest;

use crate::support::*;

#[tokio::test]
async fn ddl_makes_changes_and_drops() {
    let shop = Shop::open().await;
    let owner = shop.give_to_plain_owner().await;
    let (grant, _, mut ana) = shop.session("ddl").await;
    run(
        &mut ana,
        "ALTER TABLE orders ADD COLUMN price int; CREATE INDEX ON orders (price);
         UPDATE orders SET price = 1; TRUNCATE orders; ALTER TABLE orders RENAME TO sales;
         CREATE TABLE notes (id serial PRIMARY KEY); DROP TABLE notes; CREATE TABLE drafts (n int)",
    )
    .await;
    for beyond in ["CREATE ROLE x", "CREATE DATABASE x", "COPY drafts FROM PROGRAM 'true'"] {
        assert_eq!(code(attempt(&mut ana, beyond).await), "42501", "{beyond}");
    }
    // What the owner makes later may be changed, too.
    run(&mut shop.as_owner().await, "CREATE TABLE later (n int)").await;
    run(&mut ana, "ALTER TABLE later ADD COLUMN m int").await;
    shop.revoke(&grant).await;
    let mut admin = shop.as_superuser().await;
    let owners = "SELECT string_agg(relname || ' ' || relowner::regrole::text, ',' ORDER BY 1)
                  FROM pg_class WHERE relname IN ('sales', 'later', 'drafts')";
    // What was the owner's stays the owner's; what the person made is for an administrator to judge.
    let wanted = format!("drafts ebbgate_graveyard,later {owner},sales {owner}");
    let owners: String = value(&mut admin, owners).await;
    assert_eq!(owners.split(',').collect::<std::collections::BTreeSet<_>>().len(), 3);
    for one in wanted.split(',') {
        assert!(owners.contains(one), "{owners}");
    }
}

/// A member could set the owner's password and come back by it, or is a superuser at once.
#[rstest]
#[case("", "it may log in")]
#[case("ALTER ROLE APP NOLOGIN SUPERUSER", "it is a superuser")]
#[case("ALTER ROLE APP NOLOGIN CREATEROLE", "it may create roles")]
#[case(
    "ALTER ROLE APP NOLOGIN; GRANT pg_write_server_files TO APP",
    "it is a member of pg_write_server_files, which reaches beyond any one database"
)]
#[case("ALTER TABLE orders OWNER TO postgres", "it is the connector's own role")]
#[case(
    "ALTER ROLE APP NOLOGIN; ALTER DATABASE OTHER OWNER TO APP",
    "it also reaches the whole server"
)]
#[tokio::test]
async fn ddl_is_refused_where_the_tables_owner_can_do_more(
    #[case] change: &str,
    #[case] why: &str,
) {
    let shop = Shop::open().await;
    let other = Shop::open().await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &change.replace("APP", &shop.owner).replace("OTHER", &other.database)).await;
    let refusal = shop.refusal(&shop.grant("ddl")).await;
    assert!(refusal.contains("public.orders") && refusal.contains(why), "{refusal}");
    assert!(refusal.contains("give the tables of database"), "{refusal}");
}

#[tokio::test]
async fn ddl_is_refused_where_the_owner_reaches_another_database() {
    let (shop, other) = (Shop::open().await, Shop::open().await);
    let owner = shop.give_to_plain_owner().await;
    run(&mut other.as_owner().await, &format!("GRANT SELECT ON orders TO {owner}")).await;
    let refusal = shop.refusal(&shop.grant("ddl")).await;
    let why = format!("it also reaches database {}", other.database);
    assert!(refusal.contains(&why), "{refusal}");
}

#[tokio::test]
async fn nobody_takes_the_owners_identity_from_16_on() {
    let shop = Shop::open().await;
    let owner = shop.give_to_plain_owner().await;
    let (_, _, mut ana) = shop.session("ddl").await;
    set_role(&mut ana, &owner).await;
    set_role(&mut ana, &format!("ebbgate_ddl_{}", shop.database)).await;
}

#[tokio::test]
async fn admin_does_what_the_databases_owner_may() {
    let shop = Shop::open().await;
    shop.give_to_plain_owner().await;
    let (grant, person, mut ana) = shop.session("admin").await;
    let database = &shop.database;
    run(
        &mut ana,
        &format!(
            "CREATE SCHEMA mine; CREATE TABLE mine.notes (n int); ALTER TABLE orders ADD COLUMN m int;
             ALTER DATABASE {database} SET work_mem = '8MB'"
        ),
    )
    .await;
    assert_eq!(code(attempt(&mut ana, "CREATE ROLE x").await), "42501");
    shop.revoke(&grant).await;
    assert!(!role_exists(&person.user).await);
    let mut admin = shop.as_superuser().await;
    let schema = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'mine'";
    assert_eq!(value::<String>(&mut admin, schema).await, "ebbgate_graveyard");
}

#[tokio::test]
async fn admin_gives_what_can_be_given_where_the_owner_can_do_more() {
    let shop = Shop::open().await;
    // The owner may log in.
    let (_, _, mut ana) = shop.session("admin").await;
    run(&mut ana, "CREATE SCHEMA mine; CREATE TABLE drafts (n int); DROP TABLE drafts").await;
    run(&mut ana, "INSERT INTO orders (item) VALUES ('x'); TRUNCATE orders").await;
    let alter = attempt(&mut ana, "ALTER TABLE orders ADD COLUMN m int").await;
    assert_eq!(code(alter), "42501");
    // A trigger would run as whoever writes to the table.
    let trigger = "CREATE TRIGGER trap BEFORE INSERT ON orders EXECUTE FUNCTION
                   suppress_redundant_updates_trigger()";
    assert_eq!(code(attempt(&mut ana, trigger).await), "42501");
}

#[tokio::test]
async fn an_owner_that_can_do_more_by_now_loses_its_members() {
    let shop = Shop::open().await;
    let owner = shop.give_to_plain_owner().await;
    let (_, _, mut ana) = shop.session("admin").await;
    run(&mut ana, "ALTER TABLE orders ADD COLUMN m int").await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("ALTER ROLE {owner} CREATEROLE")).await;
    // The next look comes a minute later, or from another connector.
    let fresh = PostgresConnector::new(settings()).unwrap();
    fresh.provision(&shop.grant("admin"), now()).await.unwrap();
    let alter = attempt(&mut ana, "ALTER TABLE orders ADD COLUMN k int").await;
    assert_eq!(code(alter), "42501");
}

#[tokio::test]
async fn one_schema_and_what_is_made_there_later() {
    let shop = Shop::open().await;
    let mut app = shop.as_owner().await;
    run(&mut app, "CREATE SCHEMA sales; CREATE TABLE sales.a AS SELECT 1 AS n").await;
    let grant = shop.custom(vec![level(Level::Select, None, Some("sales"))]);
    let (_, _, mut ana) = shop.session_of(grant).await;
    run(&mut app, "CREATE TABLE sales.b AS SELECT 2 AS n; CREATE TABLE more AS SELECT 3 AS n")
        .await;
    run(&mut app, "CREATE SCHEMA next; CREATE TABLE next.c AS SELECT 4 AS n").await;
    assert_eq!(value::<i32>(&mut ana, "SELECT a.n + b.n FROM sales.a, sales.b").await, 3);
    for beyond in ["orders", "more", "next.c"] {
        let select = format!("SELECT * FROM {beyond}");
        assert_eq!(code(attempt(&mut ana, &select).await), "42501", "{beyond}");
    }
}

#[tokio::test]
async fn ddl_in_one_schema() {
    let shop = Shop::open().await;
    let mut admin = shop.as_superuser().await;
    let sales = format!("sales_{}", shop.owner);
    run(
        &mut admin,
        &format!("CREATE ROLE {sales} NOLOGIN; CREATE SCHEMA sales AUTHORIZATION {sales}"),
    )
    .await;
    run(&mut admin, &format!("CREATE TABLE sales.a (n int); ALTER TABLE sales.a OWNER TO {sales}"))
        .await;
    let grant = shop.custom(vec![level(Level::Ddl, None, Some("sales"))]);
    let (_, _, mut ana) = shop.session_of(grant).await;
    run(&mut ana, "ALTER TABLE sales.a ADD COLUMN m int; CREATE TABLE sales.b (n int)").await;
    assert_eq!(code(attempt(&mut ana, "SELECT * FROM orders").await), "42501");
    // An owner who has something in another schema as well would let its members have that, too.
    run(
        &mut admin,
        &format!("CREATE TABLE public.aside (n int); ALTER TABLE aside OWNER TO {sales}"),
    )
    .await;
    let fresh = PostgresConnector::new(settings()).unwrap();
    let again = shop.custom(vec![level(Level::Ddl, None, Some("sales"))]);
    let error = fresh.provision(&again, now()).await.unwrap_err().chain();
    assert!(error.contains("it also reaches the rest of the database"), "{error}");
}
