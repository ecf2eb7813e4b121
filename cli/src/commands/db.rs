//! `ebb db`: a database session with a password that is made here, used once and kept nowhere.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use super::{Context, live_grants};
use crate::{
    api::{Client, Credentials, DatabaseLogin, Grant},
    args, clock, describe,
    exit::{Exit, Stop},
    files,
    lock::Lock,
    lookup, mariadb, mysql_verifiers, output, psql, random, scram,
    text::{clock, moment},
};

/// Nobody waits long for an explanation after the session is over.
const EXPLANATION_TIMEOUT: Duration = Duration::from_secs(3);

/// What kind of database, hence which client and which verifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Postgres,
    Mysql,
}

impl Kind {
    fn of(grant: &Grant) -> Result<Self> {
        match grant.kind.as_str() {
            "postgres" => Ok(Self::Postgres),
            "mysql" => Ok(Self::Mysql),
            _ => {
                let message = format!(
                    "{} is neither a PostgreSQL nor a MySQL or MariaDB database",
                    grant.resource
                );
                Err(Stop::new(Exit::USAGE, message).into())
            }
        }
    }

    fn client(self) -> Result<PathBuf> {
        match self {
            Self::Postgres => psql::find(),
            Self::Mysql => mariadb::find(),
        }
    }

    /// Of 256 random bits, or what MariaDB's Ed25519 can take.
    fn password(self) -> Result<Zeroizing<String>> {
        match self {
            Self::Postgres => random::password::<32>(),
            Self::Mysql => random::password::<{ mysql_verifiers::PASSWORD_BYTES }>(),
        }
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }
}

pub(super) async fn run(context: &Context, args: &args::Db) -> Result<Exit> {
    let client = context.client()?;
    let grant = grant(&live_grants(&client).await?, &args.resource)?;
    let kind = Kind::of(&grant)?;
    // Before the password: what can't be used is not to be made.
    let program = if args.print_url { None } else { Some(kind.client()?) };
    let turn = turn(context, &grant)?;
    let password = kind.password()?;
    let login = register(&client, kind, &grant, &password).await?;
    let Some(program) = program else {
        return print_url(kind, &login, &password);
    };
    output::note(&format!(
        "{} ({}), ends {}",
        grant.resource,
        grant.permission,
        moment(login.valid_until, clock::now())
    ));
    let exit = match kind {
        Kind::Postgres => {
            psql::run(&program, &login, &grant.id, password, turn, &args.arguments).await?
        }
        Kind::Mysql => mariadb::run(&program, &login, password, turn, &args.arguments).await?,
    };
    explain_end(&client, &grant.id).await;
    Ok(exit)
}

/// The live grant on that database.
fn grant(live: &[Grant], text: &str) -> Result<Grant> {
    let found = lookup::grants(live, text)?;
    for grant in &found {
        Kind::of(grant)?;
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

/// Has the server take the password's verifier; the password itself stays here.
async fn register(
    client: &Client,
    kind: Kind,
    grant: &Grant,
    password: &str,
) -> Result<DatabaseLogin> {
    let body = match kind {
        Kind::Postgres => {
            let mut salt: scram::Salt = [0; 16];
            random::fill(&mut salt)?;
            json!({ "scram_verifier": scram::verifier(password, &salt) })
        }
        Kind::Mysql => {
            let mut salt: mysql_verifiers::Salt = [0; 20];
            random::fill(&mut salt)?;
            json!({ "mysql_verifiers": mysql_verifiers::Verifiers::of(password, &salt)? })
        }
    };
    match (kind, client.post(&format!("/grants/{}/credentials", grant.id), &body).await?) {
        (Kind::Postgres, Credentials::Postgres(login))
        | (Kind::Mysql, Credentials::Mysql(login)) => Ok(login),
        _ => anyhow::bail!("the broker took {} for a grant of another kind", grant.id),
    }
}

fn print_url(kind: Kind, login: &DatabaseLogin, password: &str) -> Result<Exit> {
    output::print(&url(kind, login, password)?)?;
    output::warn(&format!(
        "this URL holds a password: whoever reads it is you, until {}",
        clock(login.valid_until, clock::now())
    ));
    Ok(Exit::DONE)
}

/// A connection URI on a line (PostgreSQL's documentation, section 'Connection URIs'; MySQL's,
/// section 'Connecting to the Server Using URI-Like Strings').
fn url(kind: Kind, login: &DatabaseLogin, password: &str) -> Result<Zeroizing<String>> {
    let host = match login.host.contains(':') {
        true => format!("[{}]", login.host),
        false => login.host.clone(),
    };
    let mut url = Url::parse(&format!("{}://{host}:{}", kind.scheme(), login.port))
        .with_context(|| format!("cannot write a URL for the host {}", login.host))?;
    url.path_segments_mut()
        .map(|mut path| {
            path.push(&login.database);
        })
        .and_then(|()| url.set_username(&login.user))
        .map_err(|()| anyhow::anyhow!("cannot write a URL for the user {}", login.user))?;
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

    use jiff::Timestamp;

    use super::*;
    use crate::{api::GrantState, exit::exit_of, lookup::tests::grant as some_grant};

    #[rstest]
    #[case(Kind::Postgres, "db.internal", "shop", "postgres://ebb_1:pw@db.internal:5432/shop\n")]
    #[case(Kind::Postgres, "::1", "a b/c", "postgres://ebb_1:pw@[::1]:5432/a%20b%2Fc\n")]
    #[case(Kind::Mysql, "::1", "a b/c", "mysql://ebb_1:pw@[::1]:5432/a%20b%2Fc\n")]
    fn a_url_is_escaped(
        #[case] kind: Kind,
        #[case] host: &str,
        #[case] database: &str,
        #[case] expected: &str,
    ) {
        let login = DatabaseLogin {
            host: host.into(),
            port: 5432,
            database: database.into(),
            user: "ebb_1".into(),
            valid_until: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(*url(kind, &login, "pw").unwrap(), expected);
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
        assert!(error.contains("neither a PostgreSQL"), "{error}");
    }
}
