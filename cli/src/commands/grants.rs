//! `ebb grants`, `release`: the access that there is, and giving it back.

use anyhow::Result;
use serde_json::json;

use super::{Context, live_grants};
use crate::{
    api::{Client, Connect, Grant, GrantState},
    args::{GrantsCommand, Listing},
    clock,
    config::Login,
    creds_cache::Slot,
    describe,
    exit::{Exit, Stop},
    lookup,
    output::{self, Format, Sheet},
    text::moment,
};

pub(super) async fn run(context: &Context, command: Option<GrantsCommand>) -> Result<Exit> {
    let client = context.client()?;
    match command.unwrap_or_else(|| GrantsCommand::List(Listing::default())) {
        GrantsCommand::List(listing) => {
            let mut query = vec![("state", if listing.all { "all" } else { "live" })];
            if listing.everyone {
                query.push(("of", "everyone"));
            }
            let found: Vec<Grant> = client.list("/grants", &query).await?;
            let none = if listing.all {
                "no grants"
            } else {
                "no live grants (--all shows those that are over)"
            };
            context.output.show_list(&found, none, |found| match listing.everyone {
                true => table(found),
                false => table(found).without("WHO"),
            })?;
        }
        GrantsCommand::Show(named) => {
            let grant = find(&client, &named.id, &[("state", "all")]).await?;
            context.output.show(&grant, sheet)?;
        }
    }
    Ok(Exit::DONE)
}

/// A grant by its id, or by the beginning of it among those that `query` lists.
pub(super) async fn find(client: &Client, text: &str, query: &[(&str, &str)]) -> Result<Grant> {
    if lookup::is_whole_id::<Grant>(text) {
        return Ok(client.get(&format!("/grants/{text}"), &[]).await?);
    }
    let known: Vec<Grant> = client.list("/grants", query).await?;
    lookup::by_id(&known, text).cloned()
}

/// Gives back one grant, or all where none is named.
pub(super) async fn release(context: &Context, named: Option<&str>) -> Result<Exit> {
    let login = Login::load(&context.homes)?;
    let client = Client::new(&login)?;
    let ids: Vec<String> = match named {
        Some(text) if lookup::is_whole_id::<Grant>(text) => vec![text.to_owned()],
        Some(text) => vec![one(&live_grants(&client).await?, text)?],
        None => {
            let live = live_grants(&client).await?;
            live.into_iter().filter(can_be_released).map(|grant| grant.id).collect()
        }
    };
    if ids.is_empty() {
        output::note("you have no live grants");
    }
    let mut released: Vec<Grant> = Vec::new();
    for id in ids {
        // First: what is no longer wanted must not be served from the cache, whatever happens next.
        Slot::new(&context.homes, &login, &id).clear()?;
        let grant: Grant = client.post(&format!("/grants/{id}/release"), &json!({})).await?;
        output::note(&format!("released {} ({}), {}", grant.resource, grant.permission, grant.id));
        released.push(grant);
    }
    if context.output.format != Format::Table {
        context.output.show(&released, |released| table(released).without("WHO"))?;
    }
    Ok(Exit::DONE)
}

fn can_be_released(grant: &Grant) -> bool {
    lookup::is_active(grant) || lookup::is_coming(grant)
}

fn one(live: &[Grant], text: &str) -> Result<String> {
    let live: Vec<Grant> = live.iter().filter(|grant| can_be_released(grant)).cloned().collect();
    match lookup::grants(&live, text)?.as_slice() {
        [grant] => Ok(grant.id.clone()),
        [] => Err(Stop::new(Exit::ERROR, format!("you have no live grant on {text}")).into()),
        many => {
            let choices: Vec<String> =
                many.iter().map(|grant| format!("{} ({})", grant.id, grant.permission)).collect();
            let message =
                format!("you have more than one grant there: say which of {}", choices.join(", "));
            Err(Stop::new(Exit::USAGE, message).into())
        }
    }
}

/// Grants, one a line.
pub(super) fn table(grants: &[Grant]) -> Sheet {
    let now = clock::now();
    Sheet::list(
        ["ID", "WHO", "RESOURCE", "PERMISSION", "STATE", "ENDS"],
        grants.iter().map(|grant| {
            [
                grant.id.as_str().into(),
                grant.principal.as_str().into(),
                grant.resource.as_str().into(),
                grant.permission.as_str().into(),
                describe::grant_state(grant),
                describe::grant_end(grant, now).into(),
            ]
        }),
    )
}

/// One grant with all there is to tell.
pub(super) fn sheet(grant: &Grant) -> Sheet {
    let now = clock::now();
    let mut sheet = Sheet::fields()
        .field("id", &grant.id)
        .field("request", &grant.request_id)
        .field("principal", &grant.principal)
        .field("resource", &grant.resource)
        .field("permission", &grant.permission)
        .field("flow", &grant.flow)
        .field("state", describe::grant_state(grant))
        .maybe("active since", grant.active_since.map(|at| moment(at, now)))
        .maybe("deadline", grant.deadline.map(|at| moment(at, now)))
        .maybe("ended", grant.ended_at.map(|at| moment(at, now)))
        .maybe("last error", grant.last_error.as_deref())
        .maybe("next attempt", grant.next_attempt_at.map(|at| moment(at, now)));
    if grant.state != GrantState::Active && grant.attempts > 1 {
        sheet = sheet.field("attempts", grant.attempts.to_string());
    }
    if let Some(finding) = &grant.finding {
        let text = format!(
            "{}; {} sessions ended; looked {}",
            finding.summary,
            finding.sessions_ended,
            moment(finding.checked_at, now)
        );
        sheet = sheet.field("finding", text);
    }
    sheet = sheet.maybe("recording", grant.recording.as_deref());
    sheet.maybe("connect", grant.connect.as_ref().and_then(connect))
}

fn connect(connect: &Connect) -> Option<String> {
    match connect {
        Connect::Postgres { host, port, database } | Connect::Mysql { host, port, database } => {
            Some(format!("database {database} on {host} port {port}"))
        }
        Connect::Aws { region, endpoint, account } => {
            let account =
                account.as_deref().map(|id| format!("account {id}, ")).unwrap_or_default();
            let endpoint =
                endpoint.as_deref().map(|url| format!(", endpoint {url}")).unwrap_or_default();
            Some(format!("AWS {account}region {region}{endpoint}"))
        }
        Connect::Other => None,
    }
}
