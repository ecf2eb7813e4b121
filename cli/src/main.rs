//! `ebb`, the person's tool of Ebbgate: asks for access, waits for it, uses it, gives it back.
//!
//! It speaks the broker's public HTTP API and nothing else.

mod api;
mod args;
mod aws_config;
mod broker_url;
mod clock;
mod commands;
mod config;
mod creds_cache;
mod db_client;
mod describe;
mod exit;
mod files;
mod lock;
mod lookup;
mod mariadb;
mod mysql_verifiers;
mod output;
mod passfile;
mod psql;
mod random;
mod scram;
mod text;

use std::process::ExitCode;

use clap::Parser as _;

use crate::exit::{Exit, exit_of, one_line};

fn main() -> ExitCode {
    // Fails only where one was installed before, and nothing runs before this.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed stream leaves nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::USAGE } else { Exit::DONE }.into();
        }
    };
    match commands::run(cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = exit_of(&error);
            if exit != Exit::DONE {
                output::error(&one_line(&error));
            }
            exit.into()
        }
    }
}
