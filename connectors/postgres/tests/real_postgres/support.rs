//! A server with a database for each test, and people who log in to it.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ebbgate_connector_api::{Clock, Connector as _, Credential, CredentialWish, ErrorKind};
use ebbgate_connector_postgres::{PostgresConnector, PostgresSettings};
use ebbgate_domain::{
    Timestamp,
    ids::{GrantId, RequestId},
    inventory::ResourceKind,
    order::{Finding, GrantSpec},
    right::{Level, Right},
    verifier::Verifier,
};
use ebbgate_testkit_postgres::PrivateServer;
use jiff::SignedDuration;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions,
};

/// The server that most tests share.
pub(crate) fn server() -> &'static PrivateServer {
    static SERVER: OnceLock<PrivateServer> = OnceLock::new();
    SERVER.get_or_init(start_server)
}

pub(crate) fn start_server() -> PrivateServer {
    PrivateServer::start_with(&[
        "max_prepared_transactions = 10",
        "max_connections = 300",
        "log_statement = all",
    ])
    .unwrap()
}

/// A server for one test, which ends with the process.
pub(crate) async fn server_of_ones_own() -> &'static PrivateServer {
    tokio::task::spawn_blocking(|| &*Box::leak(Box::new(start_server()))).await.unwrap()
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

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The verifier of [`PASSWORD`]; computing one takes long in an unoptimised build.
pub(crate) fn verifier() -> &'static str {
    static VERIFIER: OnceLock<String> = OnceLock::new();
    VERIFIER.get_or_init(|| postgres_protocol::password::scram_sha_256(PASSWORD.as_bytes()))
}

/// A number that no other test has.
fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A database with an owner and a table `orders` that holds one row.
pub(crate) struct Shop {
    pub(crate) database: String,
    pub(crate) owner: String,
    pub(crate) connector: PostgresConnector,
    server: &'static PrivateServer,
}

impl Shop {
    /// A shop whose connector is the superuser.
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    pub(crate) async fn open_with(adjust: impl FnOnce(&mut PostgresSettings)) -> Self {
        Self::open_on(server(), adjust).await
    }

    pub(crate) async fn open_on(
        server: &'static PrivateServer,
        adjust: impl FnOnce(&mut PostgresSettings),
    ) -> Self {
        let number = unique();
        let (database, owner) = (format!("shop_{number}"), format!("app_{number}"));
        let mut admin = superuser_on(server, "postgres").await;
        run(&mut admin, &format!("CREATE ROLE {owner} LOGIN PASSWORD 'app'")).await;
        run(&mut admin, &format!("CREATE DATABASE {database} OWNER {owner}")).await;
        let mut settings = settings_for(server);
        adjust(&mut settings);
        let connector = PostgresConnector::new(settings).unwrap();
        let shop = Self { database, owner, connector, server };
        let mut app = shop.as_owner().await;
        run(&mut app, "CREATE TABLE orders (id serial PRIMARY KEY, item text)").await;
        run(&mut app, "INSERT INTO orders (item) VALUES ('tea')").await;
        shop
    }

    /// Gives everything to a role that may not log in, whose member the application is from now on:
    /// as docs/postgresql.md has it for `ddl`. Answers with its name.
    pub(crate) async fn give_to_plain_owner(&self) -> String {
        let plain = format!("own_{}", self.owner);
        let mut admin = self.as_superuser().await;
        let app = &self.owner;
        run(
            &mut admin,
            &format!(
                "CREATE ROLE {plain} NOLOGIN; GRANT {plain} TO {app}; REASSIGN OWNED BY {app} TO {plain};
                 ALTER ROLE {app} IN DATABASE {} SET role = '{plain}'",
                self.database
            ),
        )
        .await;
        plain
    }

    pub(crate) async fn as_superuser(&self) -> PgConnection {
        superuser_on(self.server, &self.database).await
    }

    pub(crate) async fn as_owner(&self) -> PgConnection {
        connect(&self.server.psql_url(&self.database, &self.owner, "app")).await.unwrap()
    }

    /// A grant of an hour.
    pub(crate) fn grant(&self, permission: &str) -> GrantSpec {
        grant_on(&self.database, permission)
    }

    pub(crate) async fn provision(&self, grant: &GrantSpec) {
        self.connector.provision(grant, now()).await.unwrap();
    }

    /// A grant of a permission that an operator has put together.
    pub(crate) fn custom(&self, rights: Vec<Right>) -> GrantSpec {
        GrantSpec { rights, ..self.grant("custom") }
    }

    /// Why such a grant is refused.
    pub(crate) async fn refusal(&self, grant: &GrantSpec) -> String {
        let error = self.connector.provision(grant, now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{}", error.chain());
        error.chain()
    }

    /// A grant that is provisioned, and its person's session.
    pub(crate) async fn session(&self, permission: &str) -> (GrantSpec, Person, PgConnection) {
        self.session_of(self.grant(permission)).await
    }

    pub(crate) async fn session_of(&self, grant: GrantSpec) -> (GrantSpec, Person, PgConnection) {
        self.provision(&grant).await;
        let person = self.register(&grant).await;
        let session = person.log_in().await.unwrap();
        (grant, person, session)
    }

    /// Registers the verifier of a password.
    pub(crate) async fn register(&self, grant: &GrantSpec) -> Person {
        self.register_with(grant, PASSWORD, verifier()).await
    }

    pub(crate) async fn register_with(
        &self,
        grant: &GrantSpec,
        password: &str,
        verifier: &str,
    ) -> Person {
        let wish = CredentialWish::Verifier(Verifier::Scram(verifier.parse().unwrap()));
        let credential = self.connector.credential(grant, wish, now()).await.unwrap();
        let Credential::Login { user } = credential else {
            panic!("not a log-in: {credential:?}");
        };
        let (database, password) = (self.database.clone(), password.to_owned());
        Person { database, user, password, server: self.server }
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
    pub(crate) server: &'static PrivateServer,
}

impl Person {
    pub(crate) async fn log_in(&self) -> Result<PgConnection, sqlx::Error> {
        connect(&self.server.psql_url(&self.database, &self.user, &self.password)).await
    }

    pub(crate) async fn log_in_with(
        &self,
        options: &[(&str, &str)],
    ) -> Result<PgConnection, sqlx::Error> {
        let url = self.server.psql_url(&self.database, &self.user, &self.password);
        let connect: PgConnectOptions = url.parse()?;
        connect.options(options.iter().copied()).connect().await
    }
}

pub(crate) fn settings() -> PostgresSettings {
    settings_for(server())
}

/// As the server's superuser.
pub(crate) fn settings_for(server: &PrivateServer) -> PostgresSettings {
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", server.port());
    let password = Some(server.password().to_owned().into());
    PostgresSettings::new("orders".parse().unwrap(), url, password)
}

pub(crate) fn grant_on(database: &str, permission: &str) -> GrantSpec {
    let mut entropy = [0; 10];
    entropy[..4].copy_from_slice(&unique().to_be_bytes());
    GrantSpec {
        grant: GrantId::new(now(), entropy),
        request: RequestId::new(now(), entropy),
        principal: "ana@example.com".parse().unwrap(),
        integration: "orders".parse().unwrap(),
        resource: "orders/postgres/shop".parse().unwrap(),
        kind: ResourceKind::Postgres,
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

/// A level of access, in another database or in one schema where they are named.
pub(crate) fn level(level: Level, database: Option<&str>, schema: Option<&str>) -> Right {
    let name = |text: &str| text.parse().unwrap();
    Right::Level { database: database.map(name), schema: schema.map(name), level }
}

pub(crate) async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect(url).await
}

pub(crate) async fn superuser(database: &str) -> PgConnection {
    superuser_on(server(), database).await
}

pub(crate) async fn superuser_on(server: &PrivateServer, database: &str) -> PgConnection {
    connect(&server.psql_url(database, "postgres", server.password())).await.unwrap()
}

pub(crate) async fn run(session: &mut PgConnection, sql: &str) {
    attempt(session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

pub(crate) async fn attempt(session: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(session).await.map(drop)
}

/// The only value of a query's only row.
pub(crate) async fn value<T>(session: &mut PgConnection, sql: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(session)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The server's code of an error that it must have sent.
pub(crate) fn code<T>(answer: Result<T, sqlx::Error>) -> String {
    match answer {
        Err(sqlx::Error::Database(error)) => error.code().unwrap_or_default().into_owned(),
        Err(other) => panic!("not an error of the server: {other}"),
        Ok(_) => panic!("it worked"),
    }
}

pub(crate) async fn is_at_least(major: i32) -> bool {
    let mut admin = superuser("postgres").await;
    let version = "SELECT current_setting('server_version_num')::int";
    value::<i32>(&mut admin, version).await >= major * 10_000
}

/// Takes a privilege role's identity. From 16 on the server lets nobody, and this says false.
pub(crate) async fn set_role(session: &mut PgConnection, role: &str) -> bool {
    let answer = attempt(session, &format!("SET ROLE {role}")).await;
    if is_at_least(16).await {
        assert_eq!(code(answer), "42501");
        return false;
    }
    answer.unwrap();
    true
}

pub(crate) async fn role_exists(role: &str) -> bool {
    role_exists_in(&mut superuser("postgres").await, role).await
}

pub(crate) async fn role_exists_in(admin: &mut PgConnection, role: &str) -> bool {
    let look = format!("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')");
    value(admin, &look).await
}

/// Waits until `sql`, asked as superuser, is true.
pub(crate) async fn until(sql: &str) {
    let mut admin = superuser("postgres").await;
    for _ in 0..2_000 {
        if value(&mut admin, sql).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came true: {sql}");
}
