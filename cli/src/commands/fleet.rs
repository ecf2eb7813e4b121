//! `ebb admin agents` and `drift`: admitting agents, taking them out, and what they found on their
//! targets that should not be so.

use anyhow::Result;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::Context;
use crate::{
    api::{Agent, AgentToken, Client, Drift},
    args::{self, Agents},
    clock,
    exit::{Exit, Stop},
    output::{self, Cell, Format, Sheet, Tone},
    text::{clock, moment},
};

pub(super) async fn agents(context: &Context, client: &Client, command: Agents) -> Result<Exit> {
    match command {
        Agents::Token(args) => token(context, client, &args).await,
        Agents::List => {
            let agents: Vec<Agent> = client.list("/agents", &[]).await?;
            context.output.show_list(&agents, "no agent has enrolled yet", agent_table)?;
            Ok(Exit::DONE)
        }
        Agents::Revoke(args) => revoke(context, client, &args).await,
    }
}

async fn token(context: &Context, client: &Client, args: &args::AgentToken) -> Result<Exit> {
    let mut body = json!({ "agent": args.name });
    if let Some(valid_for) = args.valid_for {
        body["valid_for"] = valid_for.to_string().into();
    }
    if !args.integrations.is_empty() {
        body["integrations"] = json!(args.integrations);
    }
    let made: AgentToken = client.post("/agents/tokens", &body).await?;
    match context.output.format {
        // Alone, so that it can be sent straight into a file.
        Format::Table => output::print(&format!("{}\n", made.token.expose_secret()))?,
        _ => context.output.show(&made, |_| Sheet::fields())?,
    }
    output::note(&format!(
        "for agent {} once, until {}: ebbgate-agent enroll --broker {} --token TOKEN --dir DIR",
        made.agent,
        clock(made.expires_at, clock::now()),
        client.broker(),
    ));
    Ok(Exit::DONE)
}

async fn revoke(context: &Context, client: &Client, args: &args::RevokeAgent) -> Result<Exit> {
    let agents: Vec<Agent> = client.list("/agents", &[]).await?;
    let matches = |agent: &&Agent| agent.name == args.agent || agent.id == args.agent;
    let standing: Vec<&Agent> =
        agents.iter().filter(matches).filter(|agent| agent.state != "revoked").collect();
    let [agent] = standing.as_slice() else {
        let message = format!("no agent {} may speak now: see `ebb admin agents list`", args.agent);
        return Err(Stop::new(Exit::ERROR, message).into());
    };
    let body = json!({ "comment": args.comment });
    let path = format!("/agents/{}/revoke", agent.id);
    let revoked: Agent = client.post(&path, &body).await?;
    output::note(&format!(
        "revoked the agent {}: its certificate opens nothing any more; grants that it held go to \
         other agents of its integrations",
        revoked.name
    ));
    if context.output.format != Format::Table {
        context.output.show(&revoked, |_| Sheet::fields())?;
    }
    Ok(Exit::DONE)
}

fn agent_table(agents: &[Agent]) -> Sheet {
    let now = clock::now();
    let time = |at: Option<jiff::Timestamp>| at.map(|at| moment(at, now)).unwrap_or_default();
    let header = [
        "NAME",
        "STATE",
        "CLOCK",
        "GRANTS",
        "LAST SEEN",
        "CERTIFICATE ENDS",
        "VERSION",
        "INTEGRATIONS",
        "ID",
    ];
    Sheet::list(
        header,
        agents.iter().map(|agent| {
            [
                agent.name.as_str().into(),
                state(agent),
                offset(agent),
                agent.held.map(|held| held.to_string()).unwrap_or_default().into(),
                time(agent.last_seen).into(),
                time(agent.certificate_expires_at).into(),
                agent.version.as_deref().unwrap_or_default().into(),
                agent.integrations.join(", ").into(),
                agent.id.as_str().into(),
            ]
        }),
    )
}

fn state(agent: &Agent) -> Cell {
    let tone = match agent.state.as_str() {
        "connected" => Tone::Good,
        "draining" => Tone::Waits,
        "away" => Tone::Bad,
        _ => Tone::Plain,
    };
    Cell::toned(agent.state.as_str(), tone)
}

/// How far its clock is ahead of the broker's, where that matters.
fn offset(agent: &Agent) -> Cell {
    let seconds = agent.clock_offset_ms.unwrap_or_default() / 1_000;
    match agent.clock.as_deref() {
        Some("refused") => Cell::toned(format!("{seconds:+} s: no new grants"), Tone::Bad),
        Some("alarm") => Cell::toned(format!("{seconds:+} s"), Tone::Waits),
        Some(word) => word.into(),
        None => "".into(),
    }
}

pub(super) async fn drift(context: &Context, client: &Client) -> Result<Exit> {
    let looks: Vec<Drift> = client.list("/drift", &[]).await?;
    context.output.show_list(&looks, "no target was looked at yet", drift_table)?;
    Ok(Exit::DONE)
}

fn drift_table(looks: &[Drift]) -> Sheet {
    let now = clock::now();
    Sheet::list(
        ["INTEGRATION", "LOOKED", "BY", "MARKED", "ORPHANS", "MISSING", "ERROR"],
        looks.iter().map(|look| {
            [
                look.integration.as_str().into(),
                moment(look.at, now).into(),
                look.by.as_str().into(),
                look.marked.to_string().into(),
                findings(&look.orphans),
                findings(&look.missing),
                Cell::toned(look.error.as_deref().unwrap_or_default(), Tone::Bad),
            ]
        }),
    )
}

fn findings(grants: &[String]) -> Cell {
    if grants.is_empty() {
        return Cell::toned("none", Tone::Good);
    }
    Cell::toned(grants.join(", "), Tone::Bad)
}
