//! A connector whose account may do just what the manual asks.

use ebbgate_connector_api::{Connector as _, ErrorKind};
use ebbgate_connector_mysql::{MysqlConnector, MysqlSettings};
use ebbgate_domain::right::Level;

use crate::support::*;

/// An account of that name, with these rights.
async fn connector(name: &str, rights: &[String]) -> MysqlConnector {
    let mut admin = root().await;
    run(&mut admin, &format!("CREATE USER {name} IDENTIFIED BY 'agent'")).await;
    for right in rights {
        run(&mut admin, &format!("GRANT {right}")).await;
    }
    let url = format!("mysql://{name}@127.0.0.1:{}/", server().port());
    let settings =
        MysqlSettings::new("orders".parse().unwrap(), url, Some("agent".to_owned().into()));
    MysqlConnector::new(settings).unwrap()
}

#[tokio::test]
async fn what_the_manual_asks_is_enough() {
    let database = Shop::open().await.database;
    let name = format!("agent_{}", unique());
    let connector = connector(
        &name,
        &[
            format!("CREATE USER, PROCESS, CONNECTION ADMIN, SET USER ON *.* TO {name}"),
            format!("SELECT, UPDATE ON mysql.* TO {name}"),
            format!(
                "ALL PRIVILEGES ON `{}`.* TO {name} WITH GRANT OPTION",
                database.replace('_', "\\_")
            ),
        ],
    )
    .await;
    assert_eq!(connector.check().await.unwrap(), []);
    let shop = Shop { database, connector };
    for permission in ["select", "full", "ddl", "admin"] {
        let (grant, person, mut ana) = shop.session(permission).await;
        if permission == "admin" {
            run(
                &mut ana,
                "CREATE VIEW v AS SELECT * FROM orders;
                 CREATE PROCEDURE p() SELECT 1;
                 CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.item = 'x';
                 CREATE DEFINER = CURRENT_ROLE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
            )
            .await;
        }
        assert_eq!(shop.connector.sessions().await.unwrap().len(), sessions_of_all().await);
        let finding = shop.revoke(&grant).await;
        assert_eq!(finding.sessions_ended, 1);
        assert_eq!(finding.summary.contains("ebbgate_graveyard"), permission == "admin");
        assert!(!user_exists(&person.user).await);
    }
}

/// At least one: other tests run at the same time, so that only what stays so is compared.
async fn sessions_of_all() -> usize {
    let look = "SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER LIKE 'ebb\\\\_%'";
    value(&mut root().await, look).await.parse().unwrap()
}

#[tokio::test]
async fn what_is_missing_is_told_with_the_sql_that_cures_it() {
    let database = Shop::open().await.database;
    let name = format!("poor_{}", unique());
    let connector = connector(&name, &[format!("SELECT ON mysql.* TO {name}")]).await;
    let mut admin = root().await;
    for _ in 0..10 {
        let Some(lack) = connector.check().await.unwrap().into_iter().next() else {
            break;
        };
        assert!(lack.what.contains(&name), "{lack:?}");
        run(&mut admin, &lack.cure).await;
    }
    assert_eq!(connector.check().await.unwrap(), []);
    // The databases are told when they are asked for.
    let shop = Shop { database, connector };
    let error = shop.connector.provision(&shop.grant("select"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    run(&mut admin, &format!("GRANT ALL PRIVILEGES ON {}.* TO {name}", shop.database)).await;
    let error = shop.connector.provision(&shop.grant("select"), now()).await.unwrap_err();
    assert!(error.chain().contains("WITH GRANT OPTION"), "{}", error.chain());
    run(
        &mut admin,
        &format!("GRANT ALL PRIVILEGES ON {}.* TO {name} WITH GRANT OPTION", shop.database),
    )
    .await;
    shop.provision(&shop.grant("select")).await;

    let operators = format!("operators_{}", unique());
    run(&mut admin, &format!("CREATE ROLE {operators}")).await;
    let custom = shop.custom(&[level(Level::Select, None), role(&operators)]);
    let error = shop.connector.provision(&custom, now()).await.unwrap_err();
    assert!(error.chain().contains("WITH ADMIN OPTION"), "{}", error.chain());
    run(&mut admin, &format!("GRANT {operators} TO {name} WITH ADMIN OPTION")).await;
    shop.provision(&custom).await;
}

/// An account that is in the way of a grant's account would be somebody else.
#[tokio::test]
async fn a_server_that_takes_no_hash_is_told() {
    let private = tokio::task::spawn_blocking(|| {
        ebbgate_testkit_mariadb::PrivateServer::start_with(&[
            "plugin-load-add=simple_password_check",
        ])
        .unwrap()
    })
    .await
    .unwrap();
    let connector = MysqlConnector::new(settings_of(&private)).unwrap();
    let lacks = connector.check().await.unwrap();
    assert_eq!(lacks.len(), 1, "{lacks:?}: is simple_password_check.so among the plugins?");
    let mut admin = connect(&private.url()).await.unwrap();
    run(&mut admin, "CREATE DATABASE shop").await;
    let grant = grant_on("shop", "select");
    connector.provision(&grant, now()).await.unwrap_err();
    run(&mut admin, &lacks[0].cure).await;
    assert_eq!(connector.check().await.unwrap(), []);
    connector.provision(&grant, now()).await.unwrap();
}

/// Whoever comes from such a host is let in under any name, and is taken for nobody.
#[tokio::test]
async fn an_account_without_a_name_is_told() {
    let private =
        tokio::task::spawn_blocking(|| ebbgate_testkit_mariadb::PrivateServer::start().unwrap())
            .await
            .unwrap();
    let mut admin = connect(&private.url()).await.unwrap();
    run(&mut admin, "CREATE USER ''@'localhost'").await;
    let connector = MysqlConnector::new(settings_of(&private)).unwrap();
    let lacks = connector.check().await.unwrap();
    assert_eq!(lacks.len(), 1, "{lacks:?}");
    assert!(lacks[0].what.contains("''@'localhost' lets everybody in"), "{lacks:?}");
    run(&mut admin, &lacks[0].cure).await;
    assert_eq!(connector.check().await.unwrap(), []);
}
