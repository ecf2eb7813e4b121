//! Measures, on this machine and in this run, what the product costs over doing the same bare: both
//! sides in turn, block by block, so that a busy neighbour hits both. Absolute times mean little;
//! the ratios are the result.

mod creds;
mod grant;
mod memory;
mod stats;
mod teardown;

use std::process::ExitCode;

use anyhow::Result;
use ebbgate_tests::World;

/// A figure and what it is held against.
pub(crate) struct Figure {
    /// What was measured.
    what: String,
    /// What came out.
    result: String,
    /// What it should be.
    goal: &'static str,
}

/// Given this argument the program ends at once: the bare Rust process that `ebb creds` is
/// compared with.
const NOTHING: &str = "--nothing";

fn main() -> ExitCode {
    let filter: Vec<String> = std::env::args().skip(1).collect();
    if filter.iter().any(|argument| argument == NOTHING) {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let measured =
        runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(measure(&filter)));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(filter: &[String]) -> Result<()> {
    let wanted = |name: &str| filter.is_empty() || filter.iter().any(|part| name.contains(part));
    if cfg!(debug_assertions) {
        eprintln!("bench: a debug build: `cargo xtask bench` measures a release build");
    }
    let mut world = World::builder().aws().start().await?;
    let mut figures = Vec::new();
    if wanted("memory") {
        figures.extend(memory::measure(&world).await?);
    }
    if wanted("grant") {
        figures.extend(grant::measure(&world).await?);
    }
    if wanted("creds") {
        figures.extend(creds::measure(&world).await?);
    }
    if wanted("teardown") {
        figures.extend(teardown::measure(&world).await?);
    }
    world.keep_logs_to_itself();
    report(&figures);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn report(figures: &[Figure]) {
    println!("{:<44} {:<64} goal", "what", "result");
    for Figure { what, result, goal } in figures {
        println!("{what:<44} {result:<64} {goal}");
    }
    match stats::cpu_pressure() {
        Some(percent) => {
            let noisy = if percent > 20.0 { ": NOISY, measure again" } else { "" };
            println!("\n/proc/pressure/cpu: some avg60 {percent:.0} %{noisy}");
        }
        None => println!("\n/proc/pressure/cpu: not told by this kernel"),
    }
}
