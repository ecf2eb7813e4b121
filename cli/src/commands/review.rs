//! `ebb inbox`, `approve`, `deny`: deciding on other people's requests.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Context, requests};
use crate::{
    api::{Client, Request, RequestState},
    args, describe,
    exit::Exit,
    lookup,
    output::{self, Format},
};

pub(super) async fn inbox(context: &Context) -> Result<Exit> {
    let waiting = waiting(&context.client()?).await?;
    context.output.show_list(&waiting, "nothing waits for you", requests::table)?;
    Ok(Exit::DONE)
}

pub(super) async fn approve(context: &Context, args: &args::Approve) -> Result<Exit> {
    let body = match &args.comment {
        Some(comment) => json!({ "comment": comment }),
        None => json!({}),
    };
    decide(context, &args.id, "approve", &body).await
}

pub(super) async fn deny(context: &Context, args: &args::Deny) -> Result<Exit> {
    decide(context, &args.id, "deny", &json!({ "comment": args.comment })).await
}

async fn decide(context: &Context, text: &str, verdict: &str, body: &Value) -> Result<Exit> {
    let client = context.client()?;
    let id = waiting_id(&client, text).await?;
    let request: Request = client.post(&format!("/requests/{id}/{verdict}"), body).await?;
    let result = match request.state {
        RequestState::Pending => {
            format!(
                "{} by you; still waits for {}",
                if verdict == "deny" { "denied" } else { "approved" },
                describe::waits_for(&request.waiting_for)
            )
        }
        RequestState::Denied => "denied".to_owned(),
        _ => "approved".to_owned(),
    };
    output::note(&format!("{} for {}: {result}", describe::what(&request), request.requester));
    if context.output.format != Format::Table {
        context.output.show(&request, requests::sheet)?;
    }
    Ok(Exit::DONE)
}

/// The id of a request that waits for the caller, by its beginning.
pub(super) async fn waiting_id(client: &Client, text: &str) -> Result<String> {
    if lookup::is_whole_id::<Request>(text) {
        return Ok(text.to_owned());
    }
    Ok(lookup::by_id(&waiting(client).await?, text)?.id.clone())
}

async fn waiting(client: &Client) -> Result<Vec<Request>> {
    Ok(client.list("/requests", &[("waiting_for_me", "true")]).await?)
}
