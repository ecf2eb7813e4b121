//! The end of a grant.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use ebbgate_connector_api::Connector as _;
use ebbgate_connector_mysql::MysqlConnector;
use futures_util::future::join_all;

use crate::support::*;

#[tokio::test]
async fn a_live_session_is_cut_and_the_user_is_gone() {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("select").await;
    let before = now();
    let finding = shop.revoke(&grant).await;
    assert!(attempt(&mut ana, "SELECT item FROM orders").await.is_err());
    assert_eq!(code(person.log_in().await), 1045);
    assert!(!user_exists(&person.user).await);
    assert_eq!(finding.sessions_ended, 1);
    assert!(before <= finding.closed_at && finding.closed_at <= finding.checked_at);
    assert_eq!(finding.summary, format!("user {} is gone, no session, no right", person.user));
}

#[tokio::test]
async fn others_are_not_touched() {
    let shop = Shop::open().await;
    let (grant, _, _ana) = shop.session("select").await;
    let (_, _, mut ben) = shop.session("select").await;
    shop.revoke(&grant).await;
    assert_eq!(value(&mut ben, "SELECT item FROM orders").await, "tea");
}

#[tokio::test]
async fn a_second_revoke_finds_nothing_left_and_is_content() {
    let shop = Shop::open().await;
    let (grant, person, _ana) = shop.session("full").await;
    shop.revoke(&grant).await;
    let finding = shop.revoke(&grant).await;
    assert_eq!(finding.sessions_ended, 0);
    assert_eq!(finding.summary, format!("user {} was gone already, no session", person.user));
    // A grant that never was is no different.
    shop.revoke(&shop.grant("admin")).await;
}

/// Dying between any two steps leaves what a later attempt finds and finishes.
#[tokio::test]
async fn a_teardown_that_broke_off_is_begun_anew() {
    let shop = Shop::open().await;
    let mut admin = root().await;
    for broke_off in [
        "ALTER USER {}@'%' ACCOUNT LOCK",
        "ALTER USER {}@'%' ACCOUNT LOCK; KILL HARD USER {}",
        "DROP USER {}@'%'",
        "REVOKE ebbgate_full_{db} FROM {}@'%'",
    ] {
        let (grant, person, mut ana) = shop.session("full").await;
        let sql = broke_off.replace("{}", &person.user).replace("{db}", &shop.database);
        run(&mut admin, &sql).await;
        let finding = shop.revoke(&grant).await;
        assert!(attempt(&mut ana, "SELECT 1").await.is_err(), "{broke_off}");
        assert!(!user_exists(&person.user).await);
        let expected = u32::from(!broke_off.contains("KILL"));
        assert!(finding.sessions_ended >= expected, "{broke_off}: {finding:?}");
    }
    // And a provision that broke off after its first statement.
    let grant = shop.grant("select");
    shop.provision(&grant).await;
    shop.provision(&grant).await;
    shop.revoke(&grant).await;
}

#[tokio::test]
async fn two_at_once_do_not_get_in_each_others_way() {
    let shop = Shop::open().await;
    let (grant, person, _ana) = shop.session("admin").await;
    let both = join_all([shop.revoke(&grant), shop.revoke(&grant)]).await;
    assert_eq!(both.len(), 2);
    assert!(!user_exists(&person.user).await);
}

/// A statement that runs outlives DROP USER, REVOKE and LOCK (fault 23).
#[tokio::test]
async fn a_statement_that_runs_is_cut() {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("full").await;
    let running = tokio::spawn(async move { attempt(&mut ana, "SELECT sleep(600)").await });
    until(&format!(
        "SELECT count(*) FROM information_schema.PROCESSLIST
         WHERE USER = '{}' AND INFO = 'SELECT sleep(600)'",
        person.user
    ))
    .await;
    assert_eq!(shop.revoke(&grant).await.sessions_ended, 1);
    assert!(running.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_that_reconnect_are_cut_and_stay_out() {
    let shop = Shop::open_with(|settings| settings.connection_limit = 300).await;
    let grant = shop.grant("select");
    shop.provision(&grant).await;
    let person = shop.register(&grant, PASSWORD).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (inside, refused) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let (person, stop) = (person.clone(), Arc::clone(&stop));
            let (inside, refused) = (Arc::clone(&inside), Arc::clone(&refused));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match person.log_in().await {
                        Ok(mut session) => {
                            inside.fetch_add(1, Ordering::Relaxed);
                            while attempt(&mut session, "SELECT sleep(0.2)").await.is_ok() {}
                        }
                        Err(_) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                        }
                    }
                }
            })
        })
        .collect();
    let waits = || tokio::time::sleep(std::time::Duration::from_millis(5));
    let crowd = async {
        while inside.load(Ordering::Relaxed) < 200 {
            waits().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), crowd).await.expect("all are in");
    let finding = shop.revoke(&grant).await;
    let came_in = inside.load(Ordering::Relaxed);
    assert_eq!(sessions_of(&person.user).await, 0);
    let target = refused.load(Ordering::Relaxed) + 200;
    while refused.load(Ordering::Relaxed) < target {
        waits().await;
    }
    assert_eq!(sessions_of(&person.user).await, 0);
    assert_eq!(inside.load(Ordering::Relaxed), came_in);
    assert!(finding.sessions_ended >= 200, "{finding:?}");
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn what_belongs_to_no_known_grant_is_found_and_removed() {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("admin").await;
    run(&mut ana, "CREATE VIEW v AS SELECT 1").await;
    let mut admin = root().await;
    // Looks like ours but isn't.
    run(&mut admin, "CREATE USER IF NOT EXISTS ebb_of_somebody ACCOUNT LOCK").await;
    // The broker forgot it; another agent, without memory, sweeps.
    let sweeper = MysqlConnector::new(settings()).unwrap();
    assert!(sweeper.marks_every_grant());
    assert!(sweeper.marked().await.unwrap().contains(&grant.grant));
    let finding = sweeper.remove_orphan(grant.grant, &WallClock).await.unwrap();
    assert_eq!(finding.sessions_ended, 1);
    assert!(finding.summary.contains("view"), "{}", finding.summary);
    assert!(!user_exists(&person.user).await);
    assert!(!sweeper.marked().await.unwrap().contains(&grant.grant));
    sweeper.prune(now()).await.unwrap();
    assert!(user_exists("ebb_of_somebody").await);
}

#[tokio::test]
async fn a_teardown_goes_on_when_its_caller_goes_away() {
    let shop = Shop::open().await;
    let (grant, person, _ana) = shop.session("select").await;
    // Polled once and dropped.
    let revoke = shop.connector.revoke(&grant, &WallClock);
    assert!(futures_util::FutureExt::now_or_never(revoke).is_none());
    until(&format!("SELECT count(*) = 0 FROM mysql.user WHERE User = '{}'", person.user)).await;
    // No connection was left in the middle of something.
    join_all((0..8).map(|_| async { shop.connector.marked().await.unwrap() })).await;
}

#[tokio::test]
async fn a_prepared_transaction_is_told_of() {
    let private =
        tokio::task::spawn_blocking(|| ebbgate_testkit_mariadb::PrivateServer::start().unwrap())
            .await
            .unwrap();
    let mut admin = connect(&private.url()).await.unwrap();
    run(&mut admin, "CREATE DATABASE shop; CREATE TABLE shop.t (n int)").await;
    let connector = MysqlConnector::new(settings_of(&private)).unwrap();
    let grant = grant_on("shop", "full");
    connector.provision(&grant, now()).await.unwrap();
    let wished = connector.credential(&grant, wish(PASSWORD), now()).await.unwrap();
    let ebbgate_connector_api::Credential::Login { user } = wished else { panic!("{wished:?}") };
    let mut ana = connect(&private.user_url("shop", &user, PASSWORD)).await.unwrap();
    run(&mut ana, "XA START 'a'; INSERT INTO t VALUES (1); XA END 'a'; XA PREPARE 'a'").await;
    let finding = connector.revoke(&grant, &WallClock).await.unwrap();
    assert!(
        finding
            .summary
            .ends_with("prepared XA transactions on the server, which does not tell whose: 1"),
        "{}",
        finding.summary
    );
}
