//! Who can log in, with what.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use ebbgate_connector_api::{Connector as _, Credential, CredentialWish, ErrorKind};
use ebbgate_connector_mysql::MysqlConnector;
use ebbgate_testkit_mariadb::PrivateServer;

use crate::support::*;

#[tokio::test]
async fn nobody_logs_in_before_a_verifier_is_registered() {
    let shop = Shop::open().await;
    let grant = shop.grant("select");
    shop.provision(&grant).await;
    let person = shop.register(&grant, PASSWORD).await;
    // As it was before.
    let other = shop.grant("select");
    shop.provision(&other).await;
    let look = "SELECT CONCAT_WS(' ', User, JSON_VALUE(priv, '$.account_locked'))
                FROM mysql.global_priv WHERE User LIKE 'ebb\\\\_%' AND User <> '{}'";
    let look = look.replace("{}", &person.user);
    let locked = column(&mut root().await, &look).await;
    assert!(locked.iter().any(|line| line.ends_with(" 1")), "{locked:?}");
    for password in ["", PASSWORD] {
        for user in &locked {
            let Some((user, "1")) = user.split_once(' ') else { continue };
            let url = server().user_url(&shop.database, user, password);
            assert!([1045, 4151].contains(&code(connect(&url).await)));
        }
    }
}

#[tokio::test]
async fn a_second_verifier_replaces_the_first() {
    let shop = Shop::open().await;
    let grant = shop.grant("select");
    shop.provision(&grant).await;
    let first = shop.register(&grant, PASSWORD).await;
    let mut session = first.log_in().await.unwrap();
    let second = shop.register(&grant, "another-password-of-32-character").await;
    assert_eq!(code(first.log_in().await), 1045);
    second.log_in().await.unwrap();
    // Whoever is in stays in.
    assert_eq!(value(&mut session, "SELECT item FROM orders").await, "tea");
    // Provisioning once more takes nothing away.
    shop.provision(&grant).await;
    second.log_in().await.unwrap();
}

#[tokio::test]
async fn a_grant_has_so_many_sessions_and_no_more() {
    let shop = Shop::open_with(|settings| settings.connection_limit = 2).await;
    let (_, person, _first) = shop.session("select").await;
    let _second = person.log_in().await.unwrap();
    assert_eq!(code(person.log_in().await), 1226);
}

#[tokio::test]
async fn only_from_where_people_may_come() {
    let shop = Shop::open_with(|settings| settings.client_host = "192.0.2.%".to_owned()).await;
    let grant = shop.grant("select");
    shop.provision(&grant).await;
    let person = shop.register(&grant, PASSWORD).await;
    assert_eq!(code(person.log_in().await), 1045);
    // A connector that was told another place since finds it all the same.
    let later = MysqlConnector::new(settings()).unwrap();
    later.revoke(&grant, &WallClock).await.unwrap();
    assert!(!user_exists(&person.user).await);
}

#[tokio::test]
async fn a_verifier_for_no_grant_is_refused() {
    let shop = Shop::open().await;
    let grant = shop.grant("select");
    let error = shop.connector.credential(&grant, wish(PASSWORD), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.chain().contains("not provisioned"), "{}", error.chain());
    shop.provision(&grant).await;
    let late = shop.connector.credential(&grant, wish(PASSWORD), grant.deadline).await.unwrap_err();
    assert!(late.chain().contains("deadline has passed"), "{}", late.chain());
    let issue = shop.connector.credential(&grant, CredentialWish::Issue, now()).await.unwrap_err();
    assert_eq!(issue.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn no_password_is_in_the_servers_log() {
    let shop = Shop::open().await;
    let (grant, person, _ana) = shop.session("select").await;
    shop.revoke(&grant).await;
    let log = fs::read(server().directory().join("data/general.log")).unwrap();
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains(&format!("ALTER USER '{}'", person.user)), "the log has our statements");
    assert!(!log.contains(PASSWORD));
}

/// The driver of these tests doesn't know ed25519; MariaDB's own client does.
#[tokio::test]
async fn where_the_server_offers_ed25519_it_is_used() {
    let private = tokio::task::spawn_blocking(|| {
        PrivateServer::start_with(&["plugin-load-add=auth_ed25519"]).unwrap()
    })
    .await
    .unwrap();
    let mut admin = connect(&private.url()).await.unwrap();
    let plugins =
        "SELECT PLUGIN_STATUS FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'ed25519'";
    assert_eq!(
        column(&mut admin, plugins).await,
        ["ACTIVE"],
        "auth_ed25519.so is not among the server's plugins: see EBBGATE_MARIADB_PLUGINS"
    );
    run(
        &mut admin,
        "CREATE DATABASE shop; CREATE TABLE shop.t (n int); INSERT INTO shop.t VALUES (7)",
    )
    .await;
    let connector = MysqlConnector::new(settings_of(&private)).unwrap();
    let grant = grant_on("shop", "select");
    connector.provision(&grant, now()).await.unwrap();
    let credential = connector.credential(&grant, wish(PASSWORD), now()).await.unwrap();
    let Credential::Login { user } = credential else { panic!("{credential:?}") };
    let show = format!("SHOW CREATE USER '{user}'");
    assert!(value(&mut admin, &show).await.contains("VIA ed25519"));
    let output = mariadb(&private, &user, PASSWORD, "SELECT n FROM shop.t");
    assert_eq!(output, Ok("7".to_owned()));
    let output = mariadb(&private, &user, "wrong", "SELECT n FROM shop.t");
    assert!(output.unwrap_err().contains("Access denied"));
    connector.revoke(&grant, &WallClock).await.unwrap();
}

fn mariadb(
    server: &PrivateServer,
    user: &str,
    password: &str,
    sql: &str,
) -> Result<String, String> {
    let mut client = Command::new(server.client())
        .args(["--no-defaults", "--batch", "--skip-column-names", "--host=127.0.0.1"])
        .args([format!("--port={}", server.port()), format!("--user={user}")])
        .env("MYSQL_PWD", password)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    client.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    let output = client.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
