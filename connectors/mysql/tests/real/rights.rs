//! What each level of access may and may not do.

use ebbgate_connector_api::{Connector as _, ErrorKind};
use ebbgate_domain::right::{Level, Right};
use futures_util::future::join_all;
use rstest::rstest;

use crate::support::*;

const DENIED: [u16; 4] = [1044, 1142, 1227, 1370];

#[rstest]
#[case("select", "SELECT item FROM orders", true)]
#[case("select", "INSERT INTO orders (item) VALUES ('x')", false)]
#[case("full", "INSERT INTO orders (item) VALUES ('x')", true)]
#[case("full", "DELETE FROM orders WHERE id = 0", true)]
#[case("full", "CREATE TABLE notes (n int)", false)]
#[case("full", "DROP TABLE orders", false)]
#[case("ddl", "CREATE TABLE notes (n int)", true)]
#[case("ddl", "ALTER TABLE orders ADD note text", true)]
#[case("ddl", "CREATE VIEW v AS SELECT 1", true)]
#[case("ddl", "CREATE PROCEDURE p() SELECT 1", false)]
#[case("ddl", "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", false)]
#[case("ddl", "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET @a = 1", false)]
#[case("admin", "CREATE PROCEDURE p() SELECT 1", true)]
#[case("admin", "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", true)]
#[case("admin", "DROP TABLE orders", true)]
#[case("admin", "CREATE USER other", false)]
#[case("admin", "GRANT SELECT ON orders TO root", false)]
#[case("admin", "SELECT * FROM mysql.global_priv", false)]
#[tokio::test]
async fn a_level_allows_this_and_no_more(
    #[case] permission: &str,
    #[case] sql: &str,
    #[case] allowed: bool,
) {
    let shop = Shop::open().await;
    let (_, _, mut ana) = shop.session(permission).await;
    let answer = attempt(&mut ana, sql).await;
    if allowed {
        answer.unwrap();
    } else {
        let code = code(answer);
        assert!(DENIED.contains(&code), "{code}");
    }
}

#[tokio::test]
async fn a_database_whose_name_looks_like_a_pattern_opens_no_other() {
    let shop = Shop::open().await;
    let mut admin = root().await;
    // `_` would match any character.
    let other = shop.database.replace('_', "x");
    run(&mut admin, &format!("CREATE DATABASE {other}; CREATE TABLE {other}.secret (n int)")).await;
    let (_, _, mut ana) = shop.session("full").await;
    assert_eq!(code(attempt(&mut ana, &format!("SELECT * FROM {other}.secret")).await), 1142);
}

#[tokio::test]
async fn several_rights_in_several_databases() {
    let (shop, other) = (Shop::open().await, Shop::open().await);
    let mut admin = root().await;
    let reporting = format!("reporting_{}", unique());
    run(
        &mut admin,
        &format!(
            "CREATE DATABASE {reporting}; CREATE TABLE {reporting}.sums (n int);
             CREATE ROLE {reporting}; GRANT SELECT ON {reporting}.* TO {reporting}"
        ),
    )
    .await;
    let grant = shop.custom(&[
        level(Level::Full, None),
        level(Level::Select, Some(&other.database)),
        role(&reporting),
    ]);
    let (person, mut ana) = shop.session_of(&grant).await;
    run(&mut ana, "INSERT INTO orders (item) VALUES ('x')").await;
    run(&mut ana, &format!("SELECT * FROM {}.orders", other.database)).await;
    run(&mut ana, &format!("SELECT * FROM {reporting}.sums")).await;
    let insert = format!("INSERT INTO {}.orders (item) VALUES ('x')", other.database);
    assert_eq!(code(attempt(&mut ana, &insert).await), 1142);
    // Once more changes nothing.
    shop.provision(&grant).await;
    shop.revoke(&grant).await;
    assert!(!user_exists(&person.user).await);
    // The operator's role is not ours to drop.
    assert!(user_exists(&reporting).await);
}

#[rstest]
#[case("GRANT SELECT ON *.* TO {}", "SELECT on the whole server")]
#[case("GRANT SUPER ON *.* TO {}", "SUPER on the whole server")]
#[case("GRANT SELECT ON test.* TO {} WITH GRANT OPTION", "may pass rights or roles on")]
#[case("GRANT SELECT ON mysql.* TO {}", "the server's own database mysql")]
#[case(
    "CREATE ROLE {}_b; GRANT PROCESS ON *.* TO {}_b; GRANT {}_b TO {}",
    "PROCESS on the whole server"
)]
#[tokio::test]
async fn a_role_that_is_too_mighty_is_not_given(#[case] sql: &str, #[case] why: &str) {
    let shop = Shop::open().await;
    let mighty = format!("mighty_{}", unique());
    let mut admin = root().await;
    run(&mut admin, &format!("CREATE ROLE {mighty}; {}", sql.replace("{}", &mighty))).await;
    let grant = shop.custom(&[role(&mighty)]);
    let error = shop.connector.provision(&grant, now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.chain().contains(why), "{}", error.chain());
}

#[tokio::test]
async fn what_makes_no_sense_here_is_invalid() {
    let shop = Shop::open().await;
    let mut elsewhere = shop.grant("select");
    elsewhere.integration = "other".parse().unwrap();
    let schema = Right::Level {
        database: None,
        schema: Some("public".parse().unwrap()),
        level: Level::Select,
    };
    for (grant, why) in [
        (elsewhere, "is no database of orders"),
        (grant_on("", "select"), "1 to 64 characters"),
        (grant_on("MySQL", "select"), "the server's own"),
        (shop.custom(&[level(Level::Select, Some("performance_schema"))]), "the server's own"),
        (shop.grant("read-only"), "select, full, ddl and admin"),
        (shop.custom(&[schema]), "have none within a database"),
        (shop.custom(&[role("ebbgate_admin_shop")]), "the connector's own"),
        (shop.custom(&[role("no such role")]), "there is no role no such role"),
        (shop.custom(&[role("root")]), "there is no role root"),
    ] {
        let error = shop.connector.provision(&grant, now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{}", error.chain());
        assert!(error.chain().contains(why), "{}", error.chain());
    }
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_refused() {
    let shop = Shop::open().await;
    let grant = grant_on("no such shop", "select");
    let error = shop.connector.provision(&grant, now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.chain().contains("there is no database no such shop"), "{}", error.chain());
}

#[tokio::test]
async fn a_privilege_role_that_somebody_made_mightier_is_not_used() {
    let shop = Shop::open().await;
    let mut admin = root().await;
    let role = format!("ebbgate_select_{}", shop.database);
    run(&mut admin, &format!("CREATE ROLE {role}; GRANT SELECT ON mysql.* TO {role}")).await;
    let error = shop.connector.provision(&shop.grant("select"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.chain().contains(&format!("DROP ROLE `{role}`")), "{}", error.chain());
    run(&mut admin, &format!("DROP ROLE {role}")).await;
    shop.provision(&shop.grant("select")).await;
}

#[tokio::test]
async fn a_privilege_role_that_somebody_dropped_is_made_again() {
    let shop = Shop::open().await;
    shop.provision(&shop.grant("select")).await;
    run(&mut root().await, &format!("DROP ROLE ebbgate_select_{}", shop.database)).await;
    let (_, _, mut ana) = shop.session("select").await;
    assert_eq!(value(&mut ana, "SELECT item FROM orders").await, "tea");
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_grants_at_once() {
    let shop = Shop::open().await;
    let grants: Vec<_> = (0..40).map(|_| shop.grant("full")).collect();
    join_all(grants.iter().map(|grant| shop.provision(grant))).await;
    let people = join_all(grants.iter().map(|grant| shop.register(grant, PASSWORD))).await;
    let sessions = join_all(people.iter().map(Person::log_in)).await;
    for session in sessions {
        run(&mut session.unwrap(), "INSERT INTO orders (item) VALUES ('x')").await;
    }
    join_all(grants.iter().map(|grant| shop.revoke(grant))).await;
    for person in people {
        assert!(!user_exists(&person.user).await);
    }
}
