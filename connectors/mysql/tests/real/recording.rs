//! Whether an emergency's statements are logged: that is told, and is never a reason to refuse.

use std::path::Path;

use ebbgate_connector_api::{Connector as _, Credential};
use ebbgate_connector_mysql::MysqlConnector;
use ebbgate_domain::order::GrantSpec;
use ebbgate_testkit_mariadb::PrivateServer;

use crate::support::*;

/// A server that logs nobody's statements, and has the audit plugin where one is to be had.
async fn quiet_server() -> &'static PrivateServer {
    let start = || &*Box::leak(Box::new(PrivateServer::start().unwrap()));
    tokio::task::spawn_blocking(start).await.unwrap()
}

struct Place {
    server: &'static PrivateServer,
    admin: sqlx::MySqlConnection,
    connector: MysqlConnector,
}

impl Place {
    async fn open() -> Self {
        let server = quiet_server().await;
        let mut admin = connect(&server.url()).await.unwrap();
        run(&mut admin, "CREATE DATABASE shop; CREATE TABLE shop.orders (item text)").await;
        let connector = MysqlConnector::new(settings_of(server)).unwrap();
        Self { server, admin, connector }
    }

    /// What is said of a new emergency; access is given whatever that is.
    async fn said(&self) -> String {
        let grant = GrantSpec { recorded: true, ..grant_on("shop", "select") };
        let recording = self.connector.provision(&grant, now()).await.unwrap().recording.unwrap();
        let wish = wish(PASSWORD);
        let Credential::Login { user } =
            self.connector.credential(&grant, wish, now()).await.unwrap()
        else {
            panic!("not a log-in");
        };
        let mut ana = connect(&self.server.user_url("shop", &user, PASSWORD)).await.unwrap();
        run(&mut ana, "SELECT 'in an emergency'").await;
        self.connector.revoke(&grant, &WallClock).await.unwrap();
        recording.replace(&user, "USER")
    }

    /// The lines of the audit plugin's log with her statements.
    async fn audited(&mut self) -> usize {
        let directory = value(&mut self.admin, "SELECT @@datadir").await;
        let log = Path::new(&directory).join("server_audit.log");
        let log = std::fs::read_to_string(log).unwrap_or_default();
        log.lines().filter(|line| line.contains("SELECT \\'in an emergency\\'")).count()
    }
}

/// The SQL that is told with a gap.
fn cure(said: &str) -> &str {
    said.split_once("as an administrator: ").unwrap().1
}

#[tokio::test]
async fn nothing_is_said_of_other_grants() {
    let shop = Shop::open().await;
    let told = shop.connector.provision(&shop.grant("select"), now()).await.unwrap();
    assert_eq!(told.recording, None);
}

#[tokio::test]
async fn the_general_log_has_everybodys() {
    let mut place = Place::open().await;
    let said = place.said().await;
    assert!(said.starts_with("statements are not logged: neither an audit plugin"), "{said}");
    assert!(cure(&said).starts_with("INSTALL SONAME"), "{said}");
    assert!(
        place.connector.check().await.unwrap().is_empty(),
        "no right of the connector is missing"
    );
    run(&mut place.admin, "SET GLOBAL general_log = ON").await;
    assert_eq!(place.said().await, "the general log has everybody's statements");
    run(&mut place.admin, "SET GLOBAL log_output = 'NONE'").await;
    assert!(place.said().await.starts_with("statements are not logged"));
}

/// Each cure that is told leads to the next gap, and in the end there is none.
#[tokio::test]
async fn the_audit_plugin_and_what_it_leaves_out() {
    let mut place = Place::open().await;
    let gaps = [
        ("neither an audit plugin", "SET GLOBAL server_audit_events = 'CONNECT,QUERY_DDL'"),
        ("server_audit_events leaves", "SET GLOBAL server_audit_incl_users = 'app'"),
        ("server_audit_incl_users names others", "SET GLOBAL server_audit_logging = OFF"),
        ("server_audit_logging is OFF", "DO 1"),
    ];
    for (why, next) in gaps {
        let before = place.audited().await;
        let said = place.said().await;
        assert!(said.starts_with("statements are not logged") && said.contains(why), "{said}");
        assert_eq!(place.audited().await, before);
        for statement in cure(&said).split("; ") {
            run(&mut place.admin, statement).await;
        }
        assert_eq!(place.said().await, "server_audit logs each statement of USER");
        assert_eq!(place.audited().await, before + 1);
        run(&mut place.admin, next).await;
    }
}
