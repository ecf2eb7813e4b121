//! Runs a database's own client with a password that shows neither in its arguments nor in its
//! environment.

use std::{
    env,
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

use crate::{exit::Exit, lock::Lock, passfile::PassFile};

/// A program of one of these names on the PATH, the first that is there.
pub(crate) fn find(names: &[&str]) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    names.iter().find_map(|name| {
        env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| {
            let data = path.metadata();
            data.is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
        })
    })
}

/// Runs a client to its end and gives its exit code, or 128 and the number of the signal that ended
/// it. The password is gone from the disk as soon as the client has read it, and when this returns;
/// so is the `turn`, whose end lets the next session have a password.
///
/// # Errors
/// The password file can't be written; the client can't be started.
pub(crate) async fn run(
    name: &str,
    write: impl FnOnce() -> Result<PassFile>,
    command: impl FnOnce(&Path) -> Command,
    turn: Lock,
) -> Result<Exit> {
    // Before the file is there: from here on no signal ends us without its removal.
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot watch for signals")?;
    let mut quits = signal(SignalKind::quit()).context("cannot watch for signals")?;
    let mut ends = signal(SignalKind::terminate()).context("cannot watch for signals")?;
    let mut hangups = signal(SignalKind::hangup()).context("cannot watch for signals")?;
    let file = write()?;
    let mut child = command(file.path()).spawn().with_context(|| format!("cannot start {name}"))?;
    let mut held = Some((file, turn));
    loop {
        tokio::select! {
            status = child.wait() => {
                return Ok(code(status.with_context(|| format!("cannot wait for {name}"))?));
            }
            () = was_read(held.as_mut().map(|(file, _)| file)) => drop(held.take()),
            // The terminal sends these to the client as well, which knows what to do with them.
            _ = interrupts.recv() => {}
            _ = quits.recv() => {}
            _ = ends.recv() => pass_on(&child, Signal::SIGTERM)?,
            _ = hangups.recv() => pass_on(&child, Signal::SIGHUP)?,
        }
    }
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
    nix::sys::signal::kill(Pid::from_raw(id), signal).context("cannot pass a signal on")
}

fn code(status: ExitStatus) -> Exit {
    let signalled = || status.signal().map(|signal| 128 + signal);
    let code = status.code().or_else(signalled).and_then(|code| u8::try_from(code).ok());
    code.map_or(Exit::ERROR, Exit::of_child)
}
