//! Looking at a request, and substitutes for one's approvals.

use clap::{Args, Subcommand};

use super::{Id, start::Start};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Your substitute decides in your place, never besides you: your approval counts once, whoever gives \
it. A substitute cannot pass it on, and decides on nothing that they have asked for themselves.

Example:
  ebb delegate --to joao@example.com --until 2026-12-27T09:00
  ebb delegate list
  ebb delegate end dlg_0192ab34"
)]
pub(crate) struct Delegate {
    /// Who decides in your place
    #[arg(long, value_name = "USER", required = true)]
    pub(crate) to: Option<String>,
    /// Until when, such as 2026-12-27T09:00; at most 92 days
    #[arg(long, value_name = "TIME", required = true)]
    pub(crate) until: Option<Start>,
    /// From when; else from now on
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Start>,
    #[command(subcommand)]
    pub(crate) command: Option<DelegateCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DelegateCommand {
    /// List those from or to you that are not over
    #[command(after_help = "Example:\n  ebb delegate list --everyone")]
    List(DelegationListing),
    /// End one before its time
    #[command(after_help = "Example:\n  ebb delegate end dlg_0192ab34")]
    End(Id),
}

#[derive(Debug, Args)]
pub(crate) struct DelegationListing {
    /// Everybody's (administrators and auditors)
    #[arg(long)]
    pub(crate) everyone: bool,
}
