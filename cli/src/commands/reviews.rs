//! `ebb reviews`: emergencies, and what was written of them.

use std::io::{self, IsTerminal as _, Read as _};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{Context, requests};
use crate::{
    api::{Client, Request, UsePage},
    args::{ReviewListing, ReviewsCommand, WriteReview},
    clock, describe,
    exit::Exit,
    lookup,
    output::{self, Format, Sheet},
    text::moment,
};

pub(super) async fn run(context: &Context, command: Option<ReviewsCommand>) -> Result<Exit> {
    let client = context.client()?;
    match command.unwrap_or_else(|| ReviewsCommand::List(ReviewListing::default())) {
        ReviewsCommand::List(listing) => list(context, &client, &listing).await?,
        ReviewsCommand::Show(named) => {
            let id = find(&client, &named.id).await?;
            let page: UsePage = client.get(&format!("/reviews/{id}"), &[]).await?;
            context.output.show(&page, sheet)?;
        }
        ReviewsCommand::Write(args) => write(context, &client, args).await?,
    }
    Ok(Exit::DONE)
}

async fn list(context: &Context, client: &Client, listing: &ReviewListing) -> Result<()> {
    let mut query = vec![("state", if listing.all { "all" } else { "open" })];
    if listing.everyone {
        query.push(("of", "everyone"));
    }
    let found: Vec<Request> = client.list("/reviews", &query).await?;
    let none = if listing.all { "no emergencies" } else { "no review is owed" };
    context.output.show_list(&found, none, table)
}

async fn write(context: &Context, client: &Client, args: WriteReview) -> Result<()> {
    let id = find(client, &args.id).await?;
    let text = match args.text {
        Some(text) => text,
        None => read_text()?,
    };
    let path = format!("/reviews/{id}");
    let written: Request = client.post(&path, &json!({ "text": text })).await?;
    output::note(&format!("the review of {} is written", written.id));
    if context.output.format != Format::Table {
        context.output.show(&written, requests::sheet)?;
    }
    Ok(())
}

fn read_text() -> Result<String> {
    if io::stdin().is_terminal() {
        output::note("write what happened and what was done; end with Ctrl-D on a line of its own");
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("cannot read the review")?;
    Ok(text)
}

/// An emergency by its id or the beginning of it.
async fn find(client: &Client, text: &str) -> Result<String> {
    if lookup::is_whole_id::<Request>(text) {
        return Ok(text.to_owned());
    }
    let known: Vec<Request> = client.list("/reviews", &[("state", "all")]).await?;
    Ok(lookup::by_id(&known, text)?.id.clone())
}

fn table(found: &[Request]) -> Sheet {
    let now = clock::now();
    Sheet::list(
        ["ID", "WHO", "WHAT", "USED", "REVIEW"],
        found.iter().map(|request| {
            [
                request.id.as_str().into(),
                request.requester.as_str().into(),
                describe::what(request).into(),
                moment(request.activated_at.unwrap_or(request.created_at), now).into(),
                describe::use_review(request, now),
            ]
        }),
    )
}

/// Everything about one emergency.
fn sheet(page: &UsePage) -> Sheet {
    let request = &page.request;
    let mut sheet = requests::sheet(request);
    if let Some(review) = &request.break_glass {
        sheet = sheet.field("told", review.told.join(", "));
        if let Some(written) = &review.written {
            sheet = sheet.field("written", format!("by {}: {}", written.by, written.text));
        }
    }
    for record in &page.records {
        let actor = record.actor.as_str().unwrap_or_default();
        sheet = sheet.field("record", format!("{} {} {actor}", record.at, record.action));
    }
    sheet
}
