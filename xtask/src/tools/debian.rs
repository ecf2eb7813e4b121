//! Debian's packages: installed when we are root, else named.

use std::sync::OnceLock;

use anyhow::{Result, bail};

use crate::run::{command, step, works};

/// Whether packages could be installed.
///
/// # Errors
/// When we may not: the message says what to install.
pub(super) fn can_install(packages: &[&str], what_for: &str) -> Result<()> {
    let wanted = packages.join(" ");
    if !works("apt-get", "--version") {
        bail!("{what_for} is missing: install it (on Debian: apt-get install {wanted})");
    }
    if !is_root() {
        bail!("{what_for} is missing: run `sudo apt-get install {wanted}`, then try again");
    }
    Ok(())
}

/// Installs packages.
///
/// # Errors
/// When we may not, or apt doesn't succeed: the message says what to install.
pub(super) fn install(packages: &[&str], what_for: &str) -> Result<()> {
    can_install(packages, what_for)?;
    let wanted = packages.join(" ");
    static UPDATED: OnceLock<bool> = OnceLock::new();
    UPDATED.get_or_init(|| step("apt-get update", apt().args(["--quiet", "update"])).is_ok());
    step(
        &format!("apt-get install {wanted}"),
        apt().args(["--quiet", "--yes", "--no-install-recommends", "install"]).args(packages),
    )
}

fn apt() -> std::process::Command {
    let mut apt = command("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").stdin(std::process::Stdio::null());
    // Its chatter is no result of ours.
    apt.stdout(std::io::stderr());
    apt
}

fn is_root() -> bool {
    let id = command("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}
