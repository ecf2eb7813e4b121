//! A pooler in between: it has let a person in, and keeps connections of theirs.

use ebbgate_testkit_postgres::{PoolMode, Pooler};
use rstest::rstest;

use crate::support::*;

#[rstest]
#[case::for_a_transaction(PoolMode::Transaction)]
#[case::for_a_session(PoolMode::Session)]
#[tokio::test]
async fn nobody_goes_on_through_a_pooler(#[case] mode: PoolMode) {
    let shop = Shop::open().await;
    let (grant, person, _direct) = shop.session("full").await;
    let start = move || Pooler::start(server(), mode).unwrap();
    let pooler = tokio::task::spawn_blocking(start).await.unwrap();
    let url = |user: &str, password: &str| {
        format!(
            "postgres://{user}:{}@127.0.0.1:{}/{}?sslmode=disable",
            password.replace(' ', "%20"),
            pooler.port(),
            shop.database
        )
    };
    let ana = url(&person.user, &person.password);
    let mut idle = connect(&ana).await.unwrap();
    run(&mut idle, "INSERT INTO orders (item) VALUES ('coffee')").await;
    let mut busy = connect(&ana).await.unwrap();
    run(&mut busy, "BEGIN; INSERT INTO orders (item) VALUES ('milk')").await;
    // Somebody else goes through the same pooler.
    let mut app = connect(&url(&shop.owner, "app")).await.unwrap();
    run(&mut app, "INSERT INTO orders (item) VALUES ('sugar')").await;

    let finding = shop.revoke(&grant).await;
    assert!(finding.sessions_ended >= 2, "{finding:?}");
    // The pooler may still hold its clients, and has nothing to give them.
    for client in [&mut idle, &mut busy] {
        for _ in 0..2 {
            assert!(attempt(client, "SELECT 1").await.is_err());
        }
    }
    if let Ok(mut again) = connect(&ana).await {
        assert!(attempt(&mut again, "SELECT 1").await.is_err());
    }
    run(&mut app, "INSERT INTO orders (item) VALUES ('salt')").await;
    let mut admin = shop.as_superuser().await;
    let items = "SELECT string_agg(item, ',' ORDER BY id) FROM orders";
    assert_eq!(value::<String>(&mut admin, items).await, "tea,coffee,sugar,salt");
    let anas = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'", person.user);
    assert_eq!(value::<i64>(&mut admin, &anas).await, 0);
    assert!(!role_exists(&person.user).await);
}
