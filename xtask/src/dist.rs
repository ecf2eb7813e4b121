//! `cargo xtask dist`: the programs as they are shipped, by the profile `dist`: small, in one piece,
//! and static where the target with musl is installed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{
    footprint,
    run::{announce, command, step, target_dir, works},
};

/// Each program and its package. The agent comes first: it is the one that may be too heavy.
const PROGRAMS: [(&str, &str); 3] = [
    ("ebbgate-agent", footprint::AGENT),
    ("ebbgate-broker", "ebbgate-broker-server"),
    ("ebb", "ebbgate-cli"),
];
/// Static, so that it runs on every Linux.
const STATIC: &str = "x86_64-unknown-linux-musl";

/// Builds them, tells where they are and how large, and checks the agent.
///
/// # Errors
/// When one can't be built, or the agent is too heavy.
pub(crate) fn run(host: bool) -> Result<()> {
    footprint::check_dependencies()?;
    let target = if host { None } else { static_target()? };
    let mut folder = target_dir();
    folder.extend(target);
    let folder = folder.join("dist");
    for (program, package) in PROGRAMS {
        // Each by itself: together, each would be built with what the others want of a library.
        let mut build = footprint::cargo_for_one_package();
        build.args(["build", "--profile", "dist", "--package", package]);
        build.args(target.iter().flat_map(|target| ["--target", target]));
        // Whole programs are optimised at once; what is kept for the next build is in the way.
        build.env("CARGO_INCREMENTAL", "0");
        step(&format!("build {program}"), &mut build)?;
        tell(&folder.join(program))?;
        if package == footprint::AGENT {
            footprint::check_size(&folder.join(program))?;
        }
    }
    Ok(())
}

fn tell(program: &Path) -> Result<()> {
    eprintln!("    {}: {:.2} MiB", program.display(), footprint::mebibytes(program)?);
    Ok(())
}

/// The target with musl, where it is installed.
fn static_target() -> Result<Option<&'static str>> {
    let asked = command("rustc").args(["--print", "sysroot"]).output().context("ask rustc")?;
    let sysroot = String::from_utf8(asked.stdout).context("read rustc's folder")?;
    let installed = PathBuf::from(sysroot.trim()).join("lib/rustlib").join(STATIC).join("lib");
    if !installed.is_dir() {
        announce(&format!(
            "{STATIC} is not installed (rustup target add {STATIC}): building for this machine's \
             own C library, so that the programs run where it is as new or newer"
        ));
        return Ok(None);
    }
    if !works("musl-gcc", "--version") && std::env::var_os("CC_x86_64_unknown_linux_musl").is_none()
    {
        bail!(
            "{STATIC} is installed but no C compiler for it: install musl-gcc (on Debian: apt-get \
             install musl-tools), or build with --host"
        );
    }
    Ok(Some(STATIC))
}
