//! `cargo xtask demo`: builds the programs and has them play the story.

use anyhow::Result;

use crate::{
    run::{cargo, ours, step},
    tools,
};

/// Builds and plays; with `keep`, leaves everything running until Ctrl-C.
///
/// # Errors
/// When something can't be installed or built, or a step of the story fails.
pub(crate) fn run(keep: bool) -> Result<()> {
    let postgres = tools::postgres()?;
    let aws_cli = tools::aws_cli()?;
    step("build", cargo().args(["build", "--workspace", "--bins"]))?;
    let mut demo = ours("debug", "ebbgate-demo");
    demo.env("EBBGATE_PG_BIN", postgres).env("EBBGATE_AWS_CLI", aws_cli);
    if keep {
        demo.arg("--keep");
    }
    step("demo", &mut demo)
}
