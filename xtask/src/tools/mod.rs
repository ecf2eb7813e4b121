//! What the tasks need beyond a Rust toolchain: found where it is, else installed into a cache folder
//! of this checkout (`.cache/`, or `EBBGATE_CACHE`), else named together with the command that
//! installs it.

mod aws_cli;
mod cache;
mod cargo_deny;
mod debian;
mod faketime;
mod localstack;
mod mariadb;
mod pgbouncer;
mod postgres;
mod postgres_versions;
mod python;
mod smtp_server;

use std::{env, path::PathBuf};

pub(crate) use aws_cli::aws_cli;
pub(crate) use cargo_deny::cargo_deny;
pub(crate) use faketime::faketime;
pub(crate) use localstack::localstack;
pub(crate) use mariadb::mariadb;
pub(crate) use pgbouncer::pgbouncer;
pub(crate) use postgres::postgres;
pub(crate) use postgres_versions::{postgres_versions, usual_postgres_versions};
pub(crate) use smtp_server::smtp_server;

/// Where a program of that name is on the search path.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A variable of the environment that names a file or folder.
fn named_by(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
