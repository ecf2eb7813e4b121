//! `ebb admin sessions`: what runs now under which grant, and ending one session of it.

use anyhow::Result;
use serde_json::json;

use super::Context;
use crate::{
    api::{Client, LiveSessions, Session, SessionEnd},
    args, clock,
    exit::{Exit, Stop},
    output::{self, Sheet},
    text::moment,
};

pub(super) async fn list(
    context: &Context,
    client: &Client,
    args: &args::ListSessions,
) -> Result<Exit> {
    let found = all(client, args.integration.as_deref()).await?;
    context.output.show_list(&found.items, "no live session under any grant", table)?;
    Ok(Exit::DONE)
}

/// All sessions; integrations that could not be asked are told on standard error.
async fn all(client: &Client, integration: Option<&str>) -> Result<LiveSessions> {
    let query: Vec<_> = integration.iter().map(|name| ("integration", *name)).collect();
    let found: LiveSessions = client.get("/sessions", &query).await?;
    for unavailable in &found.unavailable {
        output::warn(&format!(
            "{} could not be asked, so its sessions are missing here: {}",
            unavailable.integration, unavailable.reason
        ));
    }
    Ok(found)
}

pub(super) async fn end(
    context: &Context,
    client: &Client,
    args: &args::EndSession,
) -> Result<Exit> {
    let usage = || Stop::new(Exit::USAGE, "name the session as GRANT/ID, as the list shows it");
    let (grant, id) = args.session.rsplit_once('/').ok_or_else(usage)?;
    let found = all(client, None).await?;
    let matches = |session: &&Session| session.id == id && session.grant_id.starts_with(grant);
    let found: Vec<&Session> = found.items.iter().filter(matches).collect();
    let session = match found.as_slice() {
        [one] => *one,
        [] => {
            let message = format!("there is no session {} now", args.session);
            return Err(Stop::new(Exit::ERROR, message).into());
        }
        _ => return Err(usage().into()),
    };
    let body = json!({
        "grant_id": session.grant_id,
        "id": session.id,
        "started_at": session.started_at,
        "comment": args.comment,
    });
    let ended: SessionEnd = client.post("/sessions/end", &body).await?;
    let (whose, where_) = (&session.principal, &session.resource);
    if ended.found {
        output::note(&format!("ended {whose}'s session {id} on {where_}; the grant stays"));
    } else {
        output::note(&format!("{whose}'s session {id} on {where_} had ended already"));
    }
    if context.output.format != output::Format::Table {
        context.output.show(&ended, |_| Sheet::fields())?;
    }
    Ok(Exit::DONE)
}

fn table(sessions: &[Session]) -> Sheet {
    let now = clock::now();
    Sheet::list(
        [
            "SESSION",
            "WHO",
            "RESOURCE",
            "PERMISSION",
            "STATE",
            "SINCE",
            "STARTED",
            "FROM",
            "PROGRAM",
        ],
        sessions.iter().map(|session| {
            [
                format!("{}/{}", session.grant_id, session.id).into(),
                session.principal.as_str().into(),
                session.resource.as_str().into(),
                session.permission.as_str().into(),
                session.state.as_str().into(),
                session.state_since.map(|at| moment(at, now)).unwrap_or_default().into(),
                moment(session.started_at, now).into(),
                session.client.as_deref().unwrap_or_default().into(),
                session.application.as_deref().unwrap_or_default().into(),
            ]
        }),
    )
}
