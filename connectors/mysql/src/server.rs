//! Connections to one server: a few warm ones, and new ones for what leaves a session changed.
//!
//! A future of the driver that is dropped midway leaves its connection in an unknown state
//! (sqlx#4385). So a session notes when a statement is under way, and a connection goes back among
//! the warm ones only when none is. Time limits inside a session use the same rule.
//!
//! All statements go as text, with what they name quoted by [`crate::sql`]: account statements take
//! no parameters, and this way every answer is text as well.

use std::{future::Future, sync::Arc, time::Duration};

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use parking_lot::Mutex;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, MySqlConnection, Row as _,
    mysql::{MySqlConnectOptions, MySqlRow},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::{
    dialect::{self, Dialect},
    failure::{Doing as _, Failure},
    settings::Limits,
};

/// How many sessions work at a time, and as many again that are new.
const SESSIONS: usize = 4;
/// A connection that rested longer is asked whether it still lives.
const FRESH: Duration = Duration::from_secs(1);
/// How much longer than the server itself we wait until we believe that it will not answer.
const GRACE: Duration = Duration::from_secs(1);

/// A row's values as text; none for NULL.
pub(crate) type Values = Vec<Option<String>>;
/// A row's values as the server sent them.
pub(crate) type Bytes = Vec<Option<Vec<u8>>>;

/// One server.
pub(crate) struct Server {
    options: MySqlConnectOptions,
    limits: Limits,
    /// As errors name it.
    place: String,
    warm: Mutex<Vec<Warm>>,
    usual: Arc<Semaphore>,
    fresh: Arc<Semaphore>,
}

struct Warm {
    connection: MySqlConnection,
    dialect: Dialect,
    since: Instant,
}

impl Server {
    pub(crate) fn new(options: MySqlConnectOptions, place: String, limits: Limits) -> Self {
        let places = || Arc::new(Semaphore::new(SESSIONS));
        Self { options, limits, place, warm: Mutex::default(), usual: places(), fresh: places() }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A session. Never wait for another one while holding it.
    pub(crate) async fn session(self: &Arc<Self>) -> Result<Session, ConnectorError> {
        let place = place(&self.usual).await?;
        loop {
            // Taken out first, so that the lock is not held while the connection is asked.
            let Some(mut warm) = self.warm.lock().pop() else {
                break;
            };
            let rested = warm.since.elapsed();
            if rested < FRESH || within(GRACE, warm.connection.ping()).await.is_ok() {
                return Ok(self.opened(warm, Some(Arc::clone(self)), place));
            }
        }
        let warm = self.connect().await?;
        Ok(self.opened(warm, Some(Arc::clone(self)), place))
    }

    /// A session of its own, ended when it is dropped.
    pub(crate) async fn fresh_session(&self) -> Result<Session, ConnectorError> {
        let place = place(&self.fresh).await?;
        let warm = self.connect().await?;
        Ok(self.opened(warm, None, place))
    }

    async fn connect(&self) -> Result<Warm, ConnectorError> {
        let doing = || format!("connect to {}", self.place);
        // Boxed: the driver's future is large and most calls find a warm connection.
        let opened = async {
            let connection = self.options.connect().await?;
            self.prepared(connection).await
        };
        within(self.limits.connect, Box::pin(opened)).await.doing(doing)
    }

    /// Whatever the server has set for its sessions, ours quote as we do and wait as long as we say.
    async fn prepared(&self, mut connection: MySqlConnection) -> Result<Warm, sqlx::Error> {
        let [version, partial_revokes] = dialect::LOOK;
        let told = sqlx::raw_sql(version).fetch_one(&mut connection).await?;
        let told = values(&told)?;
        let told = |at: usize| told.get(at).and_then(Option::as_deref).unwrap_or_default();
        let partial = sqlx::raw_sql(partial_revokes).fetch_optional(&mut connection).await?;
        let partial = partial.as_ref().map(values).transpose()?;
        let is_on = partial.is_some_and(|row| row.last() == Some(&Some("ON".to_owned())));
        let dialect = Dialect::of(told(0), told(1) == "1", is_on);
        let lock = self.limits.lock.as_secs().max(1);
        let modes = format!(
            "SET SESSION sql_mode = '{}', autocommit = 1, lock_wait_timeout = {lock}, \
             innodb_lock_wait_timeout = {lock}, {}",
            dialect.sql_mode(),
            dialect.statement_limit(self.limits.statement.as_millis().max(1)),
        );
        sqlx::raw_sql(AssertSqlSafe(modes)).execute(&mut connection).await?;
        Ok(Warm { connection, dialect, since: Instant::now() })
    }

    fn opened(&self, warm: Warm, home: Option<Arc<Self>>, place: OwnedSemaphorePermit) -> Session {
        Session {
            connection: Some(warm.connection),
            dialect: warm.dialect,
            settled: true,
            limit: self.limits.statement + GRACE,
            home,
            _place: place,
        }
    }
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

fn bytes(row: &MySqlRow) -> Result<Bytes, sqlx::Error> {
    // Unchecked: the text protocol sends every type as text.
    (0..row.len()).map(|at| row.try_get_unchecked::<Option<Vec<u8>>, _>(at)).collect()
}

fn texts(row: Bytes) -> Values {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    row.into_iter().map(|value| value.map(text)).collect()
}

fn values(row: &MySqlRow) -> Result<Values, sqlx::Error> {
    bytes(row).map(texts)
}

/// One connection, for as long as an operation needs it.
pub(crate) struct Session {
    connection: Option<MySqlConnection>,
    dialect: Dialect,
    /// False while a statement is under way, and for ever after one that was left midway.
    settled: bool,
    limit: Duration,
    home: Option<Arc<Server>>,
    _place: OwnedSemaphorePermit,
}

impl Session {
    /// What kind of server this is.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Runs a statement.
    pub(crate) async fn execute(&mut self, sql: String) -> Result<(), Failure> {
        let limit = self.limit;
        let connection = self.begin_statement()?;
        let answer = within(limit, sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection)).await;
        self.end_statement(answer).map(drop)
    }

    /// The rows of a query.
    pub(crate) async fn rows(&mut self, sql: String) -> Result<Vec<Values>, Failure> {
        Ok(self.bytes(sql).await?.into_iter().map(texts).collect())
    }

    /// The rows of a query, to the byte: for what may be in any character set.
    pub(crate) async fn bytes(&mut self, sql: String) -> Result<Vec<Bytes>, Failure> {
        let limit = self.limit;
        let connection = self.begin_statement()?;
        let answer = within(limit, sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection)).await;
        let rows = self.end_statement(answer)?;
        rows.iter().map(|row| bytes(row).map_err(Failure::from)).collect()
    }

    /// The first column of a query's rows.
    pub(crate) async fn column(&mut self, sql: String) -> Result<Vec<String>, Failure> {
        let rows = self.rows(sql).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    fn begin_statement(&mut self) -> Result<&mut MySqlConnection, Failure> {
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
            let (dialect, since) = (self.dialect, Instant::now());
            home.warm.lock().push(Warm { connection, dialect, since });
        }
    }
}
