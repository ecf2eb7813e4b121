//! `cargo xtask`: everything that is done to this repository, by one program that a fresh machine can
//! run. It installs what is missing, or says exactly what to install.

mod bench;
mod demo;
mod dist;
mod footprint;
mod lint;
mod namespaces;
mod run;
mod simulate;
mod test;
mod tidy;
mod tools;
mod units;

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
        /// Only the PostgreSQL connector's suite, on each of these major versions (13 to 18)
        #[arg(long, value_delimiter = ',', value_name = "VERSION,…")]
        pg: Vec<u32>,
    },
    /// Build what is shipped, small, and check that the agent is light
    Dist {
        /// For this machine's own C library even where the target with musl is installed
        #[arg(long)]
        host: bool,
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
        Task::Test { filter, pg } if pg.is_empty() => test::run(&filter),
        Task::Test { filter, pg } => test::run_on_postgres(&pg, &filter),
        Task::Dist { host } => dist::run(host),
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
