//! Where MariaDB's programs and files are.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{BIN_VARIABLE, Error, PLUGINS_VARIABLE};

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
