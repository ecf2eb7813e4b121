//! `ebb db`: a database session with a password that is made here, used once and kept nowhere.

use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use super::{Context, live_grants};
use crate::{
    api::{Client, Credentials, Grant},
    args, clock, describe,
    exit::{Exit, Stop},
    files,
    lock::Lock,
    lookup, output,
    psql::{self, Target},
    random, scram,
    text::{clock, moment},
};

/// Nobody waits long for an explanation after the session is over.
const EXPLANATION_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn run(context: &Context, args: &args::Db) -> Result<Exit> {
    // First: what can't be used is not to be made.
    let psql = if args.print_url { None } else { Some(psql::find()?) };
    let client = context.client()?;
    let grant = grant(&live_grants(&client).await?, &args.resource)?;
    let turn = turn(context, &grant)?;
    let password = random::password()?;
    let access = register(&client, &grant, &password).await?;
    let Some(psql) = psql else {
        return print_url(&access, &password);
    };
    output::note(&format!(
        "{} ({}), ends {}",
        grant.resource,
        grant.permission,
        moment(access.valid_until, clock::now())
    ));
    let target = Target {
        host: &access.host,
        port: access.port,
        database: &access.database,
        user: &access.user,
        grant: &grant.id,
    };
    let exit = psql::run(&psql, &target, password, turn, &args.arguments).await?;
    explain_end(&client, &grant.id).await;
    Ok(exit)
}

/// The live grant on that database.
fn grant(live: &[Grant], text: &str) -> Result<Grant> {
    let found = lookup::grants(live, text)?;
    if let Some(other) = found.iter().find(|grant| grant.kind != "postgres") {
        let message = format!("{} is not a PostgreSQL database", other.resource);
        return Err(Stop::new(Exit::USAGE, message).into());
    }
    let active: Vec<&Grant> =
        found.iter().copied().filter(|grant| lookup::is_active(grant)).collect();
    if let Some(grant) = lookup::longest(&active)? {
        return Ok(grant.clone());
    }
    if let Some(coming) = found.iter().find(|grant| lookup::is_coming(grant)) {
        let trouble =
            coming.last_error.as_deref().map(|error| format!(" ({error})")).unwrap_or_default();
        let message = format!(
            "{} is still being set up{trouble}: try again in a moment, or see `ebb grants show {}`",
            coming.resource, coming.id
        );
        return Err(Stop::new(Exit::ERROR, message).into());
    }
    let message = format!("you have no live grant on {text}: ask with `ebb request {text}`");
    Err(Stop::new(Exit::DENIED, message).into())
}

/// A grant has one password at a time: the next session's is made when this one's has been read,
/// else sessions that begin at once would take each other's away.
fn turn(context: &Context, grant: &Grant) -> Result<Lock> {
    let folder = context.homes.cache();
    files::private_folder(folder)?;
    Lock::take(&folder.join(format!("db-{}.lock", grant.id)), clock::now())
}

/// Where the password is valid, and for how long.
struct Access {
    host: String,
    port: u16,
    database: String,
    user: String,
    valid_until: Timestamp,
}

/// Has the server take the password's verifier; the password itself stays here.
async fn register(client: &Client, grant: &Grant, password: &str) -> Result<Access> {
    let mut salt: scram::Salt = [0; 16];
    random::fill(&mut salt)?;
    let body = json!({ "scram_verifier": scram::verifier(password, &salt) });
    match client.post(&format!("/grants/{}/credentials", grant.id), &body).await? {
        Credentials::Postgres { host, port, database, user, valid_until } => {
            Ok(Access { host, port, database, user, valid_until })
        }
        Credentials::Aws(_) => anyhow::bail!("the broker took {} for a grant on AWS", grant.id),
    }
}

fn print_url(access: &Access, password: &str) -> Result<Exit> {
    output::print(&url(access, password)?)?;
    output::warn(&format!(
        "this URL holds a password: whoever reads it is you, until {}",
        clock(access.valid_until, clock::now())
    ));
    Ok(Exit::DONE)
}

/// A connection URI (PostgreSQL's documentation, section 'Connection URIs') on a line.
fn url(access: &Access, password: &str) -> Result<Zeroizing<String>> {
    let host = match access.host.contains(':') {
        true => format!("[{}]", access.host),
        false => access.host.clone(),
    };
    let mut url = Url::parse(&format!("postgres://{host}:{}", access.port))
        .with_context(|| format!("cannot write a URL for the host {}", access.host))?;
    url.path_segments_mut()
        .map(|mut path| {
            path.push(&access.database);
        })
        .and_then(|()| url.set_username(&access.user))
        .map_err(|()| anyhow::anyhow!("cannot write a URL for the user {}", access.user))?;
    // The rest is put together by hand, since a Url doesn't wipe its memory.
    let (user, place) =
        url.as_str().split_once('@').context("cannot write a URL without a user")?;
    Ok(Zeroizing::new(format!("{user}:{password}@{place}\n")))
}

/// Says why the session is over if it was the access that ended. The session is over either way:
/// no explanation is no error.
async fn explain_end(client: &Client, grant: &str) {
    let path = format!("/grants/{grant}");
    let asked = tokio::time::timeout(EXPLANATION_TIMEOUT, client.get::<Grant>(&path, &[])).await;
    if let Ok(Ok(grant)) = asked
        && let Some(ended) = describe::ended(&grant, clock::now())
    {
        let again = describe::ask_again(&grant);
        output::note(&format!("{ended}; ask again with `{again}`"));
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{api::GrantState, exit::exit_of, lookup::tests::grant as some_grant};

    #[rstest]
    #[case("db.internal", "shop", "postgres://ebb_1:pw@db.internal:5432/shop\n")]
    #[case("::1", "a b/c", "postgres://ebb_1:pw@[::1]:5432/a%20b%2Fc\n")]
    fn a_url_is_escaped(#[case] host: &str, #[case] database: &str, #[case] expected: &str) {
        let access = Access {
            host: host.into(),
            port: 5432,
            database: database.into(),
            user: "ebb_1".into(),
            valid_until: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(*url(&access, "pw").unwrap(), expected);
    }

    #[test]
    fn the_longest_grant_on_the_database_is_used() {
        let live = [
            some_grant(1, "orders/postgres/shop", "select"),
            some_grant(2, "orders/postgres/shop", "select"),
        ];
        assert_eq!(grant(&live, "shop").unwrap().id, live[1].id);
    }

    #[test]
    fn without_a_grant_it_says_how_to_ask() {
        let error = grant(&[], "orders/postgres/shop").unwrap_err();
        assert_eq!(exit_of(&error), Exit::DENIED);
        assert!(error.to_string().ends_with("ask with `ebb request orders/postgres/shop`"));
        let coming =
            Grant { state: GrantState::Planned, ..some_grant(1, "orders/postgres/shop", "select") };
        let error = grant(&[coming], "shop").unwrap_err().to_string();
        assert!(error.contains("still being set up"), "{error}");
        let error =
            grant(&[some_grant(1, "prod/s3/shop", "full")], "shop").unwrap_err().to_string();
        assert!(error.contains("not a PostgreSQL"), "{error}");
    }
}
