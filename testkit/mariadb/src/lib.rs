//! A private MariaDB server for tests: real binaries, its own data directory, a free port on
//! 127.0.0.1, and `root` with a random password. Nobody logs in without one.
//!
//! ```no_run
//! let mut server = ebbgate_testkit_mariadb::PrivateServer::start()?;
//! let root = server.url();
//! let somebody = server.user_url("shop", "alice", "her password");
//! server.kill9()?;
//! server.start_again()?;
//! # Ok::<(), ebbgate_testkit_mariadb::Error>(())
//! ```
//!
//! The server never outlives the process that started it, however that one ends: see
//! [`ebbgate_testkit_process`]. Everything blocks; call it from a test's thread or through `spawn_blocking`.

mod binaries;
mod server;

use std::path::PathBuf;

pub use server::PrivateServer;

/// Names a directory with `mariadbd`, for testing against another one than the system's.
pub const BIN_VARIABLE: &str = "EBBGATE_MARIADB_BIN";

/// Names a directory with the server's plugins, such as `auth_ed25519.so`, where they are not in
/// the server's own.
pub const PLUGINS_VARIABLE: &str = "EBBGATE_MARIADB_PLUGINS";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No MariaDB is installed.
    #[error(
        "MariaDB's {what} was not found in {looked_in}; install MariaDB 10.11 or newer (Debian: \
         mariadb-server-core and mariadb-client-core, which start no service), or name the \
         directory of mariadbd in {BIN_VARIABLE}"
    )]
    NotInstalled {
        /// What is missing.
        what: &'static str,
        /// Where it was looked for.
        looked_in: String,
    },
    /// A process could not be had.
    #[error(transparent)]
    Process(#[from] ebbgate_testkit_process::Error),
    /// The system tables could not be made.
    #[error("mariadbd --bootstrap failed: {output}")]
    Bootstrap {
        /// What it said.
        output: String,
    },
    /// The server ended, or was not ready in time, after it was started.
    #[error("MariaDB did not start; the end of {}: {tail}", log.display())]
    NotStarted {
        /// Its log, which is gone when the server's value is.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// It runs already.
    #[error("MariaDB runs already")]
    Running,
    /// It does not run.
    #[error("MariaDB does not run")]
    NotRunning,
}
