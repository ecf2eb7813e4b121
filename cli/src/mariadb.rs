//! `mariadb` or `mysql`, the clients of MariaDB and MySQL.

use std::{
    env,
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

/// What would lead the client elsewhere, or to another password, than the grant says.
const MISLEADING: [&str; 4] = ["MYSQL_PWD", "MYSQL_HOST", "MYSQL_TCP_PORT", "MYSQL_UNIX_PORT"];
/// MySQL's client reads this file after all others; there must be none.
const LOGIN_FILE: (&str, &str) = ("MYSQL_TEST_LOGIN_FILE", "/dev/null");
/// Option files that the client would read by itself, but for the person's own.
const OPTION_FILES: [&str; 2] = ["/etc/my.cnf", "/etc/mysql/my.cnf"];

/// Finds a client before anything is made for it.
///
/// # Errors
/// There is none; the error says what to install.
pub(crate) fn find() -> Result<PathBuf> {
    db_client::find(&["mariadb", "mysql"]).ok_or_else(|| {
        let message = "neither mariadb nor mysql is on your PATH: install MariaDB's client (Debian, \
                       Ubuntu: mariadb-client; Fedora: mariadb; Homebrew: mariadb), or use \
                       --print-url";
        Stop::new(Exit::ERROR, message).into()
    })
}

/// Runs it to its end.
///
/// # Errors
/// As for [`db_client::run`].
pub(crate) async fn run(
    client: &Path,
    login: &DatabaseLogin,
    password: Zeroizing<String>,
    turn: Lock,
    arguments: &[OsString],
) -> Result<Exit> {
    let write = || PassFile::write("my.cnf", &options(&password));
    let command = |file: &Path| {
        let mut command = Command::new(client);
        for name in MISLEADING {
            command.env_remove(name);
        }
        let mut defaults = OsString::from("--defaults-file=");
        defaults.push(file);
        command
            .env(LOGIN_FILE.0, LOGIN_FILE.1)
            // It is taken as the first argument only.
            .arg(defaults)
            .arg(format!("--host={}", login.host))
            .arg(format!("--port={}", login.port))
            // Else 'localhost' means a socket.
            .arg("--protocol=TCP")
            .arg(format!("--user={}", login.user))
            .arg(format!("--database={}", login.database))
            .args(arguments);
        command
    };
    db_client::run("the database's client", write, command, turn).await
}

/// A file of options with the password last. As an *extra* file the client would read it before the
/// person's own, and a password in that would win; so it is the only one, and includes the others.
fn options(password: &str) -> Zeroizing<String> {
    let own = env::var_os("HOME").map(|home| Path::new(&home).join(".my.cnf"));
    let files = OPTION_FILES.iter().map(PathBuf::from).chain(own);
    let includes: String = files
        .filter(|file| file.is_file())
        .map(|file| format!("!include {}\n", file.display()))
        .collect();
    let mut text = Zeroizing::new(String::with_capacity(includes.len() + password.len() + 32));
    text.push_str(&includes);
    text.push_str("[client]\npassword=");
    text.push_str(password);
    text.push('\n');
    text
}
