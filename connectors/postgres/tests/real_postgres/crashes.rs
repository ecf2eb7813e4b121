//! The agent dies in the middle of a teardown of many. What it did stands on the server, and the
//! next life does the rest.

use std::process::Command;

use ebbgate_connector_api::Connector as _;
use ebbgate_connector_postgres::{PostgresConnector, PostgresSettings};
use ebbgate_domain::order::GrantSpec;
use futures_util::future::join_all;
use rstest::rstest;

use crate::support::*;

/// What the victim is to tear down: the server's URL, its password, and the grants' ids.
const VICTIM: &str = "EBBGATE_TEST_VICTIM";
const MANY: usize = 40;

/// A process of its own, which is this very test: it begins the teardown of `grants` and dies there.
fn die_at(point: &str, grants: &[GrantSpec]) {
    let ids: Vec<_> = grants.iter().map(|grant| grant.grant.to_string()).collect();
    let settings = settings();
    let order = format!("{} {} {}", settings.url, server().password(), ids.join(","));
    let died = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crashes::victim", "--nocapture"])
        .env(VICTIM, order)
        .env("EBBGATE_CRASH_AT", point)
        .status()
        .unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&died), Some(9), "{died}");
}

/// No test by itself: it does something only in the process that [`die_at`] starts.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Ok(order) = std::env::var(VICTIM) else { return };
    let [url, password, ids] = order.split(' ').collect::<Vec<_>>()[..] else { panic!("{order}") };
    let settings =
        PostgresSettings::new("orders".parse().unwrap(), url, Some(password.to_owned().into()));
    let connector = PostgresConnector::new(settings).unwrap();
    let grants: Vec<_> = ids
        .split(',')
        .map(|id| GrantSpec { grant: id.parse().unwrap(), ..grant_on("shop", "select") })
        .collect();
    join_all(grants.iter().map(|grant| connector.revoke(grant, &WallClock))).await;
    panic!("it should have died");
}

#[rstest]
#[case::when_nobody_can_log_in_any_more("postgres.together.closed")]
#[case::when_the_roles_are_gone("postgres.together.dropped")]
#[tokio::test]
async fn the_next_life_finishes_what_was_begun(#[case] point: &'static str) {
    let shop = Shop::open().await;
    let grants: Vec<_> = (0..MANY).map(|_| shop.grant("select")).collect();
    for answer in join_all(grants.iter().map(|grant| shop.connector.provision(grant, now()))).await
    {
        answer.unwrap();
    }
    let person = shop.register(&grants[MANY - 1]).await;
    let mut ana = person.log_in().await.unwrap();
    let doomed = grants.clone();
    tokio::task::spawn_blocking(move || die_at(point, &doomed)).await.unwrap();

    let count = |what: &str| {
        let roles: Vec<_> = grants.iter().map(|grant| format!("'ebb_{}'", grant.grant)).collect();
        format!("SELECT count(*) FROM pg_roles WHERE rolname IN ({}) {what}", roles.join(", "))
    };
    let mut admin = shop.as_superuser().await;
    let left: i64 = value(&mut admin, &count("")).await;
    let open: i64 = value(&mut admin, &count("AND rolcanlogin")).await;
    let all = i64::try_from(MANY).unwrap();
    // The dead one did not do everything, and not nothing.
    assert!(left > 0 || point.ends_with("dropped"), "{left}");
    assert!(open < all, "{open}");
    let answers = join_all(grants.iter().map(|grant| shop.connector.revoke(grant, &WallClock)));
    for answer in answers.await {
        answer.unwrap();
    }
    assert_eq!(value::<i64>(&mut admin, &count("")).await, 0);
    assert!(attempt(&mut ana, "SELECT 1").await.is_err());
}
