//! The agent dies in the middle of a teardown. What it did stands on the server, and the next life does
//! the rest.

use std::{os::unix::process::ExitStatusExt as _, process::Command};

use ebbgate_connector_api::Connector as _;
use ebbgate_connector_mysql::MysqlConnector;
use ebbgate_domain::order::GrantSpec;
use rstest::rstest;

use crate::support::*;

/// What the victim is to tear down: the server's URL, its password, the grant's id, database and
/// permission.
const VICTIM: &str = "EBBGATE_TEST_VICTIM";

/// A process of its own, which is this very test: it begins the teardown of `grant` and dies there.
async fn die_at(point: &'static str, grant: &GrantSpec) {
    let settings = settings();
    let order = [
        settings.url.as_str(),
        server().password(),
        &grant.grant.to_string(),
        &grant.native,
        grant.permission.as_str(),
    ]
    .join(" ");
    let died = tokio::task::spawn_blocking(move || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crashes::victim", "--nocapture"])
            .env(VICTIM, order)
            .env("EBBGATE_CRASH_AT", point)
            .status()
            .unwrap()
    });
    let died = died.await.unwrap();
    assert_eq!(died.signal(), Some(9), "{died}");
}

/// No test by itself: it does something only in the process that [`die_at`] starts.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Ok(order) = std::env::var(VICTIM) else { return };
    let [url, password, id, database, permission] = order.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{order}")
    };
    let settings = settings_at(url, password);
    let grant = GrantSpec { grant: id.parse().unwrap(), ..grant_on(database, permission) };
    let done = MysqlConnector::new(settings).unwrap().revoke(&grant, &WallClock).await;
    panic!("it should have died: {done:?}");
}

/// Routines and triggers with their bodies, but without their definers.
async fn made(database: &str) -> Vec<String> {
    let look = format!(
        "SELECT CONCAT_WS(' ', type, name, HEX(body), sql_mode) FROM mysql.proc WHERE db = '{database}'
         UNION SELECT CONCAT_WS(' ', TRIGGER_NAME, HEX(ACTION_STATEMENT), SQL_MODE)
         FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{database}' ORDER BY 1"
    );
    column(&mut root().await, &look).await
}

/// How many of them run with the rights of somebody else than the graveyard.
async fn orphans(database: &str) -> String {
    let look = format!(
        "SELECT (SELECT count(*) FROM mysql.proc WHERE db = '{database}'
                 AND definer <> 'ebbgate_graveyard@localhost')
              + (SELECT count(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{database}'
                 AND DEFINER <> 'ebbgate_graveyard@localhost')"
    );
    value(&mut root().await, &look).await
}

#[rstest]
#[case::before_the_first_is_made_anew("mysql.definers.shown", "4")]
#[case::when_the_first_is_made_anew("mysql.definers.remade", "3")]
#[tokio::test]
async fn while_it_takes_over_what_was_left(#[case] point: &'static str, #[case] left: &str) {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("admin").await;
    for sql in [
        "CREATE PROCEDURE p() SELECT 'é' AS x",
        "CREATE FUNCTION f(a int) RETURNS int DETERMINISTIC RETURN a + 1",
        "CREATE DEFINER = CURRENT_ROLE PROCEDURE q() SELECT * FROM orders",
        "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.item = UPPER(NEW.item)",
    ] {
        run(&mut ana, sql).await;
    }
    let before = made(&shop.database).await;
    assert_eq!((before.len(), orphans(&shop.database).await.as_str()), (4, "4"));
    die_at(point, &grant).await;

    // Nobody is in any more, and nothing is lost.
    assert!(attempt(&mut ana, "SELECT 1").await.is_err());
    assert_eq!(code(person.log_in().await), 4151, "the account is locked");
    assert_eq!(made(&shop.database).await, before);
    assert_eq!(orphans(&shop.database).await, left);

    let finding = shop.revoke(&grant).await;
    assert!(finding.summary.contains("is gone, no session"), "{}", finding.summary);
    assert!(!user_exists(&person.user).await);
    assert_eq!(made(&shop.database).await, before);
    assert_eq!(orphans(&shop.database).await, "0");
    assert!(!shop.connector.marked().await.unwrap().contains(&grant.grant));
}

/// She waits in somebody else's trigger, under that one's name.
#[tokio::test]
async fn while_it_watches_a_hidden_session() {
    let shop = Shop::open().await;
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
        let late = "SET innodb_lock_wait_timeout = 600; INSERT INTO orders (item) VALUES ('late')";
        let outcome = attempt(&mut ana, late).await;
        (outcome, ana)
    });
    until(&format!(
        "SELECT count(*) FROM information_schema.PROCESSLIST
         WHERE ID = {id} AND INFO LIKE 'UPDATE counts%' AND USER <> '{}'",
        person.user
    ))
    .await;
    die_at("mysql.hidden.watched", &grant).await;

    run(&mut admin, "ROLLBACK").await;
    let (_, mut ana) = waiting.await.unwrap();
    shop.revoke(&grant).await;
    assert!(attempt(&mut ana, "SELECT item FROM orders").await.is_err(), "she is still in");
    assert!(!user_exists(&person.user).await);
    assert_eq!(sessions_of(&person.user).await, 0);
}

/// She waits in a routine that runs as the grant's role, and is told to end.
#[tokio::test]
async fn when_it_has_told_a_hidden_session_to_end() {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("admin").await;
    let id = value(&mut ana, "SELECT connection_id()").await;
    run(&mut ana, "CREATE DEFINER = CURRENT_ROLE PROCEDURE nap() DO sleep(600)").await;
    let napping = tokio::spawn(async move { attempt(&mut ana, "CALL nap()").await });
    until(&format!(
        "SELECT count(*) FROM information_schema.PROCESSLIST
         WHERE ID = {id} AND INFO = 'DO sleep(600)'"
    ))
    .await;
    let before = made(&shop.database).await;
    die_at("mysql.sessions.told", &grant).await;

    napping.await.unwrap().unwrap_err();
    assert!(user_exists(&person.user).await, "the dead one did not do everything");
    shop.revoke(&grant).await;
    assert!(!user_exists(&person.user).await);
    assert_eq!(made(&shop.database).await, before);
    assert_eq!(orphans(&shop.database).await, "0");
}
