//! `ebb admin report`: all reports in a line each, or one with all that it found.

use anyhow::Result;

use super::Context;
use crate::{
    api::{Client, Headline, Headlines, Report, ReportFinding},
    args,
    exit::Exit,
    output::{self, Cell, Format, Sheet, Tone},
};

pub(super) async fn run(context: &Context, client: &Client, args: &args::Report) -> Result<Exit> {
    let since = args.since.map(|since| since.to_string());
    let fast = args.fast.map(|fast| fast.to_string());
    let share = args.share.map(|share| share.to_string());
    let least = args.least.map(|least| least.to_string());
    let query: Vec<(&str, &str)> =
        [("since", &since), ("fast", &fast), ("share", &share), ("least", &least)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
            .collect();
    match &args.name {
        Some(name) => {
            let report: Report = client.get(&format!("/reports/{name}"), &query).await?;
            one(context, &report)?;
        }
        None => {
            let all: Headlines = client.get("/reports", &query).await?;
            context.output.show(&all, |all| overview(&all.items))?;
            notes(context, all.items.iter().filter_map(|report| report.note.as_deref()));
        }
    }
    Ok(Exit::DONE)
}

fn one(context: &Context, report: &Report) -> Result<()> {
    if context.output.format != Format::Table {
        return context.output.show(report, |_| Sheet::fields());
    }
    if !report.items.is_empty() {
        context.output.show(report, |report| table(&report.items))?;
    }
    output::note(&report.headline);
    notes(context, report.note.as_deref());
    if report.left_out > 0 {
        output::note(&format!("{} more are not listed", report.left_out));
    }
    Ok(())
}

fn notes<'a>(context: &Context, notes: impl IntoIterator<Item = &'a str>) {
    if context.output.format == Format::Table {
        notes.into_iter().for_each(output::note);
    }
}

fn overview(reports: &[Headline]) -> Sheet {
    Sheet::list(
        ["REPORT", "ATTENTION", "WHAT IT SAYS", "ABOUT"],
        reports.iter().map(|report| {
            [
                report.name.as_str().into(),
                attention(report.attention),
                report.headline.as_str().into(),
                report.about.as_str().into(),
            ]
        }),
    )
}

fn attention(count: u64) -> Cell {
    match count {
        0 => Cell::toned("none", Tone::Good),
        count => Cell::toned(count.to_string(), Tone::Waits),
    }
}

fn table(findings: &[ReportFinding]) -> Sheet {
    Sheet::list(
        ["ABOUT", "FOUND", "SINCE", "WHY IT MATTERS", "WHAT TO DO"],
        findings.iter().map(|finding| {
            let tone = if finding.attention { Tone::Waits } else { Tone::Plain };
            let day = |since: jiff::Timestamp| since.strftime("%Y-%m-%d").to_string();
            [
                finding.about.as_str().into(),
                Cell::toned(finding.fact.as_str(), tone),
                finding.since.map(day).unwrap_or_default().into(),
                finding.why.as_str().into(),
                finding.advice.as_str().into(),
            ]
        }),
    )
}
