//! What a grant leaves behind that would run with its maker's rights (fault 24).

use crate::support::*;

const GRAVEYARD: &str = "ebbgate_graveyard@localhost";

async fn definers(database: &str) -> Vec<String> {
    let look = format!(
        "SELECT CONCAT_WS(' ', TABLE_NAME, DEFINER) FROM information_schema.VIEWS
             WHERE TABLE_SCHEMA = '{database}'
         UNION ALL SELECT CONCAT_WS(' ', ROUTINE_TYPE, ROUTINE_NAME, DEFINER)
             FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{database}'
         UNION ALL SELECT CONCAT_WS(' ', TRIGGER_NAME, DEFINER) FROM information_schema.TRIGGERS
             WHERE TRIGGER_SCHEMA = '{database}'
         UNION ALL SELECT CONCAT_WS(' ', EVENT_NAME, STATUS, DEFINER) FROM information_schema.EVENTS
             WHERE EVENT_SCHEMA = '{database}'"
    );
    column(&mut root().await, &look).await
}

#[tokio::test]
async fn everything_of_the_grants_gets_a_definer_without_rights() {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("admin").await;
    for sql in [
        "CREATE VIEW v AS SELECT item, 'é' AS x FROM orders WHERE item <> 'DEFINER=`a`@`b`' WITH CHECK OPTION",
        "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.item = UPPER(NEW.item)",
        "CREATE FUNCTION f(a int) RETURNS int DETERMINISTIC RETURN a + 1",
        "CREATE PROCEDURE `p ``q`() SELECT 'DEFINER=`root`@`%`'",
        "SET sql_mode = 'ANSI_QUOTES'",
        "CREATE FUNCTION \"g h\"(\"a\" int) RETURNS int DETERMINISTIC RETURN \"a\"",
        "SET sql_mode = 'ORACLE'",
        "CREATE PACKAGE pk AS FUNCTION one RETURN int; END",
        "CREATE PACKAGE BODY pk AS FUNCTION one RETURN int AS BEGIN RETURN 1; END; END",
        "SET sql_mode = DEFAULT",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM orders",
    ] {
        run(&mut ana, sql).await;
    }
    let before = definers(&shop.database).await;
    assert_eq!(before.len(), 8, "{before:?}");
    assert!(before.iter().all(|line| line.ends_with(&format!(" {}@%", person.user))), "{before:?}");
    let finding = shop.revoke(&grant).await;
    let after = definers(&shop.database).await;
    assert_eq!(after.len(), 8, "{after:?} {finding:?}");
    assert!(after.iter().all(|line| line.ends_with(GRAVEYARD)), "{after:?}");
    assert!(after.contains(&format!("e DISABLED {GRAVEYARD}")), "{after:?}");
    assert!(finding.summary.contains(&format!("view {}.v", shop.database)), "{}", finding.summary);
    // They are what they were, but nobody has their maker's rights by them.
    let mut admin = root().await;
    run(&mut admin, &format!("USE {}", shop.database)).await;
    let view = column(
        &mut admin,
        "SELECT VIEW_DEFINITION FROM information_schema.VIEWS
                                   WHERE TABLE_NAME = 'v' AND TABLE_SCHEMA = DATABASE()",
    )
    .await;
    assert!(view[0].contains("'é' AS `x`") && view[0].contains("DEFINER=`a`@`b`"), "{view:?}");
    assert_eq!(code(attempt(&mut admin, "SELECT * FROM v").await), 1356);
    assert_eq!(code(attempt(&mut admin, "INSERT INTO orders (item) VALUES ('x')").await), 1142);
    assert_eq!(code(attempt(&mut admin, "SELECT f(1)").await), 1370);
    let account = column(&mut admin, "SHOW GRANTS FOR ebbgate_graveyard@localhost").await;
    assert_eq!(account.len(), 1);
    assert!(account[0].starts_with("GRANT USAGE ON *.*"), "{account:?}");
    let url = server().user_url("", "ebbgate_graveyard", "");
    assert!([1045, 4151].contains(&code(connect(&url).await)));
}

/// MariaDB lets anybody name their current role as the definer: an event then goes on for ever with
/// the role's rights.
#[tokio::test]
async fn what_runs_as_the_role_ends_with_the_grant() {
    let shop = Shop::open().await;
    let (grant, _, mut ana) = shop.session("admin").await;
    run(
        &mut ana,
        "CREATE DEFINER = CURRENT_ROLE EVENT e ON SCHEDULE EVERY 1 SECOND
             DO INSERT INTO orders (item) VALUES ('evil');
         CREATE DEFINER = CURRENT_ROLE PROCEDURE p() SELECT * FROM orders;
         CREATE DEFINER = CURRENT_ROLE VIEW v AS SELECT * FROM orders",
    )
    .await;
    let orders = &shop.database;
    until(&format!("SELECT count(*) > 0 FROM {orders}.orders WHERE item = 'evil'")).await;
    let finding = shop.revoke(&grant).await;
    let count = format!("SELECT count(*) FROM {orders}.orders");
    let mut admin = root().await;
    let at_the_end = value(&mut admin, &count).await;
    let lines = definers(&shop.database).await;
    assert!(lines.iter().all(|line| line.ends_with(GRAVEYARD)), "{lines:?}");
    assert!(finding.summary.contains(&format!("event {orders}.e")), "{}", finding.summary);
    // The scheduler's next turns have come and gone: it ran an event of ours meanwhile.
    run(
        &mut admin,
        &format!(
            "CREATE TABLE {orders}.turns (n int);
             CREATE EVENT {orders}.ours ON SCHEDULE EVERY 1 SECOND DO INSERT INTO {orders}.turns VALUES (1)"
        ),
    )
    .await;
    until(&format!("SELECT count(*) > 1 FROM {orders}.turns")).await;
    run(&mut admin, &format!("DROP EVENT {orders}.ours")).await;
    assert_eq!(value(&mut admin, &count).await, at_the_end);
}

#[tokio::test]
async fn a_view_on_what_is_gone_is_dropped() {
    let shop = Shop::open().await;
    let (grant, _, mut ana) = shop.session("ddl").await;
    run(
        &mut ana,
        "CREATE TABLE notes (n int); CREATE VIEW v AS SELECT n FROM notes; DROP TABLE notes",
    )
    .await;
    let finding = shop.revoke(&grant).await;
    assert!(definers(&shop.database).await.is_empty());
    assert!(finding.summary.contains("dropped, being broken: view"), "{}", finding.summary);
}

#[tokio::test]
async fn those_of_others_stay_as_they_are() {
    let shop = Shop::open().await;
    let (grant, _, _ana) = shop.session("admin").await;
    let mut admin = root().await;
    run(&mut admin, &format!("USE {}; CREATE VIEW v AS SELECT * FROM orders", shop.database)).await;
    let finding = shop.revoke(&grant).await;
    assert_eq!(definers(&shop.database).await, ["v root@%"]);
    assert!(!finding.summary.contains("definer"), "{}", finding.summary);
}

#[tokio::test]
async fn a_graveyard_that_can_do_something_is_not_used() {
    // A server of its own: this one account is everybody's.
    let private =
        tokio::task::spawn_blocking(|| ebbgate_testkit_mariadb::PrivateServer::start().unwrap())
            .await
            .unwrap();
    let mut admin = connect(&private.url()).await.unwrap();
    run(&mut admin, "CREATE DATABASE shop; CREATE USER ebbgate_graveyard@localhost").await;
    run(&mut admin, "GRANT SELECT ON shop.* TO ebbgate_graveyard@localhost").await;
    let connector = ebbgate_connector_mysql::MysqlConnector::new(settings_of(&private)).unwrap();
    let grant = grant_on("shop", "ddl");
    use ebbgate_connector_api::Connector as _;
    connector.provision(&grant, now()).await.unwrap();
    let user = value(&mut admin, "SELECT User FROM mysql.user WHERE User LIKE 'ebb\\_%'").await;
    run(&mut admin, &format!("CREATE DEFINER = {user}@`%` VIEW shop.v AS SELECT 1")).await;
    let error = connector.revoke(&grant, &WallClock).await.unwrap_err();
    assert!(
        error.chain().contains("DROP USER 'ebbgate_graveyard'@'localhost'"),
        "{}",
        error.chain()
    );
    run(&mut admin, "DROP USER ebbgate_graveyard@localhost").await;
    connector.revoke(&grant, &WallClock).await.unwrap();
}
