//! `ebb admin channels`: how far each is behind, and trying again what was set aside.

use anyhow::Result;
use serde_json::json;

use super::Context;
use crate::{
    api::{Channel, Client, Replayed},
    args::Channels,
    clock,
    exit::Exit,
    output::{self, Cell, Format, Sheet, Tone},
    text::moment,
};

pub(super) async fn channels(
    context: &Context,
    client: &Client,
    command: Channels,
) -> Result<Exit> {
    match command {
        Channels::List => {
            let channels: Vec<Channel> = client.list("/channels", &[]).await?;
            context.output.show_list(&channels, "no channel is set up", table)?;
        }
        Channels::Replay(args) => {
            let path = format!("/channels/{}/replay", args.channel);
            let replayed: Replayed = client.post(&path, &json!({})).await?;
            let s = if replayed.notices == 1 { "" } else { "s" };
            output::note(&format!(
                "{} notice{s} of {} are tried again",
                replayed.notices, args.channel
            ));
            if context.output.format != Format::Table {
                context.output.show(&replayed, |_| Sheet::fields())?;
            }
        }
    }
    Ok(Exit::DONE)
}

fn table(channels: &[Channel]) -> Sheet {
    let now = clock::now();
    Sheet::list(
        ["NAME", "WAITING", "SINCE", "SET ASIDE", "LAST ERROR"],
        channels.iter().map(|channel| {
            let since = channel.oldest.map(|at| moment(at, now)).unwrap_or_default();
            let tone = if channel.set_aside > 0 { Tone::Bad } else { Tone::Plain };
            let error = channel.last_error.as_deref().unwrap_or_default();
            [
                channel.name.as_str().into(),
                channel.waiting.to_string().into(),
                since.into(),
                Cell::toned(channel.set_aside.to_string(), tone),
                if channel.configured { error } else { "not in the settings any more" }.into(),
            ]
        }),
    )
}
