//! The command line. Its help texts are the manual: each command says what it is for, and how it
//! is used.

mod admin;
mod explain;
mod life;
mod start;
mod substitutes;

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgGroup, Args, Parser, Subcommand};
use ebbgate_domain::duration::AccessDuration;
use secrecy::SecretString;

use crate::output::Format;

pub(crate) use admin::*;
pub(crate) use explain::*;
pub(crate) use life::*;
pub(crate) use start::Start;
pub(crate) use substitutes::*;

/// Ask for access, get it for a while, use it.
#[derive(Debug, Parser)]
#[command(
    name = "ebb",
    version,
    max_term_width = 100,
    after_help = "\
Example:
  ebb login --broker https://access.example.com --token -
  ebb resources
  ebb request orders/postgres/shop --for 1h --reason \"check the March invoices\"
  ebb db orders/postgres/shop

Exit codes:
  0 done   1 error   2 wrong usage   3 denied   4 waits for approval   5 expired
  6 broker unreachable

Environment:
  EBB_BROKER, EBB_CA_FILE, EBB_TOKEN   instead of what `ebb login` stored
  EBB_HOME                             instead of ebb in the XDG folders
  AWS_CONFIG_FILE                      instead of ~/.aws/config
  NO_COLOR                             no colour on a terminal either"
)]
pub(crate) struct Cli {
    /// In which form results are written to standard output
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log in to a broker with a token
    Login(Login),
    /// Forget the token and all credentials that were got with it
    #[command(after_help = "Example:\n  ebb logout")]
    Logout,
    /// Show who you are to the broker, with your groups and roles
    #[command(after_help = "Example:\n  ebb whoami --output json")]
    Whoami,
    /// List what you may ask for, through which flow and with whose approval
    Resources(Resources),
    /// Tell why you can or cannot get access to a resource, rule by rule
    Explain(Explain),
    /// Ask for access to one or more resources
    Request(Request),
    /// Let access begin that was approved before
    Activate(Activate),
    /// Use a flow for emergencies
    BreakGlass(BreakGlass),
    /// List, show or write reviews of emergencies; lists those you owe if nothing else is said
    #[command(after_help = "Example:\n  ebb reviews\n  ebb reviews write req_0192ab34")]
    Reviews(Reviews),
    /// List, show, cancel or extend requests; lists your open ones if nothing else is said
    #[command(after_help = "Example:\n  ebb requests\n  ebb requests show req_0192ab34")]
    Requests(Requests),
    /// List the requests that wait for your approval
    #[command(after_help = "Example:\n  ebb inbox")]
    Inbox,
    /// Approve somebody's request
    Approve(Approve),
    /// Deny somebody's request; say why
    Deny(Deny),
    /// Say that you are looking at a request, so that others are not asked yet
    #[command(after_help = "Example:\n  ebb claim req_0192ab34")]
    Claim(Id),
    /// Name somebody who decides in your place, list or end that
    Delegate(Delegate),
    /// List or show grants; lists your live ones if nothing else is said
    #[command(after_help = "Example:\n  ebb grants\n  ebb grants show grt_0192ab34")]
    Grants(Grants),
    /// Give access back before it ends
    Release(Release),
    /// Write AWS credentials for a grant, as AWS's credential_process wants them
    Creds(Creds),
    /// Make grants usable for the AWS CLI and SDKs
    #[command(subcommand)]
    Aws(Aws),
    /// Open a database session with a fresh password, in psql, mariadb or mysql
    Db(Db),
    /// What administrators and auditors do
    #[command(subcommand)]
    Admin(Admin),
    /// Write a script that completes commands for a shell
    Completions(Completions),
}

#[derive(Debug, Args)]
#[command(after_help = "\
The token is read from standard input with `--token -`; on a terminal it isn't shown while you type.

Example:
  ebb login --broker https://access.example.com --token - < token.txt
  ebb login --broker https://127.0.0.1:7400 --ca-file /var/lib/ebbgate/ca.pem --token -")]
pub(crate) struct Login {
    /// The broker's address; without it, the one you logged in to before
    #[arg(long, value_name = "URL")]
    pub(crate) broker: Option<String>,
    /// Your token, or - to read it from standard input
    #[arg(long, value_name = "TOKEN|-")]
    pub(crate) token: Option<SecretString>,
    /// A PEM file with certificate authorities to trust beside the system's
    #[arg(long, value_name = "PEM")]
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ebb resources --type postgres --search shop")]
pub(crate) struct Resources {
    /// Only those of this type, such as postgres or s3
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Only those with this text in their id or tags
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
On a terminal it waits until you can use the access or were denied it; in a script it doesn't, \
unless you say --wait. Whom it waits for is told on standard error. Interrupting the wait leaves \
the request.

Example:
  ebb request orders/postgres/shop --permission select --for 1h --reason \"check invoices\"
  ebb request prod/s3/reports --ticket OPS-12 --wait --timeout 10m && aws s3 ls s3://reports")]
pub(crate) struct Request {
    /// Resources by id, such as orders/postgres/shop, or by name where that is unique
    #[arg(required = true, value_name = "RESOURCE")]
    pub(crate) resources: Vec<String>,
    /// Which level of access, where a flow offers more than one
    #[arg(long, value_name = "NAME")]
    pub(crate) permission: Option<String>,
    /// Through which flow, where more than one leads there
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    /// For how long, such as 30m or 1h; else as long as the flow says
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) duration: Option<AccessDuration>,
    /// What you need it for
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// The ticket that it belongs to
    #[arg(long, value_name = "TICKET")]
    pub(crate) ticket: Option<String>,
    /// When access is to begin, such as 2026-11-25T08:00 by this machine's clock; else at once
    #[arg(long, value_name = "TIME")]
    pub(crate) start_at: Option<Start>,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct Waiting {
    /// Wait until access is there or denied, also where no terminal is
    #[arg(long, overrides_with = "no_wait")]
    pub(crate) wait: bool,
    /// Don't wait, not even on a terminal
    #[arg(long, overrides_with = "wait")]
    pub(crate) no_wait: bool,
    /// Wait no longer than this; the request stays
    #[arg(long, value_name = "DURATION")]
    pub(crate) timeout: Option<AccessDuration>,
}

#[derive(Debug, Args)]
pub(crate) struct Requests {
    #[command(subcommand)]
    pub(crate) command: Option<RequestsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RequestsCommand {
    /// List your requests
    #[command(after_help = "Example:\n  ebb requests list --all")]
    List(Listing),
    /// Show one request with its approvals and grants
    #[command(after_help = "Example:\n  ebb requests show req_0192ab34")]
    Show(Id),
    /// Withdraw one of your requests that waits for approval, or whose access has not begun
    #[command(after_help = "Example:\n  ebb requests cancel req_0192ab34")]
    Cancel(Id),
    /// Ask for more time; the same people approve it as before
    #[command(after_help = "Example:\n  ebb requests extend req_0192ab34 --for 30m")]
    Extend(Extend),
}

#[derive(Debug, Default, Args)]
pub(crate) struct Listing {
    /// Also those that are over
    #[arg(long)]
    pub(crate) all: bool,
    /// Not only yours (administrators and auditors)
    #[arg(long)]
    pub(crate) everyone: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Id {
    /// Its id, or the beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ebb approve req_0192ab34 --comment \"until the incident is over\""
)]
pub(crate) struct Approve {
    /// The request's id, or the beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// What the requester and the audit log should know
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ebb deny req_0192ab34 --comment \"the replica is enough for that\""
)]
pub(crate) struct Deny {
    /// The request's id, or the beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: String,
}

#[derive(Debug, Args)]
pub(crate) struct Grants {
    #[command(subcommand)]
    pub(crate) command: Option<GrantsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GrantsCommand {
    /// List your grants
    #[command(after_help = "Example:\n  ebb grants list --all")]
    List(Listing),
    /// Show one grant, after its end with what was found on the target
    #[command(after_help = "Example:\n  ebb grants show grt_0192ab34")]
    Show(Id),
}

#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("which").required(true).args(["grant", "all"])),
    after_help = "Example:\n  ebb release orders/postgres/shop\n  ebb release --all"
)]
pub(crate) struct Release {
    /// The grant by id, by the beginning of it, or by resource
    #[arg(value_name = "ID|RESOURCE")]
    pub(crate) grant: Option<String>,
    /// All your live grants
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("which").required(true).args(["grant", "profile"])),
    after_help = "\
`ebb aws configure` writes profiles that call this; you seldom need to. Credentials are kept for \
as long as they are valid, and one process at a time asks the broker.

Example:
  ebb creds grt_0192ab3456cd7ef08192ab3456cd7ef0
  ebb creds --profile ebb-reports-read-only"
)]
pub(crate) struct Creds {
    /// The grant by id, or by the beginning of it
    #[arg(value_name = "GRANT")]
    pub(crate) grant: Option<String>,
    /// The profile in the AWS settings that names the grant
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Aws {
    /// Write a profile to the AWS settings for each live grant
    Configure(AwsConfigure),
}

#[derive(Debug, Args)]
#[command(after_help = "\
What you wrote in the file yourself stays as it is.

Example:
  ebb aws configure --prune
  AWS_PROFILE=ebb-reports-read-only aws s3 ls s3://reports")]
pub(crate) struct AwsConfigure {
    /// Remove the profiles whose grants have ended
    #[arg(long)]
    pub(crate) prune: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The password is made on this machine and is in no argument, environment or log; only its verifier \
goes to the server. The database's own client (psql; mariadb or mysql) reads it from a file that is \
removed at once: for another connection, run this again. What follows -- goes to the client.

Example:
  ebb db orders/postgres/shop
  ebb db shop -- --csv --command \"select count(*) from invoice\"")]
pub(crate) struct Db {
    /// The database by id, by name where that is unique, or by the grant's id
    #[arg(value_name = "RESOURCE")]
    pub(crate) resource: String,
    /// Write a URL with the password for another program, and start nothing
    #[arg(long, conflicts_with = "arguments")]
    pub(crate) print_url: bool,
    /// Arguments for the database's client
    #[arg(last = true, value_name = "CLIENT ARGUMENTS")]
    pub(crate) arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ebb completions bash > ~/.local/share/bash-completion/completions/ebb"
)]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// The shells that scripts are written for.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_is_for_and_how_it_is_used() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} has no purpose");
            let leads_on = command.has_subcommands();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(leads_on || help.contains("Example:\n"), "{path} has no example");
            command.get_subcommands().for_each(|command| check(command, &path));
        }
        check(&Cli::command(), "");
    }

    #[test]
    fn a_token_is_not_shown_by_debug() {
        let cli = Cli::try_parse_from(["ebb", "login", "--token", "ebu_hush"]).unwrap();
        assert!(!format!("{cli:?}").contains("hush"));
    }
}
