//! Where MariaDB's programs and files are, and as whom they run.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use nix::unistd::{User, geteuid};

use crate::{BIN_VARIABLE, Error, PLUGINS_VARIABLE, io};

/// What makes the system tables, in this order.
const SYSTEM_TABLES: [&str; 3] =
    ["mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql"];

/// One installation.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    pub(crate) server: PathBuf,
    pub(crate) client: PathBuf,
    /// The scripts that make the system tables.
    pub(crate) system_tables: Vec<PathBuf>,
    /// None: where the server looks by itself.
    pub(crate) plugins: Option<PathBuf>,
}

impl Installation {
    /// The one that is named, else the system's.
    pub(crate) fn find() -> Result<Self, Error> {
        let named = named_by(BIN_VARIABLE);
        let mut folders: Vec<PathBuf> = match &named {
            Some(folder) => vec![folder.clone()],
            None => ["/usr/sbin", "/usr/libexec", "/usr/local/sbin"].map(PathBuf::from).into(),
        };
        folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let server = first("mariadbd", &folders)?;
        // Beside the server, or where Debian has it.
        folders.insert(0, PathBuf::from("/usr/bin"));
        folders.splice(0..0, named);
        let client = first("mariadb", &folders)?;
        let prefix = server.ancestors().nth(2).unwrap_or(Path::new("/usr"));
        let shares: Vec<_> = ["share/mysql", "share/mariadb"]
            .iter()
            .map(|share| prefix.join(share))
            .chain([PathBuf::from("/usr/share/mysql")])
            .collect();
        let system_tables =
            SYSTEM_TABLES.iter().map(|name| first(name, &shares)).collect::<Result<_, _>>()?;
        Ok(Self { server, client, system_tables, plugins: named_by(PLUGINS_VARIABLE) })
    }
}

fn named_by(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn first(name: &'static str, folders: &[PathBuf]) -> Result<PathBuf, Error> {
    folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()).ok_or_else(|| {
        let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        Error::NotInstalled { what: name, looked_in: folders.join(":") }
    })
}

/// As whom the server runs: not as root, which could read what its SQL names.
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
        ["mysql", "nobody"]
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
            .map_err(io("give a file to MariaDB's account"))
    }

    /// The words of a command that runs as this account.
    pub(crate) fn words(&self, command: Vec<String>) -> Vec<String> {
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
    pub(crate) fn command(&self, command: Vec<String>) -> Command {
        let mut words = self.words(command).into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    }
}
