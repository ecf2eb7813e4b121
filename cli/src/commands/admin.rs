//! `ebb admin`: the audit log, and ending other people's access.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Context, channels, fleet, flows, grants, reports, sessions};
use crate::{
    api::{ApiError, AuditRecord, Client, Grant, Page, Verification},
    args::{self, Admin, AdminGrants, Audit, Inventory, Scopes, Sessions},
    clock,
    exit::Exit,
    lookup,
    output::{self, Cell, Format, Sheet, Tone},
    text::{moment, printable},
};

/// How often new audit records are looked for.
const FOLLOW_PAUSE: Duration = Duration::from_secs(2);
/// The API's largest page.
const PAGE: usize = 200;

pub(super) async fn run(context: &Context, command: Admin) -> Result<Exit> {
    // Trying flow files out needs no broker, so each asks for its client by itself.
    let client = || context.client();
    match command {
        Admin::Audit(Audit::Tail(args)) => tail(context, &client()?, &args).await,
        Admin::Audit(Audit::Verify) => verify(context, &client()?).await,
        Admin::Agents(command) => fleet::agents(context, &client()?, command).await,
        Admin::Channels(command) => channels::channels(context, &client()?, command).await,
        Admin::Drift => fleet::drift(context, &client()?).await,
        Admin::Sessions(Sessions::List(args)) => sessions::list(context, &client()?, &args).await,
        Admin::Sessions(Sessions::End(args)) => sessions::end(context, &client()?, &args).await,
        Admin::Grants(AdminGrants::Revoke(args)) => revoke(context, &client()?, &args).await,
        Admin::Flows(command) => flows::flows(context, command).await,
        Admin::Scopes(Scopes::Preview(args)) => flows::preview(context, &args).await,
        Admin::Inventory(Inventory::List) => flows::inventory(context).await,
        Admin::Report(args) => reports::run(context, &client()?, &args).await,
    }
}

async fn tail(context: &Context, client: &Client, args: &args::Tail) -> Result<Exit> {
    let mut after = match args.after {
        Some(after) => after,
        None => {
            let log: Verification = client.get("/audit/verify", &[]).await?;
            log.records.saturating_sub(u64::try_from(args.lines).unwrap_or(u64::MAX))
        }
    };
    let mut records = Vec::new();
    loop {
        let page = newer(client, after).await?;
        let full = page.len() == PAGE;
        after = page.last().map_or(after, |record| record.seq);
        records.extend(page);
        if args.after.is_none() {
            let surplus = records.len().saturating_sub(args.lines);
            records.drain(..surplus);
        }
        if !full {
            break;
        }
    }
    if !args.follow {
        context.output.show_list(&records, "no audit records", audit_table)?;
        return Ok(Exit::DONE);
    }
    loop {
        after = records.last().map_or(after, |record| record.seq);
        for record in records {
            output::print(&line(context.output.format, &record)?)?;
        }
        tokio::time::sleep(FOLLOW_PAUSE).await;
        records = match newer(client, after).await {
            Ok(records) => records,
            Err(error) if error.is_transient() => {
                output::warn(&format!("{error}; trying again"));
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
    }
}

async fn newer(client: &Client, after: u64) -> Result<Vec<AuditRecord>, ApiError> {
    let (after, limit) = (after.to_string(), PAGE.to_string());
    let query = [("after", after.as_str()), ("limit", limit.as_str())];
    let page: Page<AuditRecord> = client.get("/audit", &query).await?;
    Ok(page.items)
}

/// One record on one line: a list that never ends has no columns to fit.
fn line(format: Format, record: &AuditRecord) -> Result<String> {
    Ok(match format {
        Format::Table => {
            let at = record.at.strftime("%Y-%m-%d %H:%M:%SZ");
            let text = format!(
                "{} {at} {} {} {}",
                record.seq,
                record.action,
                word(&record.actor),
                about(record)
            );
            format!("{}\n", printable(text.trim_end()))
        }
        Format::Json => {
            format!("{}\n", serde_json::to_string(record).context("cannot write JSON")?)
        }
        Format::Yaml => {
            format!("---\n{}", serde_saphyr::to_string(record).context("cannot write YAML")?)
        }
    })
}

fn audit_table(records: &[AuditRecord]) -> Sheet {
    let now = clock::now();
    Sheet::list(
        ["SEQ", "AT", "ACTION", "ACTOR", "ABOUT"],
        records.iter().map(|record| {
            [
                record.seq.to_string().into(),
                moment(record.at, now).into(),
                record.action.as_str().into(),
                word(&record.actor).into(),
                about(record).into(),
            ]
        }),
    )
}

fn about(record: &AuditRecord) -> String {
    let ids = [&record.request_id, &record.grant_id].into_iter().flatten().cloned();
    let details =
        Some(word(&record.details)).filter(|text| !matches!(text.as_str(), "{}" | "null"));
    ids.chain(details).collect::<Vec<_>>().join(" ")
}

/// A text without its quotes, anything else as JSON.
fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

async fn verify(context: &Context, client: &Client) -> Result<Exit> {
    let found: Verification = client.get("/audit/verify", &[]).await?;
    context.output.show(&found, |found| {
        let (text, tone) = if found.intact { ("yes", Tone::Good) } else { ("NO", Tone::Bad) };
        Sheet::fields()
            .field("intact", Cell::toned(text, tone))
            .field("records", found.records.to_string())
            .maybe("head", found.head_hash.as_deref())
            .maybe(
                "broken at",
                found.broken.as_ref().map(|b| format!("record {}: {}", b.seq, b.reason)),
            )
    })?;
    if found.intact {
        return Ok(Exit::DONE);
    }
    output::error(
        "the audit log was changed: keep the store as it is and compare it with an export",
    );
    Ok(Exit::ERROR)
}

async fn revoke(context: &Context, client: &Client, args: &args::Revoke) -> Result<Exit> {
    let id = if lookup::is_whole_id::<Grant>(&args.id) {
        args.id.clone()
    } else {
        grants::find(client, &args.id, &[("state", "live"), ("of", "everyone")]).await?.id
    };
    let body = json!({ "comment": args.comment });
    let grant: Grant = client.post(&format!("/grants/{id}/revoke"), &body).await?;
    output::note(&format!(
        "revoked {} ({}) of {}, {}: {}",
        grant.resource, grant.permission, grant.principal, grant.id, grant.state
    ));
    if context.output.format != Format::Table {
        context.output.show(&grant, grants::sheet)?;
    }
    Ok(Exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_followed_record_is_one_harmless_line() {
        let record: AuditRecord = serde_json::from_value(json!({
            "seq": 7, "hash": "h", "prev_hash": "p", "at": "2026-03-04T14:03:10Z",
            "action": "request.denied", "actor": "user:bo@x", "request_id": "req_1",
            "details": {"comment": "no\u{1b}[2J"},
        }))
        .unwrap();
        let text = line(Format::Table, &record).unwrap();
        assert!(
            text.starts_with("7 2026-03-04 14:03:10Z request.denied user:bo@x req_1 {"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}') && text.ends_with("}\n"), "{text:?}");
    }
}
