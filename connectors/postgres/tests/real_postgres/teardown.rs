//! The end of a grant.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use ebbgate_connector_api::Connector as _;
use futures_util::future::join_all;

use crate::support::*;

#[tokio::test]
async fn a_live_session_is_cut_and_the_role_is_gone() {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("select").await;
    let before = now();
    let finding = shop.revoke(&grant).await;
    assert!(attempt(&mut ana, "SELECT item FROM orders").await.is_err());
    assert_eq!(code(person.log_in().await), "28P01");
    assert!(!role_exists(&person.user).await);
    assert_eq!(finding.sessions_ended, 1);
    assert!(before <= finding.closed_at && finding.closed_at <= finding.checked_at);
    assert_eq!(
        finding.summary,
        format!("role {} is gone, no session, no prepared transaction, no object", person.user)
    );
}

#[tokio::test]
async fn others_are_not_touched() {
    let shop = Shop::open().await;
    let (grant, _, _ana) = shop.session("select").await;
    let (_, _, mut ben) = shop.session("select").await;
    let mut app = shop.as_owner().await;
    shop.revoke(&grant).await;
    assert_eq!(value::<String>(&mut ben, "SELECT item FROM orders").await, "tea");
    run(&mut app, "INSERT INTO orders (item) VALUES ('x')").await;
}

#[tokio::test]
async fn a_second_revoke_finds_nothing_left_and_is_content() {
    let shop = Shop::open().await;
    let (grant, person, _ana) = shop.session("select").await;
    shop.revoke(&grant).await;
    let finding = shop.revoke(&grant).await;
    assert_eq!(finding.sessions_ended, 0);
    assert_eq!(finding.summary, format!("role {} was gone already, no session", person.user));
    // A grant that never was is no different.
    shop.revoke(&shop.grant("full")).await;
}

#[tokio::test]
async fn two_at_once_do_not_get_in_each_others_way() {
    let shop = Shop::open().await;
    let (grant, person, _ana) = shop.session("select").await;
    let both = join_all([shop.revoke(&grant), shop.revoke(&grant)]).await;
    assert_eq!(both.len(), 2);
    assert!(!role_exists(&person.user).await);
}

#[tokio::test]
async fn sessions_of_a_role_that_somebody_dropped_are_ended() {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("select").await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("DROP ROLE {}", person.user)).await;
    // Other tests drop roles too, and their teardowns may have been first.
    let finding = shop.revoke(&grant).await;
    assert!(finding.sessions_ended <= 1);
    assert!(attempt(&mut ana, "SELECT 1").await.is_err());
    assert!(finding.summary.contains("was gone already"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_clients_that_reconnect_is_cut_and_stays_out() {
    let shop = Shop::open_with(|settings| settings.connection_limit = 100).await;
    let grant = shop.grant("select");
    shop.provision(&grant).await;
    let person = shop.register(&grant).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (inside, refused) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let (person, stop) = (person.clone(), Arc::clone(&stop));
            let (inside, refused) = (Arc::clone(&inside), Arc::clone(&refused));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match person.log_in().await {
                        Ok(mut session) => {
                            inside.fetch_add(1, Ordering::Relaxed);
                            while attempt(&mut session, "SELECT pg_sleep(0.02)").await.is_ok() {}
                        }
                        Err(_) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            })
        })
        .collect();
    let waits = || tokio::time::sleep(std::time::Duration::from_millis(5));
    let crowd = async {
        while inside.load(Ordering::Relaxed) < 30 {
            waits().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), crowd)
        .await
        .expect("30 clients are in");
    let finding = shop.revoke(&grant).await;
    let left = format!(
        "SELECT count(*) FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
         WHERE a.datname = '{}' AND (r.oid IS NULL OR r.rolname LIKE 'ebb\\_grt%')",
        shop.database
    );
    let mut admin = superuser("postgres").await;
    let came_in = inside.load(Ordering::Relaxed);
    assert_eq!(value::<i64>(&mut admin, &left).await, 0);
    let target = refused.load(Ordering::Relaxed) + 50;
    while refused.load(Ordering::Relaxed) < target {
        waits().await;
    }
    assert_eq!(value::<i64>(&mut admin, &left).await, 0);
    assert_eq!(inside.load(Ordering::Relaxed), came_in);
    assert!(finding.sessions_ended >= 30, "{finding:?}");
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn what_belongs_to_no_known_grant_is_found_and_removed() {
    let shop = Shop::open().await;
    let (grant, person, _ana) = shop.session("full").await;
    let mut admin = shop.as_superuser().await;
    // Looks like ours but isn't.
    run(&mut admin, "CREATE ROLE ebb_grt_of_somebody").await;
    // The broker forgot it; another agent, without memory, sweeps.
    let sweeper = ebbgate_connector_postgres::PostgresConnector::new(settings()).unwrap();
    assert!(sweeper.marked().await.unwrap().contains(&grant.grant));
    let finding = sweeper.remove_orphan(grant.grant, &WallClock).await.unwrap();
    assert_eq!(finding.sessions_ended, 1);
    assert!(!role_exists(&person.user).await);
    assert!(!sweeper.marked().await.unwrap().contains(&grant.grant));
    sweeper.prune(now()).await.unwrap();
    assert!(role_exists("ebb_grt_of_somebody").await);
}

#[tokio::test]
async fn a_teardown_goes_on_when_its_caller_goes_away() {
    let shop = Shop::open().await;
    let (grant, person, _ana) = shop.session("select").await;
    // Polled once and dropped.
    let revoke = shop.connector.revoke(&grant, &WallClock);
    assert!(futures_util::FutureExt::now_or_never(revoke).is_none());
    until(&format!("SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{}')", person.user))
        .await;
    // No connection was left in the middle of something.
    join_all((0..8).map(|_| async { shop.connector.marked().await.unwrap() })).await;
}
