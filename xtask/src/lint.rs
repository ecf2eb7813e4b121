//! `cargo xtask lint`: form, lints, dependencies, house rules.

use anyhow::Result;

use crate::{
    footprint,
    run::{announce, cargo, command, step},
    tidy, tools, units,
};

/// Runs all of them; the first that fails ends it.
///
/// # Errors
/// When one fails.
pub(crate) fn run() -> Result<()> {
    announce("house rules");
    tidy::check()?;
    announce("the agent's dependencies");
    footprint::check_dependencies()?;
    units::check()?;
    step("cargo fmt", cargo().args(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    step("cargo clippy", cargo().args(clippy))?;
    let deny = ["--log-level", "warn", "check", "bans", "licenses", "sources"];
    step("cargo deny", command(tools::cargo_deny()?).args(deny))
}
