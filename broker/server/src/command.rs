//! The program's commands.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use ebbgate_broker_identity::{TOKEN_PREFIX, TokenHash};
use ebbgate_broker_ports::verify_audit;
use ebbgate_domain::{Timestamp, audit::AuditEvent};

use crate::{config, http, run, system::random_hex};

/// Ebbgate's broker: just-in-time access that ends on time.
#[derive(Debug, Parser)]
#[command(name = "ebbgate-broker", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct File {
    /// The settings file.
    #[arg(long, value_name = "FILE", default_value = "/etc/ebbgate/ebbgate.yaml")]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the broker. SIGTERM stops it, SIGHUP reads people, flows and certificates again.
    Run(File),
    /// Reads all settings and tells every mistake with file, line and column.
    Check(File),
    /// Brings the store's tables up to date.
    Migrate(File),
    /// Names the records of the store that bear no seal of this broker's key.
    Seal {
        #[command(flatten)]
        file: File,
        /// Seals them: you vouch for what is in the store now. Stop all its brokers before.
        #[arg(long)]
        accept: bool,
    },
    /// Checks the audit log, or copies it out.
    #[command(subcommand)]
    Audit(Audit),
    /// Prints the API's description (OpenAPI 3.1).
    Openapi,
    /// Makes an API token for a person, and the hash of it for the users file.
    Token,
}

#[derive(Debug, Subcommand)]
enum Audit {
    /// Walks the hash chain and names the first broken record.
    Verify(File),
    /// Prints records, one JSON document a line.
    Export {
        #[command(flatten)]
        file: File,
        /// Only records from this moment on, such as 2026-01-31T00:00:00Z.
        #[arg(long, value_name = "TIME")]
        from: Option<Timestamp>,
        /// The form of the records.
        #[arg(long, value_enum, default_value = "jsonl")]
        format: Format,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Jsonl,
}

/// How many records are read at once.
const PAGE: u32 = 1_000;

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// Anything that keeps it from being done.
    pub(crate) async fn execute(self) -> Result<ExitCode> {
        match self.command {
            Command::Run(file) => run::run(&file.config).await?,
            Command::Check(file) => {
                for warning in config::load(&file.config)?.warnings {
                    writeln!(io::stderr().lock(), "{warning}")?;
                }
                say("the settings are good")?;
            }
            Command::Migrate(file) => {
                run::open_store(&config::load(&file.config)?.settings).await?;
                say("the store is up to date")?;
            }
            Command::Seal { file, accept } => return seal(&file, accept).await,
            Command::Audit(Audit::Verify(file)) => return verify(&file).await,
            Command::Audit(Audit::Export { file, from, format: Format::Jsonl }) => {
                export(&file, from).await?;
            }
            Command::Openapi => say(&serde_json::to_string_pretty(&http::document())?)?,
            Command::Token => {
                let token = format!("{TOKEN_PREFIX}{}", random_hex().context("no randomness")?);
                say(&format!("token, for the person: {token}"))?;
                say(&format!("hash, for the users file: {}", TokenHash::of(&token)))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn seal(file: &File, accept: bool) -> Result<ExitCode> {
    let found = run::seal_store(&config::load(&file.config)?.settings, accept).await?;
    for (table, id) in &found {
        say(&format!("{} {id}", table.name()))?;
    }
    let (count, done) = (found.len(), if accept { "sealed now" } else { "not sealed" });
    say(&format!("{count} records {done}"))?;
    Ok(if accept || found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn verify(file: &File) -> Result<ExitCode> {
    let store = run::open_store(&config::load(&file.config)?.settings).await?;
    match verify_audit(store.as_ref()).await? {
        Ok(walk) => {
            say(&format!(
                "the audit log is intact: {} records, head {}",
                walk.records(),
                walk.head()
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(broken) => {
            say(&broken.to_string())?;
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn export(file: &File, from: Option<Timestamp>) -> Result<()> {
    let store = run::open_store(&config::load(&file.config)?.settings).await?;
    let mut after = 0;
    loop {
        let page = store.audit(after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = last.seq;
        for record in page {
            // A record that is broken is exported all the same: the export is evidence.
            let event = serde_json::from_str::<AuditEvent>(&record.body).ok();
            if from.is_some_and(|from| event.as_ref().is_some_and(|event| event.at < from)) {
                continue;
            }
            let body: serde_json::Value = serde_json::from_str(&record.body)
                .unwrap_or_else(|_| serde_json::Value::String(record.body.clone()));
            let line = serde_json::json!({
                "seq": record.seq, "prev_hash": record.prev_hash, "hash": record.hash, "event": body,
            });
            say(&line.to_string())?;
        }
    }
}

fn say(line: &str) -> Result<()> {
    match writeln!(io::stdout().lock(), "{line}") {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
