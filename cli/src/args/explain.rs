//! `ebb explain`.

use clap::Args;
use ebbgate_domain::duration::AccessDuration;

#[derive(Debug, Args)]
#[command(after_help = "\
Every flow that leads to the resource or admits you is told with its rules and with what was found. \
For somebody else, or for everybody, you must be an administrator or auditor.

The exit code is 0 where a way is open and 3 where none is.

Example:
  ebb explain orders/postgres/shop --permission full
  ebb explain orders/postgres/shop --user ana@example.com --for 2h
  ebb explain orders/postgres/shop --everyone")]
pub(crate) struct Explain {
    /// The resource by id, or by name where that is unique
    #[arg(value_name = "RESOURCE")]
    pub(crate) resource: String,
    /// Which level of access
    #[arg(long, value_name = "NAME")]
    pub(crate) permission: Option<String>,
    /// For how long
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "everyone")]
    pub(crate) duration: Option<AccessDuration>,
    /// Somebody else than you
    #[arg(long, value_name = "WHO", conflicts_with = "everyone")]
    pub(crate) user: Option<String>,
    /// Who can reach the resource, through which flow, with whose approval
    #[arg(long)]
    pub(crate) everyone: bool,
}
