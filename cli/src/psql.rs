//! Runs psql with a password that shows neither in its arguments nor in its environment.

use std::{
    env,
    ffi::OsString,
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::ExitStatus,
};

use anyhow::{Context as _, Result};
use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};
use zeroize::Zeroizing;

use crate::{
    exit::{Exit, Stop},
    lock::Lock,
    passfile::PassFile,
};

/// What would lead psql elsewhere, or to another password, than the grant says.
const MISLEADING: [&str; 4] = ["PGPASSWORD", "PGSERVICE", "PGHOSTADDR", "PGPASSFILE"];

/// Where a session goes.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) database: &'a str,
    pub(crate) user: &'a str,
    /// Marks the session in the server's log.
    pub(crate) grant: &'a str,
}

/// Finds psql before anything is made for it.
///
/// # Errors
/// It isn't there; the error says what to install.
pub(crate) fn find() -> Result<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|folder| folder.join("psql")).find(|path| {
        let data = path.metadata();
        data.is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    });
    found.ok_or_else(|| {
        let message = "psql is not on your PATH: install PostgreSQL's client (Debian, Ubuntu: \
                       postgresql-client; Fedora: postgresql; Homebrew: libpq), or use --print-url";
        Stop::new(Exit::ERROR, message).into()
    })
}

/// Runs it to its end and gives its exit code, or 128 and the number of the signal that ended it.
/// The password is gone from the disk as soon as psql has read it, and when this returns; so is
/// the `turn`, whose end lets the next session have a password.
///
/// # Errors
/// The password file can't be written; psql can't be started.
pub(crate) async fn run(
    psql: &Path,
    target: &Target<'_>,
    password: Zeroizing<String>,
    turn: Lock,
    arguments: &[OsString],
) -> Result<Exit> {
    // Before the file is there: from here on no signal ends us without its removal.
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot watch for signals")?;
    let mut quits = signal(SignalKind::quit()).context("cannot watch for signals")?;
    let mut ends = signal(SignalKind::terminate()).context("cannot watch for signals")?;
    let mut hangups = signal(SignalKind::hangup()).context("cannot watch for signals")?;
    let file = PassFile::write(target.host, target.port, target.user, &password)?;
    drop(password);
    let mut child = start(psql, target, file.path(), arguments)?;
    let mut held = Some((file, turn));
    loop {
        tokio::select! {
            status = child.wait() => {
                return Ok(code(status.context("cannot wait for psql")?));
            }
            () = was_read(held.as_mut().map(|(file, _)| file)) => drop(held.take()),
            // The terminal sends these to psql as well, which knows what to do with them.
            _ = interrupts.recv() => {}
            _ = quits.recv() => {}
            _ = ends.recv() => pass_on(&child, Signal::SIGTERM)?,
            _ = hangups.recv() => pass_on(&child, Signal::SIGHUP)?,
        }
    }
}

fn start(psql: &Path, target: &Target<'_>, file: &Path, arguments: &[OsString]) -> Result<Child> {
    let mut command = Command::new(psql);
    for name in MISLEADING {
        command.env_remove(name);
    }
    command
        .env("PGHOST", target.host)
        .env("PGPORT", target.port.to_string())
        .env("PGDATABASE", target.database)
        .env("PGUSER", target.user)
        .env("PGAPPNAME", target.grant)
        .env("PGPASSFILE", file)
        // It has the password; a prompt would only wait for somebody who doesn't.
        .arg("--no-password")
        .args(arguments);
    command.spawn().with_context(|| format!("cannot start {}", psql.display()))
}

async fn was_read(file: Option<&mut PassFile>) {
    match file {
        Some(file) => file.was_read().await,
        None => std::future::pending().await,
    }
}

fn pass_on(child: &Child, signal: Signal) -> Result<()> {
    // None once it has ended, which the next turn of the loop sees.
    let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) else {
        return Ok(());
    };
    nix::sys::signal::kill(Pid::from_raw(id), signal).context("cannot pass a signal on to psql")
}

fn code(status: ExitStatus) -> Exit {
    let signalled = || status.signal().map(|signal| 128 + signal);
    let code = status.code().or_else(signalled).and_then(|code| u8::try_from(code).ok());
    code.map_or(Exit::ERROR, Exit::of_child)
}
