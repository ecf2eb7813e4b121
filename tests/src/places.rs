//! Where things are: the built programs, PostgreSQL's binaries, the AWS CLI, LocalStack.
//! `cargo xtask test` says it in the environment; without that, the usual places are tried.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

/// The directory with PostgreSQL's server binaries (`initdb`, `postgres`).
pub const PG_BIN: &str = "EBBGATE_PG_BIN";
/// The AWS CLI's program.
pub const AWS_CLI: &str = "EBBGATE_AWS_CLI";
/// The Python that has LocalStack installed.
pub const LOCALSTACK_PYTHON: &str = "EBBGATE_LOCALSTACK_PYTHON";
/// Names the Python that has aiosmtpd.
pub const SMTP_PYTHON: &str = "EBBGATE_SMTP_PYTHON";

/// The library that moves one program's clock.
pub const FAKETIME: &str = "EBBGATE_FAKETIME";

/// One of the workspace's programs, found beside the running one.
///
/// # Errors
/// When it has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let this = env::current_exe().context("ask for the path of this program")?;
    this.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "find the program {name} near {}: run `cargo build --workspace`",
                this.display()
            )
        })
}

/// The real AWS CLI.
///
/// # Errors
/// When there is none.
pub fn aws_cli() -> Result<PathBuf> {
    if let Some(set) = env::var_os(AWS_CLI) {
        return Ok(PathBuf::from(set));
    }
    first_with(&search_path(), "aws").with_context(|| {
        format!("find the AWS CLI: `cargo xtask test` installs it, or set {AWS_CLI}")
    })
}

/// The Python in whose environment LocalStack is installed.
///
/// # Errors
/// When nothing says which.
pub fn localstack_python() -> Result<PathBuf> {
    let Some(set) = env::var_os(LOCALSTACK_PYTHON) else {
        bail!("find LocalStack: `cargo xtask test` installs it, or set {LOCALSTACK_PYTHON}")
    };
    Ok(PathBuf::from(set))
}

/// The Python that has aiosmtpd.
///
/// # Errors
/// When nothing says which.
pub fn smtp_python() -> Result<PathBuf> {
    let Some(set) = env::var_os(SMTP_PYTHON) else {
        bail!("find aiosmtpd: `cargo xtask test` installs it, or set {SMTP_PYTHON}")
    };
    Ok(PathBuf::from(set))
}

/// The library that moves one program's clock.
///
/// # Errors
/// When nothing says where it is.
pub fn faketime() -> Result<PathBuf> {
    let Some(set) = env::var_os(FAKETIME) else {
        bail!("find libfaketime: `cargo xtask test` installs it, or set {FAKETIME}")
    };
    Ok(PathBuf::from(set))
}

/// A new directory for one world.
///
/// # Errors
/// When it can't be made.
pub fn new_world_dir() -> Result<TempDir> {
    let mut name = tempfile::Builder::new();
    name.prefix("ebbgate-world-").tempdir().context("make a directory for this world")
}

/// The search path for children: our programs first, then PostgreSQL's, then the machine's.
///
/// # Errors
/// When a folder's name can't be part of a search path.
pub fn search_path_for_children() -> Result<std::ffi::OsString> {
    let this = env::current_exe().context("ask for the path of this program")?;
    let mut folders: Vec<PathBuf> = this.ancestors().skip(1).take(2).map(Path::to_owned).collect();
    folders.extend(env::var_os(PG_BIN).map(PathBuf::from));
    folders.extend(search_path());
    env::join_paths(folders).context("join the folders of the search path")
}

fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

fn first_with(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}
