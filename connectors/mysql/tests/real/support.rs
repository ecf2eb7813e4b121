//! A server with a database for each test, and people who log in to it.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, digest},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ebbgate_connector_api::{Clock, Connector as _, Credential, CredentialWish};
use ebbgate_connector_mysql::{MysqlConnector, MysqlSettings};
use ebbgate_domain::{
    Timestamp,
    ids::{GrantId, RequestId},
    inventory::ResourceKind,
    mysql_verifier::MysqlVerifiers,
    order::{Finding, GrantSpec},
    right::{Level, Right},
    verifier::Verifier,
};
use ebbgate_testkit_mariadb::PrivateServer;
use jiff::SignedDuration;
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, Row as _};

pub(crate) fn server() -> &'static PrivateServer {
    static SERVER: OnceLock<PrivateServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        PrivateServer::start_with(&[
            "max-connections=600",
            "event-scheduler=ON",
            "general-log",
            "general-log-file=general.log",
        ])
        .unwrap()
    })
}

pub(crate) struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        now()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the servers that are tested against have no other clock"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// 32 characters, as `ebb` makes them: Ed25519 takes just so many.
pub(crate) const PASSWORD: &str = "correct-horse-battery-staple-pw1";

/// What `ebb` would compute of a password.
pub(crate) fn verifiers(password: &str) -> MysqlVerifiers {
    let sha1 = |data: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, data);
    let native = format!("*{}", hex::encode_upper(sha1(sha1(password.as_bytes()).as_ref())));
    // MariaDB takes no notice of it.
    let sha2 = format!("$A$005${}", "x".repeat(63));
    let key = Ed25519KeyPair::from_seed_unchecked(password.as_bytes()).unwrap();
    let ed25519 = STANDARD_NO_PAD.encode(key.public_key().as_ref());
    MysqlVerifiers::new(&native, &sha2, &ed25519).unwrap()
}

pub(crate) fn wish(password: &str) -> CredentialWish {
    CredentialWish::Verifier(Verifier::Mysql(verifiers(password)))
}

/// A number that no other test has.
pub(crate) fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A database with a table `orders` that holds one row.
pub(crate) struct Shop {
    pub(crate) database: String,
    pub(crate) connector: MysqlConnector,
}

impl Shop {
    /// A shop whose connector is root.
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    pub(crate) async fn open_with(adjust: impl FnOnce(&mut MysqlSettings)) -> Self {
        let database = format!("shop_{}", unique());
        let mut admin = root().await;
        run(&mut admin, &format!("CREATE DATABASE {database}")).await;
        run(
            &mut admin,
            &format!(
                "CREATE TABLE {database}.orders (id int AUTO_INCREMENT PRIMARY KEY, item text)"
            ),
        )
        .await;
        run(&mut admin, &format!("INSERT INTO {database}.orders (item) VALUES ('tea')")).await;
        let mut settings = settings();
        adjust(&mut settings);
        Self { database, connector: MysqlConnector::new(settings).unwrap() }
    }

    /// A grant of an hour.
    pub(crate) fn grant(&self, permission: &str) -> GrantSpec {
        grant_on(&self.database, permission)
    }

    /// A grant of what an operator has defined.
    pub(crate) fn custom(&self, rights: &[Right]) -> GrantSpec {
        GrantSpec { rights: rights.to_vec(), ..self.grant("custom") }
    }

    pub(crate) async fn provision(&self, grant: &GrantSpec) {
        self.connector.provision(grant, now()).await.unwrap();
    }

    /// A grant that is provisioned, and its person's session.
    pub(crate) async fn session(&self, permission: &str) -> (GrantSpec, Person, MySqlConnection) {
        let grant = self.grant(permission);
        let (person, session) = self.session_of(&grant).await;
        (grant, person, session)
    }

    pub(crate) async fn session_of(&self, grant: &GrantSpec) -> (Person, MySqlConnection) {
        self.provision(grant).await;
        let person = self.register(grant, PASSWORD).await;
        let session = person.log_in().await.unwrap();
        (person, session)
    }

    /// Registers the verifier of a password.
    pub(crate) async fn register(&self, grant: &GrantSpec, password: &str) -> Person {
        let credential = self.connector.credential(grant, wish(password), now()).await.unwrap();
        let Credential::Login { user } = credential else {
            panic!("not a log-in: {credential:?}");
        };
        Person { database: self.database.clone(), user, password: password.to_owned() }
    }

    pub(crate) async fn revoke(&self, grant: &GrantSpec) -> Finding {
        self.connector.revoke(grant, &WallClock).await.unwrap()
    }
}

/// Somebody with a password of their own.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Person {
    pub(crate) async fn log_in(&self) -> Result<MySqlConnection, sqlx::Error> {
        connect(&server().user_url(&self.database, &self.user, &self.password)).await
    }
}

pub(crate) fn settings() -> MysqlSettings {
    settings_of(server())
}

pub(crate) fn settings_of(server: &PrivateServer) -> MysqlSettings {
    settings_at(&format!("mysql://root@127.0.0.1:{}/", server.port()), server.password())
}

pub(crate) fn settings_at(url: &str, password: &str) -> MysqlSettings {
    MysqlSettings::new("orders".parse().unwrap(), url, Some(password.to_owned().into()))
}

pub(crate) fn grant_on(database: &str, permission: &str) -> GrantSpec {
    let mut entropy = [0; 10];
    entropy[..4].copy_from_slice(&unique().to_be_bytes());
    GrantSpec {
        grant: GrantId::new(now(), entropy),
        request: RequestId::new(now(), entropy),
        principal: "ana@example.com".parse().unwrap(),
        integration: "orders".parse().unwrap(),
        resource: "orders/mysql/shop".parse().unwrap(),
        kind: ResourceKind::Mysql,
        native: database.to_owned(),
        permission: permission.parse().unwrap(),
        rights: Vec::new(),
        flow: "data".parse().unwrap(),
        ticket: None,
        deadline: now() + SignedDuration::from_hours(1),
        credentials_until: None,
        recorded: false,
    }
}

/// A level of access to a database, the resource's own where none is named.
pub(crate) fn level(level: Level, database: Option<&str>) -> Right {
    Right::Level { database: database.map(|name| name.parse().unwrap()), schema: None, level }
}

pub(crate) fn role(name: &str) -> Right {
    Right::Role { name: name.parse().unwrap() }
}

pub(crate) async fn connect(url: &str) -> Result<MySqlConnection, sqlx::Error> {
    MySqlConnection::connect(url).await
}

pub(crate) async fn root() -> MySqlConnection {
    connect(&server().url()).await.unwrap()
}

pub(crate) async fn run(session: &mut MySqlConnection, sql: &str) {
    attempt(session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

pub(crate) async fn attempt(session: &mut MySqlConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(session).await.map(drop)
}

/// The first column of all rows, as text.
pub(crate) async fn column(session: &mut MySqlConnection, sql: &str) -> Vec<String> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch_all(session)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    rows.iter().map(|row| text(row.try_get_unchecked(0).unwrap())).collect()
}

/// The only value of a query's only row.
pub(crate) async fn value(session: &mut MySqlConnection, sql: &str) -> String {
    let mut all = column(session, sql).await;
    assert_eq!(all.len(), 1, "{sql}: {all:?}");
    all.remove(0)
}

/// The server's code of an error that it must have sent.
pub(crate) fn code<T>(answer: Result<T, sqlx::Error>) -> u16 {
    match answer {
        Err(sqlx::Error::Database(error)) => {
            error.downcast_ref::<sqlx::mysql::MySqlDatabaseError>().number()
        }
        Err(other) => panic!("not an error of the server: {other}"),
        Ok(_) => panic!("it worked"),
    }
}

pub(crate) async fn user_exists(user: &str) -> bool {
    let look = format!("SELECT User FROM mysql.user WHERE User = '{user}'");
    !column(&mut root().await, &look).await.is_empty()
}

/// How many sessions a user has. Who is being refused at this moment is listed, too, in
/// the middle of its log-in.
pub(crate) async fn sessions_of(user: &str) -> usize {
    let look = format!(
        "SELECT ID FROM information_schema.PROCESSLIST
         WHERE USER = '{user}' AND COMMAND <> 'Connect' AND COALESCE(STATE, '') <> 'login'"
    );
    column(&mut root().await, &look).await.len()
}

/// Waits until `sql`, asked as root, is 1.
pub(crate) async fn until(sql: &str) {
    let mut admin = root().await;
    for _ in 0..2_000 {
        if value(&mut admin, sql).await == "1" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came true: {sql}");
}
