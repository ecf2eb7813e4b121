//! Letting access begin, more time, emergencies and their reviews.

use clap::{Args, Subcommand};
use ebbgate_domain::duration::AccessDuration;

use super::{Id, Waiting};

#[derive(Debug, Args)]
#[command(after_help = "\
Some flows let access begin only when you say so, so that an approval overnight burns none of the \
time. Until when you may is told by `ebb requests show`.

Example:
  ebb activate req_0192ab34 --wait")]
pub(crate) struct Activate {
    /// The request's id, or the beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct Extend {
    /// The request's id, or the beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// How much more time, such as 30m
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) duration: AccessDuration,
    /// Why it takes longer
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
For emergencies. Everybody on the flow's list is told at once, everything is recorded, and you owe a \
written review afterwards: see `ebb reviews`. Without a resource, you get all that the flow offers.

Example:
  ebb break-glass breakglass-prod orders/postgres/shop --reason \"the shop is down\"")]
pub(crate) struct BreakGlass {
    /// The flow for emergencies
    #[arg(value_name = "FLOW")]
    pub(crate) flow: String,
    /// Resources by id, or by name where that is unique
    #[arg(value_name = "RESOURCE")]
    pub(crate) resources: Vec<String>,
    /// Which level of access, where the flow offers more than one
    #[arg(long, value_name = "NAME")]
    pub(crate) permission: Option<String>,
    /// For how long, such as 30m; else as long as the flow says
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) duration: Option<AccessDuration>,
    /// What has happened
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// The ticket that it belongs to
    #[arg(long, value_name = "TICKET")]
    pub(crate) ticket: Option<String>,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct Reviews {
    #[command(subcommand)]
    pub(crate) command: Option<ReviewsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReviewsCommand {
    /// List the emergencies that you owe a review of
    #[command(after_help = "Example:\n  ebb reviews list --all --everyone")]
    List(ReviewListing),
    /// Show an emergency with its grants and all that was recorded of it
    #[command(after_help = "Example:\n  ebb reviews show req_0192ab34")]
    Show(Id),
    /// Write the review of an emergency
    #[command(after_help = "\
The text is read from standard input where none is given.

Example:
  ebb reviews write req_0192ab34 --text \"the disk of the primary was full; OPS-17 makes it grow\"
  ebb reviews write req_0192ab34 < review.txt")]
    Write(WriteReview),
}

#[derive(Debug, Default, Args)]
pub(crate) struct ReviewListing {
    /// Also those whose review is written
    #[arg(long)]
    pub(crate) all: bool,
    /// Not only yours (administrators and auditors)
    #[arg(long)]
    pub(crate) everyone: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WriteReview {
    /// The request's id, or the beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// What happened, and what was done
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
}
