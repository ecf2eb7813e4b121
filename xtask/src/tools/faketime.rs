//! libfaketime, which lets a test move one program's clock. Debian's package is unpacked into the
//! cache; that needs no root.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{cache, named_by};
use crate::run::{command, step, works};

/// Where Debian's packages of all releases keep it, below `usr/lib/<triplet>`.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The library that is preloaded.
///
/// # Errors
/// When it can't be downloaded or unpacked.
pub(crate) fn faketime() -> Result<PathBuf> {
    if let Some(named) = named_by("EBBGATE_FAKETIME") {
        return Ok(named);
    }
    if let Some(found) = library(Path::new("/"))? {
        return Ok(found);
    }
    let folder = cache::tool("libfaketime-debian", install)?;
    library(&folder)?.with_context(|| format!("find {LIBRARY} in {}", folder.display()))
}

fn install(folder: &Path) -> Result<()> {
    if !works("apt-get", "--version") || !works("dpkg-deb", "--version") {
        bail!("libfaketime is missing: install it, and set EBBGATE_FAKETIME to its library");
    }
    let mut download = command("apt-get");
    download.args(["--quiet", "download", "libfaketime"]).current_dir(folder);
    download.stdout(std::io::stderr());
    step("apt-get download libfaketime", &mut download)?;
    let mut unpack = command("sh");
    unpack.args(["-c", "dpkg-deb --extract libfaketime_*.deb ."]).current_dir(folder);
    step("unpack libfaketime", &mut unpack)
}

/// The library below `root`, for whatever architecture.
fn library(root: &Path) -> Result<Option<PathBuf>> {
    let lib = root.join("usr/lib");
    if !lib.is_dir() {
        return Ok(None);
    }
    for entry in lib.read_dir().with_context(|| format!("list {}", lib.display()))? {
        let path = entry.with_context(|| format!("list {}", lib.display()))?.path().join(LIBRARY);
        if path.is_file() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
