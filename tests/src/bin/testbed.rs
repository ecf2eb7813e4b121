//! `ebbgate-testbed -- COMMAND…`: runs a command, as a rule all tests, with what tests can share: one
//! PostgreSQL server for those that need no server of their own, and a folder for temporary files
//! that is gone afterwards, however the tests ended.

use std::{env, fs, os::unix::fs::PermissionsExt as _, process::ExitCode};

use anyhow::{Context as _, Result};
use ebbgate_testkit_postgres::{PrivateServer, URL_VARIABLE};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let mut arguments = env::args_os().skip_while(|argument| argument != "--").skip(1);
    let program = arguments.next().context("usage: ebbgate-testbed -- COMMAND [ARGUMENT…]")?;

    let folder = tempfile::Builder::new().prefix("ebbgate-tests-").tempdir();
    let folder = folder.context("make a folder for temporary files")?;
    // PostgreSQL runs as another account when we are root, and walks through.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))
        .context("open the folder for temporary files")?;
    let server =
        PrivateServer::start_with(&["max_connections = 200", "max_prepared_transactions = 20"])
            .context("start the PostgreSQL server that tests share")?;

    // The kernel ends the command too when we are killed ourselves.
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "--"])
        .arg(program)
        .args(arguments)
        .env("TMPDIR", folder.path())
        .env(URL_VARIABLE, server.url())
        .spawn()
        .context("start the command")?;
    ended(child).await
}

/// Waits for the command's end. Ctrl-C reaches it too, and it decides what to do; we stay to clean
/// up behind it. A SIGTERM is for us alone, so it is handed on.
async fn ended(mut child: Child) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status.context("wait for the command")?;
                let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
                return Ok(ExitCode::from(code));
            }
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {
                if let Some(id) = child.id() {
                    let id = Pid::from_raw(i32::try_from(id).context("read a process id")?);
                    kill(id, Signal::SIGTERM).context("hand SIGTERM on")?;
                }
            }
        }
    }
}
