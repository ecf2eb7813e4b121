//! `ebb activate`, `requests extend`, `break-glass`: letting access begin, more time, emergencies.

use anyhow::Result;
use serde_json::json;

use super::{Context, request, requests};
use crate::{
    api::{Client, NewRequest, Request, Resource, Wanted},
    args, describe,
    exit::{Exit, Stop},
    output,
};

pub(super) async fn activate(context: &Context, args: &args::Activate) -> Result<Exit> {
    let client = context.client()?;
    let id = requests::find(&client, &args.id).await?.id;
    let begun: Request = client.post(&format!("/requests/{id}/activate"), &json!({})).await?;
    output::note(&format!("begun: {}", describe::what(&begun)));
    request::follow(context, &client, begun, &args.waiting).await
}

pub(super) async fn extend(context: &Context, args: &args::Extend) -> Result<Exit> {
    let client = context.client()?;
    let id = requests::find(&client, &args.id).await?.id;
    let mut body = json!({ "duration": args.duration.to_string() });
    if let Some(reason) = &args.reason {
        body["reason"] = json!(reason);
    }
    let asked: Request = client.post(&format!("/requests/{id}/extend"), &body).await?;
    if context.output.format != output::Format::Table {
        context.output.show(&asked, requests::sheet)?;
    }
    let state = asked.extensions.last().map(|more| more.state.as_str());
    if state == Some("pending") {
        let whom = describe::waits_for(&asked.waiting_for);
        let text = format!("{} more of {id} waits for {whom}", args.duration);
        return Err(Stop::new(Exit::WAITS, text).into());
    }
    output::note(&format!(
        "{} more, {} in all: {}",
        args.duration,
        asked.duration,
        describe::what(&asked)
    ));
    Ok(Exit::DONE)
}

pub(super) async fn break_glass(context: &Context, args: args::BreakGlass) -> Result<Exit> {
    let client = context.client()?;
    let resources = match args.resources {
        named if named.is_empty() => {
            offered(&client, &args.flow, args.permission.as_deref()).await?
        }
        named => named.into_iter().map(|id| (id, args.permission.clone())).collect(),
    };
    let wish = NewRequest {
        resources: resources
            .into_iter()
            .map(|(id, permission)| Wanted { id, permission })
            .collect(),
        flow: Some(args.flow),
        duration: args.duration.map(|duration| duration.to_string()),
        reason: Some(args.reason),
        ticket: args.ticket,
        starts_at: None,
    };
    let used: Request = client.post("/requests", &wish).await?;
    output::note(&format!("asked for {}: {}", describe::what(&used), used.id));
    if let Some(review) = &used.break_glass {
        let told = match review.told.as_slice() {
            [] => "nobody".to_owned(),
            told => told.join(", "),
        };
        output::warn(&format!(
            "told at once: {told}; write a review by {} with `ebb reviews write {}`",
            review.due_at, used.id
        ));
    }
    request::follow(context, &client, used, &args.waiting).await
}

/// All resources that the flow offers, each with the permission to ask for.
async fn offered(
    client: &Client,
    flow: &str,
    permission: Option<&str>,
) -> Result<Vec<(String, Option<String>)>> {
    let all: Vec<Resource> = client.list("/resources", &[]).await?;
    let offers = |resource: &Resource| {
        resource.offers.iter().any(|offer| {
            offer.flow == flow && permission.is_none_or(|wanted| offer.permission == wanted)
        })
    };
    let ids: Vec<_> =
        all.into_iter().filter(offers).map(|it| (it.id, permission.map(str::to_owned))).collect();
    if ids.is_empty() {
        let text = format!("the flow {flow} offers you nothing like that: see `ebb resources`");
        return Err(Stop::new(Exit::DENIED, text).into());
    }
    Ok(ids)
}
