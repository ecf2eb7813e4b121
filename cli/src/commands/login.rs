//! `ebb login`, `logout`, `whoami`: a token is stored only after the broker has taken it.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::Context;
use crate::{
    api::{Client, WhoAmI},
    args,
    broker_url::InvalidBroker,
    config::{self, Login, Settings},
    exit::{Exit, Stop},
    output::{self, Sheet},
};

pub(super) async fn login(context: &Context, args: args::Login) -> Result<Exit> {
    let stored = Settings::load(&context.homes)?;
    let given = args.broker.map(|text| text.parse()).transpose();
    let given = given.map_err(|error: InvalidBroker| Stop::new(Exit::USAGE, error.to_string()))?;
    let broker = match given {
        Some(broker) => Some(broker),
        None => config::broker_variable()?,
    };
    // Another broker has another CA, as a rule.
    let same = broker.is_none() || broker == stored.broker;
    let broker = broker.or(stored.broker).ok_or_else(|| {
        Stop::new(Exit::USAGE, "which broker? say `ebb login --broker https://access.example.com`")
    })?;
    let ca_file = match args.ca_file {
        Some(path) => Some(path),
        None => config::variable("EBB_CA_FILE")?.map(PathBuf::from),
    };
    let ca_file = match ca_file {
        Some(path) => Some(
            std::path::absolute(&path)
                .with_context(|| format!("cannot tell the whole path of {}", path.display()))?,
        ),
        None => stored.ca_file.filter(|_| same),
    };
    let login = Login { broker, ca_file, token: token(args.token.as_ref())? };
    let me: WhoAmI = Client::new(&login)?.get("/whoami", &[]).await?;
    login.store(&context.homes)?;
    output::note(&format!("logged in to {} as {} <{}>", login.broker, me.name, me.id));
    for name in ["EBB_BROKER", "EBB_TOKEN"] {
        if config::variable(name)?.is_some() {
            output::warn(&format!("{name} is set and comes before what was stored now"));
        }
    }
    Ok(Exit::DONE)
}

pub(super) fn logout(context: &Context) -> Result<Exit> {
    let was_there = config::forget(&context.homes)?;
    output::note(if was_there { "logged out" } else { "you were not logged in" });
    if config::variable("EBB_TOKEN")?.is_some() {
        output::warn("EBB_TOKEN is still set: unset it too");
    }
    Ok(Exit::DONE)
}

pub(super) async fn whoami(context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let me: WhoAmI = client.get("/whoami", &[]).await?;
    context.output.show(&me, |me| {
        Sheet::fields()
            .field("id", &me.id)
            .field("name", &me.name)
            .field("groups", me.groups.join(", "))
            .field("roles", me.roles.join(", "))
            .field("broker", client.broker().as_str())
    })?;
    Ok(Exit::DONE)
}

/// The token from the argument, from standard input or from `EBB_TOKEN`.
fn token(given: Option<&SecretString>) -> Result<SecretString> {
    match given.map(ExposeSecret::expose_secret) {
        Some("-") => typed_token(),
        Some(token) => {
            output::warn(
                "a token among the arguments is seen by other users and kept in your shell's \
                 history: use `--token -` next time",
            );
            config::read_token(token)
        }
        None => match config::variable("EBB_TOKEN")?.map(Zeroizing::new) {
            Some(token) => config::read_token(&token),
            None if io::stdin().is_terminal() => typed_token(),
            None => {
                let message =
                    "no token: say `--token -` and give it on standard input, or set EBB_TOKEN";
                Err(Stop::new(Exit::USAGE, message).into())
            }
        },
    }
}

fn typed_token() -> Result<SecretString> {
    let stdin = io::stdin();
    let silence = if stdin.is_terminal() {
        output::note("your token (it isn't shown):");
        Some(Silence::begin().context("cannot turn off the terminal's echo")?)
    } else {
        None
    };
    let mut line = Zeroizing::new(String::with_capacity(4096));
    stdin.lock().read_line(&mut line).context("cannot read the token from standard input")?;
    drop(silence);
    config::read_token(&line)
}

/// While it lives, the terminal doesn't show what is typed.
struct Silence(Termios);

impl Silence {
    fn begin() -> nix::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0) {
            output::warn(&format!(
                "cannot turn the terminal's echo on again ({error}): run `stty echo`"
            ));
        }
    }
}
