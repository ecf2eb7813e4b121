//! MariaDB's server, its client, and the plugins that the tests load.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{cache, debian, named_by, on_path};
use crate::run::{command, step, works};

/// Where Debian puts the server; that need not be on everybody's search path.
const DEBIANS: &str = "/usr/sbin/mariadbd";
/// The plugin that not every server package brings along.
const PLUGIN: &str = "auth_ed25519.so";
/// Where Debian's packages keep plugins.
const PLUGINS: &str = "usr/lib/mysql/plugin";

/// The folder with `mariadbd`, and that with its plugins. Debian's packages without a service are
/// installed where there is none; the plugins are unpacked into the cache, which needs no root.
///
/// # Errors
/// When something is missing and can't be installed.
pub(crate) fn mariadb() -> Result<(PathBuf, PathBuf)> {
    let server = match named_by("EBBGATE_MARIADB_BIN") {
        Some(named) => named,
        None => server()?,
    };
    let plugins = match named_by("EBBGATE_MARIADB_PLUGINS") {
        Some(named) => named,
        None => plugins()?,
    };
    Ok((server, plugins))
}

fn server() -> Result<PathBuf> {
    let find = || {
        let debians = Path::new(DEBIANS);
        let client = on_path("mariadb").is_some();
        let server = on_path("mariadbd").or_else(|| debians.is_file().then(|| debians.to_owned()));
        server.filter(|_| client).and_then(|file| file.parent().map(Path::to_owned))
    };
    if let Some(found) = find() {
        return Ok(found);
    }
    debian::install(&["mariadb-server-core", "mariadb-client-core"], "MariaDB")?;
    find().context("find mariadbd and mariadb after their installation")
}

fn plugins() -> Result<PathBuf> {
    let systems = Path::new("/").join(PLUGINS);
    if systems.join(PLUGIN).is_file() {
        return Ok(systems);
    }
    let folder = cache::tool("mariadb-plugins-debian", unpack)?.join(PLUGINS);
    if !folder.join(PLUGIN).is_file() {
        bail!("{PLUGIN} is not in {}: set EBBGATE_MARIADB_PLUGINS", folder.display());
    }
    Ok(folder)
}

/// The plugins of the very version that is installed: a server loads no others.
fn unpack(folder: &Path) -> Result<()> {
    if !works("apt-get", "--version") || !works("dpkg-deb", "--version") {
        bail!("MariaDB's {PLUGIN} is missing: set EBBGATE_MARIADB_PLUGINS to its folder");
    }
    let asked = command("dpkg-query")
        .args(["--show", "--showformat=${Version}", "mariadb-server-core"])
        .output()
        .context("ask for MariaDB's version")?;
    let version = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    let package = match version.as_str() {
        "" => "mariadb-server".to_owned(),
        version => format!("mariadb-server={version}"),
    };
    let mut download = command("apt-get");
    download.args(["--quiet", "download", &package]).current_dir(folder);
    download.stdout(std::io::stderr());
    step(&format!("apt-get download {package}"), &mut download)?;
    let mut extract = command("sh");
    extract.args(["-c", "dpkg-deb --extract mariadb-server_*.deb ."]).current_dir(folder);
    step("unpack MariaDB's plugins", &mut extract)
}
