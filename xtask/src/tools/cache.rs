//! Installs a tool once, whole or not at all, however many ask for it at the same time.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::run::{announce, workspace};

/// Written last: without it, what is there is the rest of an interrupted installation. A virtual
/// environment can't be built aside and renamed, since its scripts hold its path.
const COMPLETE: &str = ".complete";

/// The folder of a tool, filled by `install` where that was not done yet. `name` contains the
/// version, so that another version is another folder.
///
/// # Errors
/// When it can't be installed.
pub(super) fn tool(name: &str, install: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = match env::var_os("EBBGATE_CACHE") {
        Some(set) => workspace().join(set),
        None => workspace().join(".cache"),
    };
    let folder = cache.join("tools").join(name);
    let complete = folder.join(COMPLETE);
    if complete.exists() {
        return Ok(folder);
    }
    fs::create_dir_all(cache.join("tools"))
        .with_context(|| format!("make the cache folder {}", cache.display()))?;
    let lock = cache.join("tools").join(format!("{name}.lock"));
    let lock = File::create(&lock).with_context(|| format!("make {}", lock.display()))?;
    lock.lock().with_context(|| format!("wait for somebody else who installs {name}"))?;
    if complete.exists() {
        return Ok(folder);
    }
    announce(&format!("installing {name} into {}", folder.display()));
    if folder.exists() {
        fs::remove_dir_all(&folder).context("clear away an interrupted installation")?;
    }
    fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
    install(&folder).with_context(|| format!("install {name}"))?;
    File::create(&complete).with_context(|| format!("finish the installation of {name}"))?;
    Ok(folder)
}
