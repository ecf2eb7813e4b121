//! What the agent may weigh: it runs beside other people's databases.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::run::cargo;

/// The agent's package.
pub(crate) const AGENT: &str = "ebbgate-agent-daemon";
/// The largest that its program may be, in MiB.
const LARGEST: f64 = 12.0;

/// Cargo that looks at one package and what that one wants, whatever a developer has set for building
/// the whole workspace fast.
pub(crate) fn cargo_for_one_package() -> Command {
    let mut cargo = cargo();
    cargo.env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION");
    cargo
}

/// Fails when an AWS SDK, or a part of one, is among what the agent is built from. AWS-LC, the
/// library for cryptography, is none.
///
/// # Errors
/// When there is one, or cargo can't be asked.
pub(crate) fn check_dependencies() -> Result<()> {
    let tree = cargo_for_one_package()
        .args(["tree", "--package", AGENT, "--edges", "no-dev", "--prefix", "none"])
        .args(["--target", "all", "--format", "{p}"])
        .output()
        .context("ask cargo for the agent's dependencies")?;
    let said = String::from_utf8_lossy(&tree.stderr);
    ensure!(tree.status.success(), "ask cargo for the agent's dependencies: {said}");
    let tree = String::from_utf8(tree.stdout).context("read the agent's dependencies")?;
    let heavy = aws_sdk(&tree);
    ensure!(heavy.is_empty(), "the agent is built from an AWS SDK: {}", heavy.join(", "));
    Ok(())
}

fn aws_sdk(tree: &str) -> Vec<&str> {
    let mut names: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| name.starts_with("aws-") && !name.starts_with("aws-lc-"))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Fails when the agent's program is larger than it may be; says how large it is.
///
/// # Errors
/// When it is, or can't be looked at.
pub(crate) fn check_size(program: &Path) -> Result<()> {
    let size = mebibytes(program)?;
    ensure!(
        size < LARGEST,
        "{} has {size:.2} MiB; an agent stays under {LARGEST} MiB",
        program.display()
    );
    Ok(())
}

/// The size of a file in MiB.
///
/// # Errors
/// When it can't be looked at.
pub(crate) fn mebibytes(file: &Path) -> Result<f64> {
    let about = fs::metadata(file).with_context(|| format!("look at {}", file.display()))?;
    Ok(about.len() as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_an_aws_sdk_and_not_the_library_for_cryptography() {
        let tree = "ebbgate-agent-daemon v0.1.0 (/x)\naws-lc-rs v1.19.0\naws-sdk-sts v1.124.0\n\
                    aws-config v1.13.0\naws-sdk-sts v1.124.0 (*)\n";
        assert_eq!(aws_sdk(tree), ["aws-config", "aws-sdk-sts"]);
        assert!(aws_sdk("aws-lc-sys v0.47.0\nrustls v0.23.46\n").is_empty());
    }
}
