//! A private PostgreSQL server for tests: real binaries, its own data directory, a free port on
//! 127.0.0.1, and a superuser with a random password. Nobody logs in without one.
//!
//! ```no_run
//! let mut server = ebbgate_testkit_postgres::PrivateServer::start()?;
//! let superuser = server.url();
//! let somebody = server.psql_url("shop", "alice", "her password");
//! server.kill9()?;
//! server.start_again()?;
//! # Ok::<(), ebbgate_testkit_postgres::Error>(())
//! ```
//!
//! The server never outlives the process that started it, however that one ends: see
//! [`supervisor`]. Everything blocks; call it from a test's thread or through `spawn_blocking`.

mod binaries;
mod pooler;
mod server;
mod supervisor;

use std::{io, path::PathBuf, sync::OnceLock};

pub use pooler::{PoolMode, Pooler};
pub use server::PrivateServer;

/// Names a directory with `initdb` and `postgres`, for testing against another version than the
/// newest that the system has.
pub const BIN_VARIABLE: &str = "EBBGATE_PG_BIN";

/// Names PgBouncer's program, where it is not on the search path.
pub const POOLER_VARIABLE: &str = "EBBGATE_PGBOUNCER";

/// Holds a superuser's URL of a server that runs already; it is used instead of a private one.
pub const URL_VARIABLE: &str = "EBBGATE_TEST_PG";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No PostgreSQL is installed.
    #[error(
        "PostgreSQL's initdb and postgres were not found in {looked_in}; install PostgreSQL 13 or \
         newer, or name the directory in {BIN_VARIABLE}"
    )]
    NotInstalled {
        /// Where it was looked for.
        looked_in: String,
    },
    /// No PgBouncer is installed.
    #[error(
        "pgbouncer was not found on PATH nor in /usr/sbin; install it (on Debian: apt-get install \
         pgbouncer), or name it in {POOLER_VARIABLE}"
    )]
    NoPooler,
    /// The pooler ended, or was not ready in time.
    #[error("PgBouncer did not start; the end of its log: {tail}")]
    PoolerNotStarted {
        /// The log's last lines.
        tail: String,
    },
    /// PostgreSQL does not run as root and there is no account to run it as.
    #[error("PostgreSQL refuses to run as root, and there is no account 'postgres' or 'nobody'")]
    NoAccount,
    /// The machine did not play along.
    #[error("could not {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// `initdb` failed.
    #[error("initdb failed: {output}")]
    Initdb {
        /// What it said.
        output: String,
    },
    /// The server ended, or was not ready in time, after it was started.
    #[error("PostgreSQL did not start; the end of {}: {tail}", log.display())]
    NotStarted {
        /// Its log, which is gone when the server's value is.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// It runs already.
    #[error("PostgreSQL runs already")]
    Running,
    /// It does not run.
    #[error("PostgreSQL does not run")]
    NotRunning,
}

pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { doing, source }
}

/// The superuser's URL of the server that this process's tests share: the one that
/// [`URL_VARIABLE`] names, else a private one that is started with the first call and ends with
/// the process.
///
/// # Errors
/// The private server could not be started; later calls say the same without trying again.
pub fn shared_url() -> Result<&'static str, &'static Error> {
    static SHARED: OnceLock<Result<(String, Option<PrivateServer>), Error>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| match std::env::var(URL_VARIABLE) {
        Ok(url) if !url.is_empty() => Ok((url, None)),
        _ => PrivateServer::start().map(|server| (server.url(), Some(server))),
    });
    shared.as_ref().map(|(url, _)| url.as_str())
}
