//! `cargo xtask bench`: builds for speed and measures.

use anyhow::Result;

use crate::{
    run::{cargo, ours, step},
    tools,
};

/// Measures what `filter` names; everything where it is empty.
///
/// # Errors
/// When something can't be installed, built or measured.
pub(crate) fn run(filter: &[String]) -> Result<()> {
    let postgres = tools::postgres()?;
    let aws_cli = tools::aws_cli()?;
    step("build", cargo().args(["build", "--release", "--workspace", "--bins"]))?;
    let mut bench = ours("release", "ebbgate-bench");
    bench.env("EBBGATE_PG_BIN", postgres).env("EBBGATE_AWS_CLI", aws_cli).args(filter);
    step("bench", &mut bench)?;
    if filter.is_empty() || filter.iter().any(|part| "evaluate".contains(part.as_str())) {
        step("evaluate", cargo().args(["bench", "-p", "ebbgate-domain", "--bench", "evaluate"]))?;
    }
    Ok(())
}
