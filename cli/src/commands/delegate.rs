//! `ebb claim`, `ebb delegate`: looking at a request, and substitutes for one's approvals.

use anyhow::Result;
use serde_json::json;

use super::{Context, requests, review};
use crate::{
    api::{Client, Delegation, Request},
    args::{self, DelegateCommand},
    clock, describe,
    exit::Exit,
    lookup,
    output::{self, Format, Sheet},
    text::moment,
};

pub(super) async fn claim(context: &Context, text: &str) -> Result<Exit> {
    let client = context.client()?;
    let id = review::waiting_id(&client, text).await?;
    let request: Request = client.post(&format!("/requests/{id}/claim"), &json!({})).await?;
    let until = request.claims.iter().rev().find(|claim| claim.looking).map(|claim| claim.until);
    let until = until.map(|until| moment(until, clock::now())).unwrap_or_default();
    output::note(&format!(
        "{} for {}: escalation waits for you until {until}",
        describe::what(&request),
        request.requester
    ));
    if context.output.format != Format::Table {
        context.output.show(&request, requests::sheet)?;
    }
    Ok(Exit::DONE)
}

pub(super) async fn run(context: &Context, args: args::Delegate) -> Result<Exit> {
    let client = context.client()?;
    match args.command {
        None => name(context, &client, args).await,
        Some(DelegateCommand::List(listing)) => {
            let query = if listing.everyone { &[("of", "everyone")][..] } else { &[] };
            let found: Vec<Delegation> = client.list("/delegations", query).await?;
            context.output.show_list(&found, "nobody stands in for anybody", table)?;
            Ok(Exit::DONE)
        }
        Some(DelegateCommand::End(named)) => {
            let id = find(&client, &named.id).await?;
            let call = format!("/delegations/{id}/end");
            let ended: Delegation = client.post(&call, &json!({})).await?;
            output::note(&format!("{} no longer decides for {}", ended.to, ended.from));
            show(context, &ended)
        }
    }
}

async fn name(context: &Context, client: &Client, args: args::Delegate) -> Result<Exit> {
    // The command line has both or a subcommand.
    let (to, until) = (args.to.unwrap_or_default(), args.until.map(|until| until.0.to_string()));
    let mut body = json!({ "to": to, "until": until });
    if let Some(since) = args.since {
        body["since"] = json!(since.0.to_string());
    }
    let made: Delegation = client.post("/delegations", &body).await?;
    let now = clock::now();
    output::note(&format!(
        "{} decides in your place until {}: {}",
        made.to,
        moment(made.until, now),
        made.id
    ));
    show(context, &made)
}

fn show(context: &Context, delegation: &Delegation) -> Result<Exit> {
    if context.output.format != Format::Table {
        context.output.show(delegation, |one| table(std::slice::from_ref(one)))?;
    }
    Ok(Exit::DONE)
}

async fn find(client: &Client, text: &str) -> Result<String> {
    if lookup::is_whole_id::<Delegation>(text) {
        return Ok(text.to_owned());
    }
    let known: Vec<Delegation> = client.list("/delegations", &[]).await?;
    Ok(lookup::by_id(&known, text)?.id.clone())
}

fn table(delegations: &[Delegation]) -> Sheet {
    let now = clock::now();
    Sheet::list(
        ["ID", "FROM", "TO", "SINCE", "UNTIL"],
        delegations.iter().map(|delegation| {
            [
                delegation.id.as_str().into(),
                delegation.from.as_str().into(),
                delegation.to.as_str().into(),
                moment(delegation.since, now).into(),
                moment(delegation.ended_at.unwrap_or(delegation.until), now).into(),
            ]
        }),
    )
}
