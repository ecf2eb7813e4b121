//! Python and its virtual environments.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{debian, on_path};
use crate::run::{command, step};

/// A version, as (3, 11).
type Version = (u32, u32);

/// Makes a virtual environment in `folder` and installs `requirements` into it.
///
/// # Errors
/// When there is no Python that `fits`, or pip doesn't succeed.
pub(super) fn environment(
    folder: &Path,
    fits: impl Fn(Version) -> bool,
    wanted: &str,
    requirements: &[&str],
) -> Result<()> {
    let python = find(&fits).map_or_else(
        || {
            debian::install(&["python3", "python3-venv"], wanted)?;
            find(&fits).with_context(|| format!("find {wanted} with its module venv"))
        },
        Ok,
    )?;
    step(
        &format!("a virtual environment of {}", python.display()),
        command(&python).args(["-m", "venv"]).arg(folder),
    )?;
    let mut pip = command(folder.join("bin/python"));
    pip.args(["-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check", "install"]);
    pip.args(requirements).stdin(std::process::Stdio::null());
    step(&format!("pip install {}", requirements.join(" ")), &mut pip)
}

fn find(fits: &impl Fn(Version) -> bool) -> Option<PathBuf> {
    let names = ["python3", "python3.11", "python3.12", "python3.13"];
    let debians = PathBuf::from("/usr/bin/python3");
    let found = names.iter().filter_map(|name| on_path(name)).chain([debians]);
    found.into_iter().find(|python| version(python).is_some_and(fits))
}

/// Its version, if it can make virtual environments.
fn version(python: &Path) -> Option<Version> {
    let ask = "import ensurepip, sys, venv; print(*sys.version_info[:2])";
    let output = command(python).args(["-c", ask]).output().ok()?;
    let said = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    let (major, minor) = said.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
