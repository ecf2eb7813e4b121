//! `ebb requests`: what was asked for and how far it is.

use anyhow::Result;

use super::{Context, life};
use crate::{
    api::{Client, Request},
    args::{Listing, RequestsCommand},
    clock, describe,
    exit::Exit,
    lookup,
    output::{self, Sheet},
    text::moment,
};

pub(super) async fn run(context: &Context, command: Option<RequestsCommand>) -> Result<Exit> {
    let client = context.client()?;
    match command.unwrap_or_else(|| RequestsCommand::List(Listing::default())) {
        RequestsCommand::List(listing) => list(context, &client, &listing).await?,
        RequestsCommand::Show(named) => {
            let request = find(&client, &named.id).await?;
            context.output.show(&request, sheet)?;
        }
        RequestsCommand::Extend(args) => return life::extend(context, &args).await,
        RequestsCommand::Cancel(named) => {
            let id = find(&client, &named.id).await?.id;
            let body = serde_json::json!({});
            let request: Request = client.post(&format!("/requests/{id}/cancel"), &body).await?;
            output::note(&format!("cancelled {}: {}", request.id, describe::what(&request)));
            if context.output.format != output::Format::Table {
                context.output.show(&request, sheet)?;
            }
        }
    }
    Ok(Exit::DONE)
}

async fn list(context: &Context, client: &Client, listing: &Listing) -> Result<()> {
    let mut query = vec![("state", if listing.all { "all" } else { "open" })];
    if listing.everyone {
        query.push(("of", "everyone"));
    }
    let found: Vec<Request> = client.list("/requests", &query).await?;
    let none = if listing.all {
        "no requests"
    } else {
        "no open requests (--all shows those that are over)"
    };
    context.output.show_list(&found, none, |found| match listing.everyone {
        true => table(found),
        false => table(found).without("WHO"),
    })
}

/// A request that the caller may see, by its id or the beginning of it: their own, or one that
/// waits for them.
pub(super) async fn find(client: &Client, text: &str) -> Result<Request> {
    if lookup::is_whole_id::<Request>(text) {
        return Ok(client.get(&format!("/requests/{text}"), &[]).await?);
    }
    let mut known: Vec<Request> = client.list("/requests", &[("state", "all")]).await?;
    known.extend(client.list("/requests", &[("waiting_for_me", "true")]).await?);
    lookup::by_id(&known, text).cloned()
}

/// Requests, one a line.
pub(super) fn table(requests: &[Request]) -> Sheet {
    let now = clock::now();
    Sheet::list(
        ["ID", "WHO", "WHAT", "FOR", "STATE", "ASKED", "REASON"],
        requests.iter().map(|request| {
            [
                request.id.as_str().into(),
                request.requester.as_str().into(),
                describe::what(request).into(),
                request.duration.as_str().into(),
                describe::request_state(request),
                moment(request.created_at, now).into(),
                reason(request).into(),
            ]
        }),
    )
}

/// Why, with the ticket.
fn reason(request: &Request) -> String {
    let parts: Vec<&str> =
        [&request.ticket, &request.reason].into_iter().filter_map(|part| part.as_deref()).collect();
    parts.join(": ")
}

/// One request with all there is to tell.
pub(super) fn sheet(request: &Request) -> Sheet {
    let now = clock::now();
    let mut sheet = Sheet::fields()
        .field("id", &request.id)
        .field("requester", &request.requester)
        .field("what", describe::what(request))
        .maybe("consists of", describe::rights(request))
        .maybe("tags", describe::tags(request))
        .field("flow", &request.flow)
        .field("for", &request.duration)
        .field("state", describe::request_state(request))
        .maybe("reason", request.reason.as_deref())
        .maybe("ticket", request.ticket.as_deref())
        .field("asked", moment(request.created_at, now))
        .maybe("lapses", request.lapses_at.map(|at| moment(at, now)))
        .maybe("starts", request.starts_at.map(|at| moment(at, now)))
        .maybe("begins", describe::begins(request, now));
    for more in &request.extensions {
        let reason = more.reason.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
        let text =
            format!("{} more, {}, {}{reason}", more.by, more.state, moment(more.asked_at, now));
        sheet = sheet.field("more time", text);
    }
    if request.break_glass.is_some() {
        sheet = sheet.field("review", describe::use_review(request, now));
    }
    let waits = describe::waits_for(&request.waiting_for);
    if !waits.is_empty() {
        sheet = sheet.field("waits for", waits);
    }
    for group in request.waiting_for.iter().filter(|group| !group.satisfied) {
        if let Some(at) = group.escalates_at {
            let text = format!(
                "{}: {} at {}",
                group.group,
                group.escalates_to.join(", "),
                moment(at, now)
            );
            sheet = sheet.field("then asks", text);
        }
    }
    for claim in request.claims.iter().filter(|claim| claim.looking) {
        sheet = sheet.field("looking", format!("{} until {}", claim.by, moment(claim.until, now)));
    }
    for told in &request.told {
        sheet = sheet.field("told", describe::told(told, now));
    }
    for review in &request.reviews {
        let comment = review.comment.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
        let text =
            format!("{} by {}, {}{comment}", review.verdict, review.by, moment(review.at, now));
        sheet = sheet.field("review", text);
    }
    for grant in &request.grants {
        let mut text = format!("{} {} {}", grant.id, grant.resource, grant.state);
        if let Some(error) = &grant.last_error {
            text.push_str(&format!(": {error}"));
        }
        sheet = sheet.field("grant", text).maybe("recording", grant.recording.as_deref());
    }
    sheet
}
