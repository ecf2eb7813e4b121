//! As whom a server runs: not as root, which could read what its SQL names, and which PostgreSQL
//! refuses to be.

use std::{path::Path, process::Command};

use nix::unistd::{User, geteuid};

use crate::{Error, io};

/// As whom a server runs.
#[derive(Debug, Clone)]
pub enum Account {
    /// As whoever we are.
    Ours,
    /// As this one, because we are root.
    Other(User),
}

impl Account {
    /// Ours, or the first of `names` that there is where we are root.
    ///
    /// # Errors
    /// [`Error::NoAccount`].
    pub fn choose(names: &[&str]) -> Result<Self, Error> {
        if !geteuid().is_root() {
            return Ok(Self::Ours);
        }
        names
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(Self::Other)
            .ok_or_else(|| Error::NoAccount { accounts: names.join(" or ") })
    }

    /// Makes the account own `path`.
    ///
    /// # Errors
    /// The system refuses.
    pub fn take(&self, path: &Path) -> Result<(), Error> {
        let Self::Other(user) = self else {
            return Ok(());
        };
        std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .map_err(io("give a file to a server's account"))
    }

    /// The words of a command that runs as this account.
    pub fn words(&self, command: Vec<String>) -> Vec<String> {
        match self {
            Self::Ours => command,
            Self::Other(user) => {
                let mut words = vec![
                    "setpriv".to_owned(),
                    format!("--reuid={}", user.uid),
                    format!("--regid={}", user.gid),
                    "--clear-groups".to_owned(),
                ];
                words.extend(command);
                words
            }
        }
    }

    /// A command that runs as this account.
    pub fn command(&self, command: Vec<String>) -> Command {
        let mut words = self.words(command).into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    }
}
