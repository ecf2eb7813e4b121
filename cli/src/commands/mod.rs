//! What each command does. They take parsed arguments, speak to the broker through the client and
//! to the person through the output.

mod admin;
mod aws_configure;
mod channels;
mod completions;
mod creds;
mod db;
mod delegate;
mod explain;
mod fleet;
mod flows;
mod flows_apply;
mod grants;
mod life;
mod login;
mod reports;
mod request;
mod requests;
mod resources;
mod review;
mod reviews;
mod sessions;

use anyhow::{Context as _, Result};

use crate::{
    api::{ApiError, Client, Grant},
    args::{Aws, Cli, Command},
    config::{Homes, Login},
    exit::Exit,
    output::Output,
};

/// What every command needs.
pub(crate) struct Context {
    homes: Homes,
    output: Output,
}

impl Context {
    fn client(&self) -> Result<Client> {
        Client::new(&Login::load(&self.homes)?)
    }
}

/// Runs a command to its end.
///
/// # Errors
/// Whatever kept it from its end.
pub(crate) fn run(cli: Cli) -> Result<Exit> {
    let context = Context { homes: Homes::find()?, output: Output { format: cli.output } };
    match cli.command {
        // These two need no runtime, or none for what they have at hand.
        Command::Creds(args) => creds::run(&context, &args),
        Command::Completions(args) => completions::run(args.shell),
        command => runtime()?.block_on(dispatch(&context, command)),
    }
}

async fn dispatch(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::Login(args) => login::login(context, args).await,
        Command::Logout => login::logout(context),
        Command::Whoami => login::whoami(context).await,
        Command::Resources(args) => resources::run(context, &args).await,
        Command::Explain(args) => explain::run(context, &args).await,
        Command::Request(args) => request::run(context, args).await,
        Command::Requests(args) => requests::run(context, args.command).await,
        Command::Activate(args) => life::activate(context, &args).await,
        Command::BreakGlass(args) => life::break_glass(context, args).await,
        Command::Reviews(args) => reviews::run(context, args.command).await,
        Command::Inbox => review::inbox(context).await,
        Command::Approve(args) => review::approve(context, &args).await,
        Command::Deny(args) => review::deny(context, &args).await,
        Command::Claim(named) => delegate::claim(context, &named.id).await,
        Command::Delegate(args) => delegate::run(context, args).await,
        Command::Grants(args) => grants::run(context, args.command).await,
        Command::Release(args) => grants::release(context, args.grant.as_deref()).await,
        Command::Aws(Aws::Configure(args)) => aws_configure::run(context, &args).await,
        Command::Db(args) => db::run(context, &args).await,
        Command::Admin(command) => admin::run(context, command).await,
        Command::Creds(args) => creds::run(context, &args),
        Command::Completions(args) => completions::run(args.shell),
    }
}

/// One thread is enough for one person's calls, and starts fastest.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")
}

/// The person's live grants.
async fn live_grants(client: &Client) -> Result<Vec<Grant>, ApiError> {
    client.list("/grants", &[("state", "live")]).await
}
