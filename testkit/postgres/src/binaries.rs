//! Where PostgreSQL's programs are.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{BIN_VARIABLE, Error};

/// Where Debian and its kin put one directory for each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The directory with `initdb` and `postgres`: the one that is named, else the newest installed.
pub(crate) fn directory() -> Result<PathBuf, Error> {
    let named = env::var_os(BIN_VARIABLE).filter(|value| !value.is_empty());
    let looked_in = match &named {
        Some(directory) => Path::new(directory).display().to_string(),
        None => format!("{VERSIONS}/*/bin and PATH"),
    };
    let candidates = match named {
        Some(directory) => vec![PathBuf::from(directory)],
        None => installed(),
    };
    candidates
        .into_iter()
        .find(|directory| ["initdb", "postgres"].iter().all(|name| directory.join(name).is_file()))
        .ok_or(Error::NotInstalled { looked_in })
}

fn installed() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(VERSIONS)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by(|one, other| other.cmp(one));
    let path = env::var_os("PATH").unwrap_or_default();
    versions.into_iter().map(|(_, directory)| directory).chain(env::split_paths(&path)).collect()
}
