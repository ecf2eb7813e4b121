//! `cargo xtask`: everything that is done to this repository, by one program that a fresh machine can
//! run. It installs what is missing, or says exactly what to install.

mod bench;
mod demo;
mod lint;
mod run;
mod simulate;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Does what is done to this repository.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Play the story: a database and a bucket, asked for, approved, used and taken away in time
    Demo {
        /// Leave everything running afterwards, with addresses and log-ins, until Ctrl-C
        #[arg(long)]
        keep: bool,
    },
    /// Run all tests: unit, property, conformance, end to end
    Test {
        /// Only tests whose name contains one of these
        filter: Vec<String>,
    },
    /// Check form, lints, dependencies and the house rules
    Lint,
    /// Measure, and print each figure beside what it is compared with
    Bench {
        /// Only measures whose name contains one of these
        filter: Vec<String>,
    },
    /// Run the simulation: --seeds N from --from S, or one --seed S with its trace
    Simulate {
        /// Given to the simulation as they are
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        arguments: Vec<String>,
    },
    /// Lint, then test: what a change must pass
    Ci,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Demo { keep } => demo::run(keep),
        Task::Test { filter } => test::run(&filter),
        Task::Lint => lint::run(),
        Task::Bench { filter } => bench::run(&filter),
        Task::Simulate { arguments } => simulate::run(&arguments),
        Task::Ci => lint_and_test(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn lint_and_test() -> Result<()> {
    lint::run()?;
    test::run(&[])
}
