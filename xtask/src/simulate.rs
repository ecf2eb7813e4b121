//! `cargo xtask simulate`: runs more seeds of the simulation than a change must pass.

use anyhow::Result;

use crate::run::{cargo, ours, step};

/// Builds the simulation for speed and runs it with these arguments.
///
/// # Errors
/// When it can't be built, or an invariant does not hold: it prints how to run that seed again.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let build = ["build", "--release", "--package", "ebbgate-simulation", "--bins"];
    step("build", cargo().args(build))?;
    step("simulation", ours("release", "ebbgate-simulate").args(arguments))
}
