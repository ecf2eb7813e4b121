//! `ebbgate-simulate`: runs seeds; a failing one prints its trace and how to run it again.

#![expect(clippy::print_stdout, reason = "its output is its result")]

use std::process::ExitCode;

use clap::Parser;
use ebbgate_simulation::run::{Report, run, run_all};
use parking_lot::Mutex;

/// Runs the simulation.
#[derive(Debug, Parser)]
struct Cli {
    /// How many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this one, with its trace
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Go on after one that fails, and list all
    #[arg(long, conflicts_with = "seed")]
    all: bool,
}

#[derive(Default)]
struct Sum {
    runs: u64,
    steps: u64,
    counts: std::collections::BTreeMap<&'static str, u64>,
    failed: Option<Report>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(seed) = cli.seed {
        let report = run(seed, None);
        print(&report);
        return code(report.violation.is_none());
    }
    let sum = Mutex::new(Sum::default());
    run_all(cli.from, cli.seeds, None, &|report| {
        let mut sum = sum.lock();
        sum.runs += 1;
        sum.steps += report.steps;
        for (what, count) in report.trace.counts() {
            *sum.counts.entry(what).or_default() += count;
        }
        if report.violation.is_some() {
            if cli.all {
                println!("{}", verdict(&report));
            }
            sum.failed.get_or_insert(report);
        }
        cli.all || sum.failed.is_none()
    });
    let sum = sum.into_inner();
    for (what, count) in &sum.counts {
        println!("{count:>9} {what}");
    }
    println!("{:>9} runs, {} steps", sum.runs, sum.steps);
    if let Some(report) = sum.failed.as_ref().filter(|_| !cli.all) {
        print(report);
    }
    code(sum.failed.is_none())
}

fn code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(report: &Report) {
    for line in report.trace.lines() {
        println!("{line}");
    }
    let Report { seed, steps, lasted, .. } = report;
    println!("seed {seed}: {steps} steps, {} s of simulated time", lasted / 1_000);
    if report.violation.is_some() {
        println!("{}", verdict(report));
        println!("again: cargo xtask simulate --seed {seed}");
    }
}

fn verdict(report: &Report) -> String {
    let violation = report.violation.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("seed {} does not hold {violation}", report.seed)
}
