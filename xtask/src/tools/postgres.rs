//! PostgreSQL's server binaries and psql.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{debian, named_by, on_path};
use crate::run::announce;

/// Where Debian and its kin put one folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// What Debian does when a server package is installed.
const CLUSTER_SETTINGS: &str = "/etc/postgresql-common/createcluster.conf";

/// The folder with `initdb` and `postgres`; installs Debian's where there is none. psql is on the
/// search path then, or in that folder.
///
/// # Errors
/// When there is none and it can't be installed.
pub(crate) fn postgres() -> Result<PathBuf> {
    if let Some(named) = named_by("EBBGATE_PG_BIN") {
        return Ok(named);
    }
    if let Some(found) = find() {
        return Ok(found);
    }
    let packages = ["postgresql", "postgresql-client"];
    debian::can_install(&packages, "PostgreSQL")?;
    debian::install(&["postgresql-common"], "PostgreSQL")?;
    leave_no_server_running()?;
    debian::install(&packages, "PostgreSQL")?;
    find().context("find PostgreSQL's initdb, postgres and psql after their installation")
}

fn find() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(VERSIONS)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let mut folders: Vec<PathBuf> = versions.into_iter().rev().map(|(_, folder)| folder).collect();
    folders.extend(on_path("postgres").and_then(|file| file.parent().map(Path::to_owned)));
    let has = |folder: &Path, name: &str| folder.join(name).is_file();
    folders.into_iter().find(|folder| {
        has(folder, "initdb")
            && has(folder, "postgres")
            && (has(folder, "psql") || on_path("psql").is_some())
    })
}

/// We want the programs, not a server on port 5432 that nobody asked for.
fn leave_no_server_running() -> Result<()> {
    let settings =
        fs::read_to_string(CLUSTER_SETTINGS).with_context(|| format!("read {CLUSTER_SETTINGS}"))?;
    let quiet = settings.replace("#create_main_cluster = true", "create_main_cluster = false");
    if quiet != settings {
        announce(&format!("{CLUSTER_SETTINGS}: create_main_cluster = false"));
        fs::write(CLUSTER_SETTINGS, quiet).with_context(|| format!("write {CLUSTER_SETTINGS}"))?;
    }
    Ok(())
}
