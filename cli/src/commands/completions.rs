//! `ebb completions`: a script for the shell.

use anyhow::Result;
use clap::CommandFactory as _;

use crate::{
    args::{Cli, Shell},
    exit::Exit,
    output,
};

pub(super) fn run(shell: Shell) -> Result<Exit> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ebb", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::DONE)
}
