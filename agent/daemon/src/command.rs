//! The command line.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    check,
    clock::{Clocks as _, SystemClocks},
    enroll, files,
    identity::AgentDir,
    run,
    settings::{BrokerUrl, Settings},
    status,
};

/// Provisions and tears down access beside the resources, whether or not the broker can be reached.
#[derive(Debug, Parser)]
#[command(name = "ebbgate-agent", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Turn a one-time token into this agent's certificate.
    Enroll {
        /// The broker's address, https://HOST:PORT.
        #[arg(long)]
        broker: BrokerUrl,
        /// The token that `ebb admin agents token NAME` made, or - to read it from standard input.
        // A text, so that no error of clap's repeats it.
        #[arg(long, hide_env_values = true)]
        token: String,
        /// Where to keep key, certificate and journal.
        #[arg(long)]
        dir: PathBuf,
        /// Replace the identity of an agent that is enrolled there. Its journal stays.
        #[arg(long)]
        force: bool,
    },
    /// Run until SIGTERM.
    Run {
        /// The settings.
        #[arg(long)]
        config: PathBuf,
    },
    /// Ask each integration whether the agent can do there what it must, and print what is missing
    /// with what cures it. Needs neither the broker nor an enrolment.
    Check {
        /// The settings.
        #[arg(long)]
        config: PathBuf,
    },
    /// Show what the agent holds, from its journal. Needs neither the agent nor the broker to run.
    Status {
        /// The agent's directory.
        #[arg(long)]
        dir: PathBuf,
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Take no new grants from now on, whether or not the agent runs; those it holds go on.
    Drain {
        /// The agent's directory.
        #[arg(long)]
        dir: PathBuf,
        /// Take new grants again.
        #[arg(long)]
        off: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// It could not be done. What could be done and found something wrong is a code other than 0.
    pub(crate) async fn execute(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Enroll { broker, token, dir, force } => {
                let token = enroll::token(&token)?;
                let agent = enroll::enroll(&broker, &token, &dir, force).await?;
                say(&format!("enrolled as {} ({}) in {}\n", agent.name, agent.id, dir.display()))
            }
            Command::Run { config } => run::run(&Settings::load(&config)?).await,
            Command::Check { config } => return check_integrations(&config).await,
            Command::Status { dir, output } => show_status(&dir, output),
            Command::Drain { dir, off } => drain(&AgentDir::new(dir), off),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn check_integrations(config: &Path) -> anyhow::Result<ExitCode> {
    let checked = check::check(&Settings::load(config)?.connectors()?).await;
    say(&checked.text())?;
    Ok(if checked.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show_status(dir: &Path, output: Output) -> anyhow::Result<()> {
    let now = SystemClocks::open().context("cannot read the clocks")?.reading();
    let status = status::status(&AgentDir::new(dir), &now)?;
    say(&match output {
        Output::Table => status.table(dir),
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&status)?),
    })
}

fn drain(dir: &AgentDir, off: bool) -> anyhow::Result<()> {
    // Not to be misled by a mistyped path.
    dir.enrolment()?;
    let marker = dir.draining();
    if off {
        files::remove_if_there(&marker)
            .with_context(|| format!("cannot remove {}", marker.display()))?;
        return say("the agent takes new grants again\n");
    }
    files::replace(&marker, b"", 0o644)?;
    say("the agent takes no new grants until `ebbgate-agent drain --off`; those it holds go on\n")
}

fn say(text: &str) -> anyhow::Result<()> {
    io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}
