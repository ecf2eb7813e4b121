//! What somebody with a live session may try so as to keep access after the end of their grant.

use std::time::Duration;

use ebbgate_connector_api::{Connector as _, Credential, ErrorKind};
use ebbgate_connector_mysql::{MysqlConnector, MysqlSettings};

use crate::support::*;

/// The body of a routine, to the byte, and whose rights it has.
async fn routine(database: &str, name: &str) -> String {
    let look = format!(
        "SELECT CONCAT_WS(' ', HEX(body), character_set_client, sql_mode, definer)
         FROM mysql.proc WHERE db = '{database}' AND name = '{name}'"
    );
    value(&mut root().await, &look).await
}

/// Inside a routine or trigger that runs with its maker's rights, MariaDB lists a session under the
/// maker's name. Who waits there while their grant ends would go on afterwards.
#[tokio::test]
async fn to_wait_inside_somebody_elses_trigger() {
    let shop =
        Shop::open_with(|settings| settings.limits.sessions = Duration::from_millis(200)).await;
    let mut admin = root().await;
    run(
        &mut admin,
        &format!(
            "USE {}; CREATE TABLE counts (id int PRIMARY KEY, n int); INSERT INTO counts VALUES (1, 0);
             CREATE TRIGGER counting BEFORE INSERT ON orders FOR EACH ROW
                 UPDATE counts SET n = n + 1 WHERE id = 1",
            shop.database
        ),
    )
    .await;
    let (grant, person, mut ana) = shop.session("full").await;
    let id = value(&mut ana, "SELECT connection_id()").await;
    run(&mut admin, "BEGIN; UPDATE counts SET n = 10").await;
    let waiting = tokio::spawn(async move {
        let outcome = attempt(
            &mut ana,
            "SET innodb_lock_wait_timeout = 600; INSERT INTO orders (item) VALUES ('late')",
        )
        .await;
        (outcome, ana)
    });
    until(&format!(
        "SELECT count(*) FROM information_schema.PROCESSLIST
         WHERE ID = {id} AND INFO LIKE 'UPDATE counts%' AND USER <> '{}'",
        person.user
    ))
    .await;
    let error = shop.connector.revoke(&grant, &WallClock).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StillPresent, "{}", error.chain());
    assert!(error.chain().contains(&id), "{}", error.chain());

    run(&mut admin, "ROLLBACK").await;
    let (_, mut ana) = waiting.await.unwrap();
    shop.revoke(&grant).await;
    assert!(attempt(&mut ana, "SELECT item FROM orders").await.is_err(), "she is still in");
}

/// Others are at work as well.
#[tokio::test]
async fn those_who_only_look_alike_hold_nobody_up() {
    let shop = Shop::open().await;
    let mut admin = root().await;
    run(
        &mut admin,
        &format!("CREATE PROCEDURE {}.p() SQL SECURITY DEFINER SELECT 1", shop.database),
    )
    .await;
    let (grant, ..) = shop.session("select").await;
    // Her host part is what her line says, but nothing runs with her rights.
    let name = format!("owner_{}", shop.database);
    run(&mut admin, &format!("CREATE USER {name}@127.0.0.1 IDENTIFIED BY 'x'")).await;
    let mut owner = connect(&server().user_url("", &name, "x")).await.unwrap();
    let id = value(&mut owner, "SELECT connection_id()").await;
    let working = tokio::spawn(async move { attempt(&mut owner, "DO sleep(600)").await });
    until(&format!(
        "SELECT count(*) FROM information_schema.PROCESSLIST WHERE ID = {id} AND INFO = 'DO sleep(600)'"
    ))
    .await;
    shop.revoke(&grant).await;
    run(&mut admin, &format!("KILL {id}")).await;
    working.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn to_wait_inside_a_routine_of_the_role() {
    let shop = Shop::open().await;
    let (grant, _, mut ana) = shop.session("admin").await;
    let id = value(&mut ana, "SELECT connection_id()").await;
    run(&mut ana, "CREATE DEFINER = CURRENT_ROLE PROCEDURE nap() DO sleep(600)").await;
    let napping = tokio::spawn(async move { attempt(&mut ana, "CALL nap()").await });
    until(&format!(
        "SELECT count(*) FROM information_schema.PROCESSLIST
         WHERE ID = {id} AND INFO = 'DO sleep(600)'"
    ))
    .await;
    shop.revoke(&grant).await;
    napping.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn to_have_an_event_run_for_ever_as_the_role() {
    let shop = Shop::open().await;
    let (grant, _, mut ana) = shop.session("admin").await;
    run(
        &mut ana,
        "CREATE DEFINER = CURRENT_ROLE EVENT e ON SCHEDULE EVERY 1 DAY DO
             BEGIN INSERT INTO orders (item) VALUES ('begun'); DO sleep(600); END",
    )
    .await;
    until(&format!("SELECT count(*) FROM {}.orders WHERE item = 'begun'", shop.database)).await;
    shop.revoke(&grant).await;
    let role = format!("ebbgate_admin_{}", shop.database);
    let look = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{role}'");
    assert!(column(&mut root().await, &look).await.is_empty(), "it goes on");
}

/// Nobody is there to stop, but it begins at any moment, and leaves no trace in the list of events.
#[tokio::test]
async fn to_have_events_begin_just_then() {
    let shop = Shop::open().await;
    let (grant, _, mut ana) = shop.session("admin").await;
    for number in 0..20 {
        run(
            &mut ana,
            &format!(
                "CREATE DEFINER = CURRENT_ROLE EVENT e{number}
                     ON SCHEDULE AT NOW() + INTERVAL {} SECOND DO
                     BEGIN DO sleep(0.1 * {number}); CREATE OR REPLACE DEFINER = CURRENT_ROLE VIEW v{number}
                         AS SELECT * FROM orders; DO sleep(600); END",
                1 + number % 2
            ),
        )
        .await;
    }
    let role = format!("ebbgate_admin_{}", shop.database);
    until(&format!(
        "SELECT count(*) > 0 FROM information_schema.PROCESSLIST WHERE USER = '{role}'"
    ))
    .await;
    let finding = shop.revoke(&grant).await;
    let look = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{role}'");
    assert!(column(&mut root().await, &look).await.is_empty(), "it goes on: {finding:?}");
    let look = format!(
        "SELECT TABLE_NAME FROM information_schema.VIEWS
         WHERE TABLE_SCHEMA = '{}' AND DEFINER LIKE '{role}%'",
        shop.database
    );
    assert!(column(&mut root().await, &look).await.is_empty(), "it left one: {finding:?}");
}

/// A text that is almost as long as the server takes is taken over all the same.
#[tokio::test]
async fn to_leave_what_is_almost_too_long() {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("admin").await;
    let limit: usize = value(&mut ana, "SELECT @@max_allowed_packet").await.parse().unwrap();
    let long = "x".repeat(limit - 4096);
    run(&mut ana, &format!("CREATE PROCEDURE p() SELECT length('{long}')")).await;
    let finding = shop.revoke(&grant).await;
    assert!(!user_exists(&person.user).await);
    assert!(finding.summary.contains("procedure"), "{}", finding.summary);
}

/// In this character set a backslash is a letter, and a text that is made anew in another one ends
/// earlier: what follows would be statements of the connector.
#[tokio::test]
async fn to_have_the_connector_run_a_text_that_means_something_else_to_it() {
    let shop = Shop::open().await;
    let (grant, _, mut ana) = shop.session("admin").await;
    let mallory = format!("mallory_{}", shop.database);
    for sql in [
        "SET sql_mode = 'ANSI_QUOTES', NAMES swe7".to_owned(),
        format!(
            "CREATE DEFINER = CURRENT_ROLE PROCEDURE p() SELECT 'a\\'; CREATE USER {mallory}; -- '"
        ),
        format!("CREATE PROCEDURE q() SELECT 'a\\'; CREATE USER {mallory}; -- '"),
        format!(
            "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW
                 SET NEW.item = 'a\\'; CREATE USER {mallory}; -- '"
        ),
    ] {
        run(&mut ana, &sql).await;
    }
    let before = [routine(&shop.database, "p").await, routine(&shop.database, "q").await];
    shop.revoke(&grant).await;
    assert!(!user_exists(&mallory).await, "the connector made her");
    let after = [routine(&shop.database, "p").await, routine(&shop.database, "q").await];
    for (before, after) in before.iter().zip(&after) {
        let same = |text: &str| text.rsplit_once(' ').map(|(rest, _)| rest.to_owned());
        assert_eq!(same(before), same(after));
        assert!(after.ends_with(" ebbgate_graveyard@localhost"), "{after}");
    }
}

/// A character of this set may end in the byte of a backslash.
#[tokio::test]
async fn a_text_in_another_character_set_stays_what_it_is() {
    let shop = Shop::open().await;
    let (grant, _, mut ana) = shop.session("admin").await;
    let create = "CREATE PROCEDURE g() SELECT '".bytes().chain([0xd5, 0x5c]).chain(*b"' AS x");
    let hex = hex::encode(create.collect::<Vec<u8>>());
    run(&mut ana, &format!("SET NAMES gbk; SET @t = X'{hex}'; PREPARE s FROM @t; EXECUTE s")).await;
    let before = routine(&shop.database, "g").await;
    assert!(before.contains("D55C"), "{before}");
    shop.revoke(&grant).await;
    let after = routine(&shop.database, "g").await;
    assert_eq!(before.rsplit_once(' ').unwrap().0, after.rsplit_once(' ').unwrap().0);
}

/// The end of a grant must not wait for what can't be made anew.
#[tokio::test]
async fn to_leave_what_cannot_be_taken_over() {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("admin").await;
    for sql in [
        "CREATE TRIGGER IF NOT EXISTS kept BEFORE INSERT ON orders FOR EACH ROW SET @a = 1",
        "ALTER TABLE orders ADD COLUMN note text",
        "CREATE TRIGGER broken BEFORE UPDATE ON orders FOR EACH ROW SET NEW.note = 'x'",
        "ALTER TABLE orders DROP COLUMN note",
    ] {
        run(&mut ana, sql).await;
    }
    let finding = shop.revoke(&grant).await;
    assert!(!user_exists(&person.user).await);
    let look = format!(
        "SELECT CONCAT(TRIGGER_NAME, ' ', DEFINER) FROM information_schema.TRIGGERS
         WHERE TRIGGER_SCHEMA = '{}'",
        shop.database
    );
    let left = column(&mut root().await, &look).await;
    assert_eq!(left, ["kept ebbgate_graveyard@localhost"]);
    assert!(finding.summary.contains("dropped, being broken: trigger"), "{}", finding.summary);
}

/// Many servers have a database `test` in which everybody may do anything.
#[tokio::test]
async fn to_leave_a_view_where_everybody_may_make_one() {
    // A server of its own: who is everybody is asked by all who look.
    let private =
        tokio::task::spawn_blocking(|| ebbgate_testkit_mariadb::PrivateServer::start().unwrap())
            .await
            .unwrap();
    let mut admin = connect(&private.url()).await.unwrap();
    run(
        &mut admin,
        "CREATE DATABASE lobby; GRANT SELECT, CREATE VIEW ON lobby.* TO PUBLIC;
         CREATE DATABASE shop; CREATE TABLE shop.orders (item text);
         INSERT INTO shop.orders VALUES ('tea');
         CREATE USER anybody IDENTIFIED BY 'x';
         CREATE USER agent IDENTIFIED BY 'x';
         GRANT CREATE USER, PROCESS, CONNECTION ADMIN, SET USER ON *.* TO agent;
         GRANT SELECT, UPDATE ON mysql.* TO agent;
         GRANT ALL PRIVILEGES ON shop.* TO agent WITH GRANT OPTION",
    )
    .await;
    let url = format!("mysql://agent@127.0.0.1:{}/", private.port());
    let password = Some("x".to_owned().into());
    let settings = MysqlSettings::new("orders".parse().unwrap(), url, password);
    let connector = MysqlConnector::new(settings).unwrap();
    let lacks = connector.check().await.unwrap();
    assert_eq!(lacks.len(), 1, "{lacks:?}");
    assert_eq!(lacks[0].cure, "GRANT ALL PRIVILEGES ON `lobby`.* TO 'agent'@'%'");
    run(&mut admin, &lacks[0].cure).await;
    assert_eq!(connector.check().await.unwrap(), []);

    let grant = grant_on("shop", "select");
    connector.provision(&grant, now()).await.unwrap();
    let credential = connector.credential(&grant, wish(PASSWORD), now()).await.unwrap();
    let Credential::Login { user } = credential else { panic!("{credential:?}") };
    let mut ana = connect(&private.user_url("lobby", &user, PASSWORD)).await.unwrap();
    let leak = "CREATE DEFINER = CURRENT_ROLE VIEW leak AS SELECT * FROM shop.orders";
    run(&mut ana, leak).await;
    let mut anybody = connect(&private.user_url("lobby", "anybody", "x")).await.unwrap();
    assert_eq!(value(&mut anybody, "SELECT item FROM leak").await, "tea", "this is the way");
    let finding = connector.revoke(&grant, &WallClock).await.unwrap();
    assert!(attempt(&mut anybody, "SELECT item FROM leak").await.is_err(), "{finding:?}");
    assert!(finding.summary.contains("view lobby.leak"), "{}", finding.summary);
}
