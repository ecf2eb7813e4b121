//! psql, PostgreSQL's client.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::Result;
use tokio::process::Command;
use zeroize::Zeroizing;

use crate::{
    api::DatabaseLogin,
    db_client,
    exit::{Exit, Stop},
    lock::Lock,
    passfile::PassFile,
};

/// What would lead psql elsewhere, or to another password, than the grant says.
const MISLEADING: [&str; 4] = ["PGPASSWORD", "PGSERVICE", "PGHOSTADDR", "PGPASSFILE"];

/// Finds psql before anything is made for it.
///
/// # Errors
/// It isn't there; the error says what to install.
pub(crate) fn find() -> Result<PathBuf> {
    db_client::find(&["psql"]).ok_or_else(|| {
        let message = "psql is not on your PATH: install PostgreSQL's client (Debian, Ubuntu: \
                       postgresql-client; Fedora: postgresql; Homebrew: libpq), or use --print-url";
        Stop::new(Exit::ERROR, message).into()
    })
}

/// Runs it to its end; `grant` marks the session in the server's log.
///
/// # Errors
/// As for [`db_client::run`].
pub(crate) async fn run(
    psql: &Path,
    login: &DatabaseLogin,
    grant: &str,
    password: Zeroizing<String>,
    turn: Lock,
    arguments: &[OsString],
) -> Result<Exit> {
    let write = || PassFile::libpq(&login.host, login.port, &login.user, &password);
    let command = |file: &Path| {
        let mut command = Command::new(psql);
        for name in MISLEADING {
            command.env_remove(name);
        }
        command
            .env("PGHOST", &login.host)
            .env("PGPORT", login.port.to_string())
            .env("PGDATABASE", &login.database)
            .env("PGUSER", &login.user)
            .env("PGAPPNAME", grant)
            .env("PGPASSFILE", file)
            // It has the password; a prompt would only wait for somebody who doesn't.
            .arg("--no-password")
            .args(arguments);
        command
    };
    db_client::run("psql", write, command, turn).await
}
