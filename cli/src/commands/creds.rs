//! `ebb creds`: the document that AWS's `credential_process` wants, and nothing else on stdout.
//!
//! What is kept is served without touching the network or starting a runtime; SDKs call this often.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Context, aws_configure, grants, live_grants, runtime};
use crate::{
    api::{ApiError, Client, Credentials, EndReason, Grant},
    args, aws_config, clock,
    config::Login,
    creds_cache::{Entry, Slot},
    describe,
    exit::{Exit, Stop},
    files, lookup, output,
};

/// Which grant is wanted.
struct Wanted {
    grant: String,
    /// Whether a newer grant of the same access will do: a profile stands for the access.
    or_newer: bool,
}

impl Wanted {
    fn admits(&self, entry: &Entry) -> bool {
        self.or_newer || entry.grant == self.grant
    }
}

pub(super) fn run(context: &Context, args: &args::Creds) -> Result<Exit> {
    let login = Login::load(&context.homes)?;
    let wanted = wanted(&login, args)?;
    let slot = Slot::new(&context.homes, &login, &wanted.grant);
    let kept = slot.read()?.filter(|entry| wanted.admits(entry) && entry.is_fresh(clock::now()));
    let entry = match kept {
        Some(entry) => entry,
        None => slot.get(
            clock::now,
            |entry| wanted.admits(entry),
            |before| runtime()?.block_on(fetch(&Client::new(&login)?, &wanted, before)),
        )?,
    };
    output::print_bytes(&document(&entry)?)?;
    Ok(Exit::DONE)
}

fn wanted(login: &Login, args: &args::Creds) -> Result<Wanted> {
    if let Some(profile) = &args.profile {
        return Ok(Wanted { grant: grant_of_profile(profile)?, or_newer: true });
    }
    let text = args.grant.as_deref().unwrap_or_default();
    let grant = if lookup::is_whole_id::<Grant>(text) {
        text.to_owned()
    } else {
        let client = Client::new(login)?;
        runtime()?.block_on(grants::find(&client, text, &[("state", "live")]))?.id
    };
    Ok(Wanted { grant, or_newer: false })
}

fn grant_of_profile(profile: &str) -> Result<String> {
    let path = aws_configure::settings_file()?;
    let content = files::read(&path)?.unwrap_or_default();
    let grant = aws_config::grant_of(&content, profile);
    grant.filter(|grant| lookup::is_whole_id::<Grant>(grant)).ok_or_else(|| {
        let message = format!(
            "{} has no profile '{profile}' with an ebb_grant: run `ebb aws configure`",
            path.display()
        );
        Stop::new(Exit::ERROR, message).into()
    })
}

/// Gets credentials from the broker. While that is away, what is still valid will do.
async fn fetch(client: &Client, wanted: &Wanted, before: Option<&Entry>) -> Result<Entry> {
    // A profile's grant may have been followed by another since; ask that one first.
    let grant = before.map_or(wanted.grant.as_str(), |before| before.grant.as_str());
    let refused = match obtain(client, grant, before).await {
        Ok(entry) => return Ok(entry),
        Err(error) => error,
    };
    let api = refused.downcast_ref::<ApiError>();
    if api.is_some_and(ApiError::is_transient)
        && let Some(before) = before.filter(|before| before.is_valid(clock::now()))
    {
        return Ok(before.clone());
    }
    let code = api.and_then(ApiError::code);
    if !matches!(code, Some("grant_expired" | "grant_not_active" | "verifier_invalid")) {
        return Err(refused);
    }
    let ended: Grant = client.get(&format!("/grants/{}", wanted.grant), &[]).await?;
    if wanted.or_newer
        && let Some(newer) = newer(&live_grants(client).await?, &ended)
    {
        return obtain(client, &newer, before).await;
    }
    Err(explain(&ended, clock::now()).unwrap_or(refused))
}

async fn obtain(client: &Client, grant: &str, before: Option<&Entry>) -> Result<Entry> {
    let path = format!("/grants/{grant}/credentials");
    match client.post(&path, &json!({})).await? {
        Credentials::Aws(credentials) => {
            Ok(Entry::new(grant.to_owned(), credentials, before, clock::now()))
        }
        Credentials::Postgres(_) | Credentials::Mysql(_) => Err(not_aws(grant)),
    }
}

fn not_aws(grant: &str) -> anyhow::Error {
    Stop::new(Exit::ERROR, format!("{grant} is not for AWS: use `ebb db`")).into()
}

/// The live grant that gives what an ended one gave, if there is one.
fn newer(live: &[Grant], ended: &Grant) -> Option<String> {
    let same = |grant: &&Grant| {
        lookup::is_active(grant)
            && grant.id != ended.id
            && grant.resource == ended.resource
            && grant.permission == ended.permission
    };
    live.iter().filter(same).max_by_key(|grant| grant.deadline).map(|grant| grant.id.clone())
}

/// Why a grant gives no credentials, if that can be told better than by the broker's refusal.
fn explain(grant: &Grant, now: Timestamp) -> Option<anyhow::Error> {
    if matches!(grant.kind.as_str(), "postgres" | "mysql") {
        return Some(not_aws(&grant.id));
    }
    if lookup::is_coming(grant) {
        let message = format!("{} is still being set up: try again in a moment", grant.resource);
        return Some(Stop::new(Exit::ERROR, message).into());
    }
    let ended = describe::ended(grant, now)?;
    let exit = match grant.end_reason {
        Some(EndReason::Revoked) => Exit::DENIED,
        Some(EndReason::Failed) => Exit::ERROR,
        _ => Exit::EXPIRED,
    };
    let message =
        format!("{}: {ended}; ask again with `{}`", grant.resource, describe::ask_again(grant));
    Some(Stop::new(exit, message).into())
}

/// The document of `credential_process`, version 1.
fn document(entry: &Entry) -> Result<Zeroizing<Vec<u8>>> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Document<'a> {
        version: u8,
        access_key_id: &'a str,
        secret_access_key: &'a str,
        session_token: &'a str,
        expiration: Timestamp,
    }
    let credentials = &entry.credentials;
    let document = Document {
        version: 1,
        access_key_id: &credentials.access_key_id,
        secret_access_key: credentials.secret_access_key.expose_secret(),
        session_token: credentials.session_token.expose_secret(),
        expiration: credentials.expiration,
    };
    // Large enough for any session token, so that growing leaves no copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(64 * 1024));
    serde_json::to_writer(&mut *text, &document).context("cannot write JSON")?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::GrantState, exit::exit_of, lookup::tests::grant};

    #[test]
    fn another_grant_for_the_same_access_follows() {
        let ended = grant(1, "prod/s3/reports", "read-only");
        let coming =
            Grant { state: GrantState::Planned, ..grant(9, "prod/s3/reports", "read-only") };
        let live = [
            ended.clone(),
            grant(2, "prod/s3/reports", "full"),
            grant(3, "prod/s3/logs", "read-only"),
            grant(4, "prod/s3/reports", "read-only"),
            grant(5, "prod/s3/reports", "read-only"),
            coming,
        ];
        assert_eq!(newer(&live, &ended).unwrap(), live[4].id);
        assert_eq!(newer(&live[..3], &ended), None);
    }

    #[test]
    fn an_end_is_explained_with_its_own_exit_code() {
        let now = "2026-03-04T14:05:00Z".parse().unwrap();
        let expired = grant(1, "prod/s3/reports", "read-only");
        let error = explain(&expired, now).unwrap();
        assert_eq!(exit_of(&error), Exit::EXPIRED);
        assert_eq!(
            error.to_string(),
            "prod/s3/reports: access ended at 14:01:00Z (expired); ask again with \
             `ebb request prod/s3/reports --permission read-only`"
        );
        let revoked = Grant {
            state: GrantState::Revoked,
            end_reason: Some(EndReason::Revoked),
            ..grant(9, "prod/s3/reports", "read-only")
        };
        assert_eq!(exit_of(&explain(&revoked, now).unwrap()), Exit::DENIED);
        assert!(explain(&grant(9, "prod/s3/reports", "read-only"), now).is_none());
    }
}
