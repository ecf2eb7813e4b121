//! Where PostgreSQL's programs are, and as whom they run.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use nix::unistd::{User, geteuid};

use crate::{BIN_VARIABLE, Error, io};

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

/// As whom the server runs: PostgreSQL refuses root.
#[derive(Debug, Clone)]
pub(crate) enum Account {
    /// As whoever we are.
    Ours,
    /// As this one, because we are root.
    Other(User),
}

impl Account {
    pub(crate) fn choose() -> Result<Self, Error> {
        if !geteuid().is_root() {
            return Ok(Self::Ours);
        }
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(Self::Other)
            .ok_or(Error::NoAccount)
    }

    /// Makes the account own `path`.
    pub(crate) fn take(&self, path: &Path) -> Result<(), Error> {
        let Self::Other(user) = self else {
            return Ok(());
        };
        std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .map_err(io("give a file to PostgreSQL's account"))
    }

    /// The words that run a program as this account, before the program's own.
    pub(crate) fn prefix(&self) -> Vec<String> {
        match self {
            Self::Ours => Vec::new(),
            Self::Other(user) => vec![
                "setpriv".to_owned(),
                format!("--reuid={}", user.uid),
                format!("--regid={}", user.gid),
                "--clear-groups".to_owned(),
            ],
        }
    }

    /// A command that runs `program` as this account.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut prefix = self.prefix().into_iter();
        let Some(first) = prefix.next() else {
            return Command::new(program);
        };
        let mut command = Command::new(first);
        command.args(prefix).arg(program);
        command
    }
}
