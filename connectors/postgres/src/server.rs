//! Connections to one server: a few warm ones to the database from which roles are managed, and one
//! for the moment to any other database.
//!
//! A future of the driver that is dropped midway leaves its connection in an unknown state
//! (sqlx#4385). So a session notes when a statement is under way, and a connection goes back among
//! the warm ones only when none is. Time limits inside a session use the same rule.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use parking_lot::Mutex;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Postgres,
    postgres::{PgArguments, PgConnectOptions, PgRow},
    query::Query,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::{
    failure::{Doing as _, Failure},
    settings::Limits,
};

/// How many sessions work on single roles at a time, as many again on many at once, and as many in
/// other databases.
const SESSIONS: usize = 4;
/// A connection that rested longer is asked whether it still lives.
const FRESH: Duration = Duration::from_secs(1);
/// How much longer than the server itself we wait until we believe that it will not answer.
const GRACE: Duration = Duration::from_secs(1);

/// A query with its parameters.
pub(crate) type BoundQuery<'q> = Query<'q, Postgres, PgArguments>;

/// One PostgreSQL server.
pub(crate) struct Server {
    options: PgConnectOptions,
    limits: Limits,
    /// Its version as it numbers itself; 0 until it was heard.
    version: AtomicU32,
    warm: Mutex<Vec<Warm>>,
    home: Arc<Semaphore>,
    many: Arc<Semaphore>,
    elsewhere: Arc<Semaphore>,
}

struct Warm {
    connection: PgConnection,
    since: Instant,
}

impl Server {
    pub(crate) fn new(options: PgConnectOptions, limits: Limits) -> Self {
        let places = || Arc::new(Semaphore::new(SESSIONS));
        Self {
            options,
            limits,
            version: AtomicU32::new(0),
            warm: Mutex::default(),
            home: places(),
            many: places(),
            elsewhere: places(),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Where it is, for messages.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.options.get_host(), self.options.get_port())
    }

    /// A session in the database from which roles are managed. Never wait for another one while
    /// holding it.
    pub(crate) async fn session(self: &Arc<Self>) -> Result<Session, ConnectorError> {
        self.warm_session(&self.home).await
    }

    /// The same for work on many roles at once, which does not wait for work on single ones.
    pub(crate) async fn session_for_many(self: &Arc<Self>) -> Result<Session, ConnectorError> {
        self.warm_session(&self.many).await
    }

    async fn warm_session(
        self: &Arc<Self>,
        places: &Arc<Semaphore>,
    ) -> Result<Session, ConnectorError> {
        let place = place(places).await?;
        loop {
            // Taken out first, so that the lock is not held while the connection is asked.
            let Some(mut warm) = self.warm.lock().pop() else {
                break;
            };
            let rested = warm.since.elapsed();
            if rested < FRESH || within(GRACE, warm.connection.ping()).await.is_ok() {
                return Ok(self.opened(warm.connection, Some(Arc::clone(self)), place));
            }
        }
        let connection = self.connect(&self.options).await?;
        Ok(self.opened(connection, Some(Arc::clone(self)), place))
    }

    /// A session in `database`, ended when it is dropped.
    pub(crate) async fn session_in(&self, database: &str) -> Result<Session, ConnectorError> {
        let place = place(&self.elsewhere).await?;
        let connection = self.connect(&self.options.clone().database(database)).await?;
        Ok(self.opened(connection, None, place))
    }

    /// A session of its own where roles are managed, with everything as a new log-in finds it.
    pub(crate) async fn new_session(&self) -> Result<Session, ConnectorError> {
        let place = place(&self.elsewhere).await?;
        let connection = self.connect(&self.options).await?;
        Ok(self.opened(connection, None, place))
    }

    /// Connects with the time limits lifted that databases may set for their sessions: later versions
    /// know some that make earlier ones refuse. So the version is asked for first, and once.
    async fn connect(&self, options: &PgConnectOptions) -> Result<PgConnection, ConnectorError> {
        if self.version.load(Ordering::Relaxed) == 0 {
            let connection = self.dial(options).await?;
            let version = connection.server_version_num().unwrap_or_default();
            self.version.store(version, Ordering::Relaxed);
            if limits_since(version).next().is_none() {
                return Ok(connection);
            }
        }
        let limits = limits_since(self.version.load(Ordering::Relaxed));
        self.dial(&options.clone().options(limits.map(|name| (name, "0")))).await
    }

    async fn dial(&self, options: &PgConnectOptions) -> Result<PgConnection, ConnectorError> {
        // Boxed: the driver's future is large and most calls find a warm connection.
        within(self.limits.connect, Box::pin(options.connect())).await.doing(|| {
            format!(
                "connect to {}:{} as {} (database {})",
                options.get_host(),
                options.get_port(),
                options.get_username(),
                options.get_database().unwrap_or_default(),
            )
        })
    }

    fn opened(
        &self,
        connection: PgConnection,
        home: Option<Arc<Self>>,
        place: OwnedSemaphorePermit,
    ) -> Session {
        Session {
            connection: Some(connection),
            settled: true,
            limit: self.limits.statement + GRACE,
            home_database: self.options.get_database().unwrap_or_default().to_owned(),
            home,
            _place: place,
        }
    }
}

/// The limits on how long a session may rest or a transaction may take, of a server of that version,
/// beyond those that every session of ours sets.
fn limits_since(version: u32) -> impl Iterator<Item = &'static str> {
    let all = [(140_000, "idle_session_timeout"), (170_000, "transaction_timeout")];
    all.into_iter().filter(move |(since, _)| version >= *since).map(|(_, name)| name)
}

async fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ConnectorError> {
    Arc::clone(places).acquire_owned().await.map_err(|closed| {
        ConnectorError::new(ErrorKind::Unreachable, "wait for a connection").because(closed)
    })
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failure> {
    match timeout(limit, work).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(_) => Err(Failure::Silent(limit)),
    }
}

/// One connection, for as long as an operation needs it.
pub(crate) struct Session {
    connection: Option<PgConnection>,
    /// False while a statement is under way, and for ever after one that was left midway.
    settled: bool,
    limit: Duration,
    home_database: String,
    home: Option<Arc<Server>>,
    _place: OwnedSemaphorePermit,
}

impl Session {
    /// Runs statements in one round trip; several are one transaction (PostgreSQL manual, "Multiple
    /// Statements in a Simple Query").
    pub(crate) async fn execute(&mut self, sql: String) -> Result<(), Failure> {
        let limit = self.limit;
        let connection = self.begin_statement()?;
        let answer = within(limit, sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection)).await;
        self.end_statement(answer).map(drop)
    }

    /// The same for SQL that holds a verifier: the server may repeat it in its error.
    pub(crate) async fn execute_secret(
        &mut self,
        sql: String,
        secret: &str,
    ) -> Result<(), Failure> {
        self.execute(sql).await.map_err(|failure| failure.without(secret))
    }

    /// The rows of a query.
    pub(crate) async fn rows(&mut self, query: BoundQuery<'_>) -> Result<Vec<PgRow>, Failure> {
        let limit = self.limit;
        let connection = self.begin_statement()?;
        let answer = within(limit, query.fetch_all(connection)).await;
        self.end_statement(answer)
    }

    /// The only row of a query.
    pub(crate) async fn row(&mut self, query: BoundQuery<'_>) -> Result<PgRow, Failure> {
        let row = self.optional_row(query).await?;
        row.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// The only row of a query, or none.
    pub(crate) async fn optional_row(
        &mut self,
        query: BoundQuery<'_>,
    ) -> Result<Option<PgRow>, Failure> {
        let limit = self.limit;
        let connection = self.begin_statement()?;
        let answer = within(limit, query.fetch_optional(connection)).await;
        self.end_statement(answer)
    }

    /// Whether the server is of this major version or newer.
    pub(crate) fn is_at_least(&self, major: u32) -> bool {
        let version = self.connection.as_ref().and_then(PgConnection::server_version_num);
        version.is_some_and(|version| version >= major * 10_000)
    }

    /// The database from which roles are managed, whichever this session is in.
    pub(crate) fn home_database(&self) -> &str {
        &self.home_database
    }

    fn begin_statement(&mut self) -> Result<&mut PgConnection, Failure> {
        let left_midway = !self.settled;
        self.settled = false;
        match &mut self.connection {
            Some(connection) if !left_midway => Ok(connection),
            _ => Err(Failure::Connection(sqlx::Error::WorkerCrashed)),
        }
    }

    /// An error that the server sent leaves the connection in order, unless it was its last word.
    fn end_statement<T>(&mut self, answer: Result<T, Failure>) -> Result<T, Failure> {
        self.settled = answer.as_ref().err().is_none_or(|failure| !failure.ends_session());
        answer
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take().filter(|_| self.settled) else {
            return;
        };
        if let Some(home) = &self.home {
            home.warm.lock().push(Warm { connection, since: Instant::now() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Arc<Server> {
        let url = ebbgate_testkit_postgres::shared_url().unwrap();
        Arc::new(Server::new(url.parse().unwrap(), Limits::default()))
    }

    #[tokio::test]
    async fn an_error_does_not_repeat_the_secret_in_its_statement() {
        let secret = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy";
        let sql = format!("ALTER ROLE nobody PASSWORD '{secret}' '{secret}'");
        let mut session = server().session().await.unwrap();
        let plain = session.execute(sql.clone()).await.unwrap_err();
        assert!(plain.while_doing("x").chain().contains(secret), "the server repeats it");
        let failure = session.execute_secret(sql, secret).await.unwrap_err();
        let error = failure.while_doing("set a verifier");
        assert!(error.chain().contains("syntax error at or near \"'…'\""), "{}", error.chain());
        assert!(!format!("{error:?}").contains("c2VydmVy"));
    }

    #[tokio::test]
    async fn a_connection_is_used_again() {
        let server = server();
        let pid = async || {
            let mut session = server.session().await.unwrap();
            // An error of the server leaves it in order.
            session.execute("SELECT nonsense".to_owned()).await.unwrap_err();
            let row = session.row(sqlx::query("SELECT pg_backend_pid()")).await.unwrap();
            sqlx::Row::get::<i32, _>(&row, 0)
        };
        assert_eq!(pid().await, pid().await);
    }

    #[tokio::test]
    async fn a_connection_that_was_left_midway_is_not() {
        let server = server();
        let mut session = server.session().await.unwrap();
        let sleep = session.execute("SELECT pg_sleep(30)".to_owned());
        timeout(Duration::from_millis(50), sleep).await.unwrap_err();
        session.execute("SELECT 1".to_owned()).await.unwrap_err();
        drop(session);
        assert!(server.warm.lock().is_empty());
        server.session().await.unwrap().execute("SELECT 1".to_owned()).await.unwrap();
    }

    #[tokio::test]
    async fn one_that_the_server_closed_while_it_rested_is_replaced() {
        let server = server();
        let mut first = server.session().await.unwrap();
        let mut second = server.session().await.unwrap();
        let row = first.row(sqlx::query("SELECT pg_backend_pid()")).await.unwrap();
        let pid: i32 = sqlx::Row::get(&row, 0);
        drop(first);
        let end = format!("SELECT pg_terminate_backend({pid}, 5000)");
        second.execute(end).await.unwrap();
        server.warm.lock().iter_mut().for_each(|warm| warm.since -= 2 * FRESH);
        server.session().await.unwrap().execute("SELECT 1".to_owned()).await.unwrap();
    }
}
