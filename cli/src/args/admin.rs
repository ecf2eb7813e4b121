//! What administrators and auditors do.

use std::path::PathBuf;

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use ebbgate_domain::{
    duration::AccessDuration,
    report::{Lookback, ReportName},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Read and check the audit log
    #[command(subcommand)]
    Audit(Audit),
    /// Admit, list and take out agents
    #[command(subcommand)]
    Agents(Agents),
    /// See how far each channel is behind, and try again what was set aside
    #[command(subcommand)]
    Channels(Channels),
    /// Show what the last look at each target found that should not be so
    #[command(after_help = "Example:\n  ebb admin drift")]
    Drift,
    /// See what runs now under which grant, and end it
    #[command(subcommand)]
    Sessions(Sessions),
    /// End other people's access
    #[command(subcommand)]
    Grants(AdminGrants),
    /// See, compare and try out access flows
    #[command(subcommand)]
    Flows(Flows),
    /// See what scopes select
    #[command(subcommand)]
    Scopes(Scopes),
    /// See all resources that the broker knows
    #[command(subcommand)]
    Inventory(Inventory),
    /// See what flows and approvers need attention: all reports in a line each, or one of them
    Report(Report),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Reports hold names, counts and times; never what somebody wrote as a reason or a comment.

Example:
  ebb admin report
  ebb admin report unused --since 180d
  ebb admin report rubber-stamps --fast 10s --least 50
  ebb admin report decision-times --output json | jq '.items[].figures'")]
pub(crate) struct Report {
    /// Only this one, with all that it found
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(ReportName::ALL.map(ReportName::as_str)))]
    pub(crate) name: Option<String>,
    /// How far to look back; else 90d
    #[arg(long, value_name = "DURATION")]
    pub(crate) since: Option<Lookback>,
    /// Who approves faster than this at the median does not look; else 30s
    #[arg(long, value_name = "DURATION")]
    pub(crate) fast: Option<AccessDuration>,
    /// A say in so many percent of all decisions is too much; else 50
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) share: Option<u8>,
    /// How many decisions, refusals or approvals a judgement takes; else 10, and 20 for ripe
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) least: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Show the newest records
    Tail(Tail),
    /// Check that no record was changed, removed or inserted; exit code 1 if one was
    #[command(after_help = "Example:\n  ebb admin audit verify")]
    Verify,
}

#[derive(Debug, Args)]
#[command(after_help = "\
With --follow, --output json writes one record a line.

Example:
  ebb admin audit tail --lines 50
  ebb admin audit tail --follow --output json | jq .action")]
pub(crate) struct Tail {
    /// How many
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 20)]
    pub(crate) lines: usize,
    /// All those after this number instead
    #[arg(long, value_name = "SEQ", conflicts_with = "lines")]
    pub(crate) after: Option<u64>,
    /// Go on with new ones as they come
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Agents {
    /// Make a token with which one agent may enrol, once
    Token(AgentToken),
    /// List the agents
    #[command(after_help = "Example:\n  ebb admin agents list")]
    List,
    /// Take an agent out at once: its certificate opens nothing any more
    Revoke(RevokeAgent),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Grants that it held go to other agents of the same integrations, where there are any. To let it back \
in, make a token and enrol it again.

Example:
  ebb admin agents revoke db-eu --comment \"its host was stolen\"")]
pub(crate) struct RevokeAgent {
    /// The agent's name or id
    #[arg(value_name = "NAME")]
    pub(crate) agent: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Channels {
    /// List the channels
    #[command(after_help = "Example:\n  ebb admin channels list")]
    List,
    /// Try again what could not be delivered for a day
    Replay(ReplayChannel),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ebb admin channels replay siem")]
pub(crate) struct ReplayChannel {
    /// The channel's name
    #[arg(value_name = "NAME")]
    pub(crate) channel: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// List the live sessions
    List(ListSessions),
    /// End one session; its grant stays
    End(EndSession),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ebb admin sessions list --integration orders")]
pub(crate) struct ListSessions {
    /// Only those on this integration
    #[arg(long, value_name = "NAME")]
    pub(crate) integration: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ebb admin sessions end grt_0192ab34/4711 --comment \"holds locks\""
)]
pub(crate) struct EndSession {
    /// The session as the list shows it; the beginning of the grant's id will do
    #[arg(value_name = "GRANT/ID")]
    pub(crate) session: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  ebb admin agents token db-eu > token
  ebb admin agents token db-eu --integration orders --integration billing > token
  ebb admin agents token db-eu --valid-for 1h --output json")]
pub(crate) struct AgentToken {
    /// The agent's name, as in `at: agent/NAME` in the broker's settings
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// For how long it can be used; else as long as the broker says
    #[arg(long, value_name = "DURATION")]
    pub(crate) valid_for: Option<AccessDuration>,
    /// The agent may serve this integration; may be repeated. Else all that the settings give it
    #[arg(long = "integration", value_name = "NAME")]
    pub(crate) integrations: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminGrants {
    /// End somebody's grant at once; say why
    Revoke(Revoke),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ebb admin grants revoke grt_0192ab34 --comment \"laptop lost\""
)]
pub(crate) struct Revoke {
    /// The grant's id, or the beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Flows {
    /// List the access flows in force
    List(ListFlows),
    /// Show a flow, scope or permission in force, as it was written
    #[command(after_help = "Example:\n  ebb admin flows show data-shop")]
    Show(ShowFlow),
    /// Tell what files would change of what is in force; changes nothing
    Plan(FlowFiles),
    /// Put files in force in place of all that are, where the broker's settings say `flows: applied`
    Apply(ApplyFlows),
    /// Try files out by the cases in *.test.yaml; needs no broker
    Test(FlowFiles),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ebb admin flows list\n  ebb admin flows list --versions")]
pub(crate) struct ListFlows {
    /// What was applied by whom and when, instead
    #[arg(long)]
    pub(crate) versions: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  ebb admin flows show data-shop
  ebb admin flows show --version 3")]
pub(crate) struct ShowFlow {
    /// Its name; else all files
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// As it was in this version, by its number in `ebb admin flows list --versions`
    #[arg(long, value_name = "NUMBER")]
    pub(crate) version: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The plan is shown first, and nothing is applied if somebody else applied flows since. Files are known \
by their names alone; what is in no file any more is removed. Files that end with .test.yaml are not \
sent.

Example:
  ebb admin flows apply flows/
  ebb admin flows test flows/ && ebb admin flows apply flows/ --yes")]
pub(crate) struct ApplyFlows {
    /// Files, or folders with files
    #[arg(value_name = "PATH", default_value = "flows")]
    pub(crate) paths: Vec<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Every mistake is told with file, line and column. In a folder, files that end with .yaml are read; \
those that end with .test.yaml hold cases.

Example:
  ebb admin flows test flows/
  ebb admin flows plan flows/ && git commit")]
pub(crate) struct FlowFiles {
    /// Files, or folders with files
    #[arg(value_name = "PATH", default_value = "flows")]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Scopes {
    /// List what scopes select now, or what files would add to that or drop from it
    Preview(Preview),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  ebb admin scopes preview rds-prod
  ebb admin scopes preview --file flows/scopes.yaml")]
pub(crate) struct Preview {
    /// Only this scope
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Files or folders with new scopes; may be repeated
    #[arg(long = "file", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Inventory {
    /// List the resources with their tags
    #[command(after_help = "Example:\n  ebb admin inventory list")]
    List,
}
