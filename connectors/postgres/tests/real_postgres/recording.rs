//! Statements of an emergency's role are logged, where the connector may see to that; nobody else's
//! are because of it.

use ebbgate_connector_api::Connector as _;
use ebbgate_domain::order::GrantSpec;
use ebbgate_testkit_postgres::PrivateServer;

use crate::{less_rights::modest_shop, support::*};

/// A server that logs nobody's statements by itself.
async fn quiet_server() -> &'static PrivateServer {
    let start = || &*Box::leak(Box::new(PrivateServer::start().unwrap()));
    tokio::task::spawn_blocking(start).await.unwrap()
}

fn emergency(shop: &Shop) -> GrantSpec {
    GrantSpec { recorded: true, ..shop.grant("full") }
}

async fn recording(shop: &Shop, grant: &GrantSpec) -> Option<String> {
    shop.connector.provision(grant, now()).await.unwrap().recording
}

async fn log_in(shop: &Shop, grant: &GrantSpec) -> sqlx::PgConnection {
    shop.register(grant).await.log_in().await.unwrap()
}

/// The lines of the server's log with that text.
fn logged(server: &PrivateServer, text: &str) -> Vec<String> {
    let log = std::fs::read_to_string(server.log_path()).unwrap();
    log.lines().filter(|line| line.contains(text)).map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn statements_of_an_emergency_are_logged_and_of_nobody_else() {
    let server = quiet_server().await;
    let shop = Shop::open_on(server, |_| {}).await;
    let (grant, plain) = (emergency(&shop), shop.grant("full"));
    let user = format!("ebb_{}", grant.grant);
    let said = format!("PostgreSQL logs each statement of {user} (log_statement = all)");
    assert_eq!(recording(&shop, &grant).await, Some(said.clone()));
    assert_eq!(recording(&shop, &plain).await, None);
    let (mut ana, mut ben) = (log_in(&shop, &grant).await, log_in(&shop, &plain).await);
    run(&mut ana, "SELECT 'by ana'").await;
    run(&mut ben, "SELECT 'by ben'").await;
    let lines = logged(server, "SELECT 'by ana'");
    assert!(lines.len() == 1 && lines[0].contains(&user), "{lines:?}");
    assert_eq!(logged(server, "by ben"), [""; 0]);

    // Told again, it is so still; and it is gone with the grant.
    assert_eq!(recording(&shop, &grant).await, Some(said));
    for grant in [&grant, &plain] {
        assert!(shop.revoke(grant).await.summary.contains("is gone"));
    }
    assert!(!role_exists_in(&mut shop.as_superuser().await, &user).await);
}

#[tokio::test]
async fn nobody_switches_it_off_for_themselves() {
    let server = quiet_server().await;
    let shop = Shop::open_on(server, |_| {}).await;
    let grant = emergency(&shop);
    recording(&shop, &grant).await;
    let person = shop.register(&grant).await;
    let mut ana = person.log_in().await.unwrap();
    for attempted in [
        "SET log_statement = 'none'",
        "SELECT set_config('log_statement', 'none', false)",
        "ALTER ROLE CURRENT_USER SET log_statement = 'none'",
        "ALTER ROLE CURRENT_USER RESET log_statement",
        "SET log_min_messages = 'panic'",
    ] {
        assert_eq!(code(attempt(&mut ana, attempted).await), "42501", "{attempted}");
    }
    for reset in ["ALTER ROLE CURRENT_USER RESET ALL", "RESET ALL", "DISCARD ALL"] {
        run(&mut ana, reset).await;
    }
    person.log_in_with(&[("log_statement", "none")]).await.unwrap_err();
    let mut again = person.log_in().await.unwrap();
    run(&mut again, "SELECT 'all the same'").await;
    assert_eq!(logged(server, "SELECT 'all the same'").len(), 1);
}

#[tokio::test]
async fn where_it_may_not_be_set_that_is_told_and_access_is_given() {
    let server = quiet_server().await;
    let shop = modest_shop(server, "modest").await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("GRANT pg_signal_backend, {} TO modest", shop.owner)).await;
    let cure = if is_at_least(15).await {
        "GRANT SET ON PARAMETER log_statement TO \"modest\""
    } else {
        "ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf()"
    };
    let grant = emergency(&shop);
    let said = recording(&shop, &grant).await.unwrap();
    assert!(said.starts_with("statements are not logged: "), "{said}");
    assert!(said.ends_with(&format!("as a superuser: {cure}")), "{said}");
    run(&mut log_in(&shop, &grant).await, "SELECT 'unseen'").await;
    assert_eq!(logged(server, "unseen"), [""; 0]);

    let lacks = shop.connector.check().await.unwrap();
    let lack = lacks.iter().find(|lack| lack.what.contains("break-glass")).unwrap();
    assert_eq!(lack.cure, cure);
    for statement in cure.split("; ") {
        run(&mut admin, statement).await;
    }
    let lacks = async || shop.connector.check().await.unwrap();
    eventually(async || lacks().await.iter().all(|lack| !lack.what.contains("break-glass"))).await;
    let later = emergency(&shop);
    let said = recording(&shop, &later).await.unwrap();
    assert!(said.starts_with("PostgreSQL logs "), "{said}");
    run(&mut log_in(&shop, &later).await, "SELECT 'seen'").await;
    assert_eq!(logged(server, "SELECT 'seen'").len(), 1);
    for grant in [&grant, &later] {
        shop.revoke(grant).await;
    }
}

/// A configuration that was changed is read a moment later.
async fn eventually(mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..2_000 {
        if so().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("never came true");
}
