//! Names that end quotes, comments and statements, through the whole of a grant's life.

use ebbgate_connector_api::Connector as _;
use proptest::{prelude::*, test_runner::TestRunner};

use crate::support::*;

/// A name as MariaDB takes one for a database: of the Basic Multilingual Plane, without a space at
/// its end, and without what is a folder on the disk.
fn hostile_name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec![
            "'", "\"", "`", "``", "\\", "\\'", ";", "--", "/*", "*/", "#", "_", "%", "\\_", "\\%", "é",
            " ", "{}", "@", "` TO ", " ON ",
        ])
        .prop_map(str::to_owned),
        1 => "[a-zA-Z0-9ü-ž]{1,4}",
    ];
    prop::collection::vec(piece, 1..10)
        .prop_map(|pieces| format!("q{}q", pieces.concat()))
        .prop_filter("64 characters", |name| name.chars().count() <= 50)
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A grant on a database of that name gives what it should there, takes nothing elsewhere, and goes.
async fn lives_and_ends(name: &str) {
    let mut admin = root().await;
    // Serially numbered, since what differs in case only is one name on some file systems.
    let name = format!("{name}{}", unique());
    let (this, twin) = (quoted(&name), quoted(&name.replace('_', "x").replace('%', "yy")));
    run(&mut admin, &format!("CREATE DATABASE {this}; CREATE TABLE {this}.t (n int)")).await;
    run(&mut admin, &format!("CREATE DATABASE IF NOT EXISTS {twin}")).await;
    run(&mut admin, &format!("CREATE TABLE IF NOT EXISTS {twin}.t (n int)")).await;
    let connector = ebbgate_connector_mysql::MysqlConnector::new(settings()).unwrap();
    let shop = Shop { database: name.clone(), connector };
    let (grant, person, mut ana) = shop.session("ddl").await;
    run(&mut ana, &format!("INSERT INTO {this}.t VALUES (1)")).await;
    run(&mut ana, &format!("CREATE VIEW {this}.{this} AS SELECT n FROM {this}.t")).await;
    if this != twin {
        assert_eq!(code(attempt(&mut ana, &format!("SELECT n FROM {twin}.t")).await), 1142);
    }
    // A look into the catalog finds the role as it was left.
    let again = ebbgate_connector_mysql::MysqlConnector::new(settings()).unwrap();
    again.provision(&grant, now()).await.unwrap();
    let finding = shop.revoke(&grant).await;
    assert!(finding.summary.contains("ebbgate_graveyard"), "{}", finding.summary);
    assert!(!user_exists(&person.user).await);
    run(&mut admin, &format!("DROP DATABASE {this}; DROP DATABASE IF EXISTS {twin}")).await;
}

#[test]
fn a_grant_on_a_database_of_any_name() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner = TestRunner::new(ProptestConfig { cases: 48, ..ProptestConfig::default() });
    runner
        .run(&hostile_name(), |name| {
            runtime.block_on(lives_and_ends(&name));
            Ok(())
        })
        .unwrap();
}
