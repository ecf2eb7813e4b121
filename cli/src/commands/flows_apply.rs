//! `ebb admin flows apply`, and the versions that were applied.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use ebbgate_flow_files::diff::diff;
use serde::Serialize;

use super::{
    Context,
    flows::{self, Texts},
};
use crate::{
    api::{AppliedFlows, Client, FlowFile, FlowSetHead, FlowsInForce},
    args::{ApplyFlows, ShowFlow},
    clock,
    exit::{Exit, Stop},
    output::{self, Format, Sheet},
    text::moment,
};

/// What is sent: all files.
#[derive(Debug, Serialize)]
struct NewFlows {
    files: Vec<FlowFile>,
}

pub(super) async fn apply(context: &Context, client: &Client, args: &ApplyFlows) -> Result<Exit> {
    let texts = flows::texts(&args.paths, false)?;
    let Some(new) = flows::understood(&texts) else { return Ok(Exit::ERROR) };
    let files = named(texts)?;
    let before: FlowsInForce = client.get("/flows", &[]).await?;
    if before.source.as_deref() == Some("files") {
        return Err(Stop::new(Exit::ERROR, IN_FILES).into());
    }
    if !before.known {
        output::warn("what is in force is not believed by the broker: all is taken for new");
    }
    let changes = diff(&flows::policies(&before.files)?, &new);
    let same = before.files == files;
    if context.output.format == Format::Table && !same {
        let only_texts = "no document changes, only texts around them";
        context.output.show_list(&changes, only_texts, flows::plan_table)?;
    }
    if !same && !args.yes && !confirmed(changes.len())? {
        output::note("nothing was applied");
        return Ok(Exit::ERROR);
    }
    let tag = format!("\"{}\"", before.version);
    let applied: AppliedFlows = client.put("/flows", &NewFlows { files }, &tag).await?;
    for warning in &applied.warnings {
        output::note(warning);
    }
    let FlowSetHead { number, .. } = &applied.set;
    output::note(&if applied.applied {
        format!("applied: version {number} is in force")
    } else {
        format!("nothing to apply: this is version {number}, which is in force")
    });
    if context.output.format != Format::Table {
        context.output.show(&applied, |_| Sheet::fields())?;
    }
    Ok(Exit::DONE)
}

const IN_FILES: &str = "this broker reads its flows from files: change those and reload it, or write \
                        `flows: applied` into its settings and restart it (flows_in_files)";

/// Files by their names alone, so that it does not matter from where they are applied.
fn named(texts: Texts) -> Result<Vec<FlowFile>> {
    let mut files = Vec::with_capacity(texts.len());
    for (path, text) in texts {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        files.push(FlowFile { name, text });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    match files.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => {
            let name = Path::new(&pair[0].name).display();
            Err(Stop::new(Exit::USAGE, format!("two files are called {name}: rename one")).into())
        }
        None => Ok(files),
    }
}

/// Asks whoever sits at the terminal. Nobody sits at a pipeline, which must say so beforehand.
fn confirmed(changes: usize) -> Result<bool> {
    if !io::stdin().is_terminal() {
        let message = "nobody is there to confirm this: add --yes to apply without asking";
        return Err(Stop::new(Exit::USAGE, message).into());
    }
    let s = if changes == 1 { "" } else { "s" };
    output::note(&format!("apply this ({changes} change{s})? type yes"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "yes" | "y"))
}

pub(super) async fn versions(context: &Context, client: &Client) -> Result<Exit> {
    let found: Vec<FlowSetHead> = client.list("/flows/versions", &[]).await?;
    let now = clock::now();
    context.output.show_list(&found, "no flows were ever applied", |found| {
        Sheet::list(
            ["NUMBER", "APPLIED", "BY", "VERSION"],
            found.iter().map(|set| {
                [
                    set.number.to_string().into(),
                    moment(set.at, now).into(),
                    set.by.as_str().into(),
                    set.version.as_str().into(),
                ]
            }),
        )
    })?;
    Ok(Exit::DONE)
}

/// The files in force, or those of an older version.
pub(super) async fn files(client: &Client, args: &ShowFlow) -> Result<Vec<FlowFile>> {
    #[derive(serde::Deserialize)]
    struct Whole {
        files: Vec<FlowFile>,
    }
    let whole: Whole = match args.version {
        Some(number) => client.get(&format!("/flows/versions/{number}"), &[]).await?,
        None => client.get("/flows", &[]).await?,
    };
    Ok(whole.files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> (std::path::PathBuf, String) {
        (path.into(), String::new())
    }

    #[test]
    fn files_are_called_the_same_from_wherever_they_are_applied() {
        let names = |texts| -> Vec<String> {
            named(texts).unwrap().into_iter().map(|file| file.name).collect()
        };
        let expected = ["a.yaml", "b.yaml"];
        assert_eq!(names(vec![text("flows/b.yaml"), text("flows/a.yaml")]), expected);
        assert_eq!(names(vec![text("/etc/x/a.yaml"), text("b.yaml")]), expected);
        let twice = named(vec![text("x/a.yaml"), text("y/a.yaml")]).unwrap_err();
        assert_eq!(twice.to_string(), "two files are called a.yaml: rename one");
    }
}
