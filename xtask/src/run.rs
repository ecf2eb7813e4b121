//! Runs other programs, tells which and for how long, and knows where the workspace is.

use std::{
    env,
    ffi::OsStr,
    io::{IsTerminal as _, stderr},
    path::PathBuf,
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(PathBuf::from).unwrap_or(xtask)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(set) => workspace().join(set),
        None => workspace().join("target"),
    }
}

/// A command in the workspace's folder.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace());
    command
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// One of our own programs, that ends when we do, however we end.
pub(crate) fn ours(profile: &str, name: &str) -> Command {
    let mut command = command("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(target_dir().join(profile).join(name));
    command
}

/// Whether `program` can be run with `argument`.
pub(crate) fn works(program: impl AsRef<OsStr>, argument: &str) -> bool {
    command(program).arg(argument).output().is_ok_and(|output| output.status.success())
}

/// Says what begins.
pub(crate) fn announce(what: &str) {
    if stderr().is_terminal() {
        eprintln!("\x1b[1;36m==>\x1b[0m \x1b[1m{what}\x1b[0m");
    } else {
        eprintln!("==> {what}");
    }
}

/// Runs a command with its output shown, and tells how long it took.
///
/// # Errors
/// When it can't be started or doesn't succeed.
pub(crate) fn step(what: &str, command: &mut Command) -> Result<()> {
    announce(what);
    let begin = Instant::now();
    let status = command.status().with_context(|| format!("start {}", named(command)))?;
    ensure!(status.success(), "{what}: {} ended with {status}", named(command));
    eprintln!("    {what}: {:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn named(command: &Command) -> String {
    PathBuf::from(command.get_program()).display().to_string()
}
