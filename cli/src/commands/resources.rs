//! `ebb resources`: what may be asked for, one line for each way to ask.

use anyhow::Result;

use super::Context;
use crate::{
    api::Resource,
    args,
    exit::Exit,
    output::{Cell, Sheet, Tone},
};

pub(super) async fn run(context: &Context, args: &args::Resources) -> Result<Exit> {
    let query: Vec<(&str, &str)> = [("type", &args.kind), ("search", &args.search)]
        .into_iter()
        .filter_map(|(name, value)| value.as_deref().map(|value| (name, value)))
        .collect();
    let found: Vec<Resource> = context.client()?.list("/resources", &query).await?;
    let none = if query.is_empty() {
        "no access flow offers you anything"
    } else {
        "no access flow offers you anything like that"
    };
    context.output.show_list(&found, none, sheet)?;
    Ok(Exit::DONE)
}

fn sheet(resources: &[Resource]) -> Sheet {
    let offers = resources
        .iter()
        .flat_map(|resource| resource.offers.iter().map(move |offer| (resource, offer)));
    Sheet::list(
        ["RESOURCE", "PERMISSION", "FLOW", "APPROVAL", "FOR", "NEEDS"],
        offers.map(|(resource, offer)| {
            let tone = if offer.approval == "automatic" { Tone::Good } else { Tone::Plain };
            let mut needs = match (&offer.ticket_pattern, offer.justification_required) {
                (Some(pattern), true) => format!("reason, ticket {pattern}"),
                (Some(pattern), false) => format!("ticket {pattern}"),
                (None, true) => "reason".to_owned(),
                (None, false) => String::new(),
            };
            if offer.break_glass {
                needs.push_str(", a review afterwards (ebb break-glass)");
            }
            [
                resource.id.as_str().into(),
                offer.permission.as_str().into(),
                offer.flow.as_str().into(),
                Cell::toned(&offer.approval, tone),
                format!("{}, at most {}", offer.default_duration, offer.max_duration).into(),
                needs.into(),
            ]
        }),
    )
}
