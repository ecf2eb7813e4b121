//! What a broker and an agent that have nothing to do hold in memory.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use ebbgate_tests::World;

use crate::Figure;

pub(crate) async fn measure(world: &World) -> Result<Vec<Figure>> {
    // Start-up is over when nothing was asked for a while.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let broker = world.broker.id().context("the broker runs")?;
    let agent = world.agent.id().context("the agent runs")?;
    Ok(vec![
        Figure {
            what: "idle broker, resident".to_owned(),
            result: held(broker)?,
            goal: "<= 15 MiB",
        },
        Figure { what: "idle agent, resident".to_owned(), result: held(agent)?, goal: "<= 12 MiB" },
    ])
}

/// A process's resident memory, and its proportional share of it where pages are shared with others.
fn held(id: u32) -> Result<String> {
    let rss = mebibytes(&format!("/proc/{id}/status"), "VmRSS:")?;
    let pss = mebibytes(&format!("/proc/{id}/smaps_rollup"), "Pss:")?;
    Ok(format!("{rss:.1} MiB (its share {pss:.1})"))
}

fn mebibytes(path: &str, name: &str) -> Result<f64> {
    let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    Ok(kib.with_context(|| format!("find {name} in {path}"))? / 1_024.0)
}
