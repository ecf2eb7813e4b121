//! `ebb creds` from its cache, as the AWS CLI meets it: from the process's start to its exit, against
//! a Rust process that does nothing, and as a part of an `aws` command.

use std::{env, time::Instant};

use anyhow::{Context as _, Result, ensure};
use ebbgate_tests::{Person::Ana, World, places, world::text};

use crate::{
    Figure, NOTHING,
    stats::{compare, milliseconds, percentile},
};

const REPORTS: &str = "prod/s3/reports";

pub(crate) async fn measure(world: &World) -> Result<Vec<Figure>> {
    let active = world.active(Ana, "reports-read", REPORTS, "1h").await?;
    let grant = text(&active, "id")?;
    let ana = world.ebb(Ana).await?;
    let ebb = ana.launch(places::program("ebb")?)?.args(["creds", grant]);
    let itself = env::current_exe().context("ask for the path of this program")?;
    let nothing = ana.launch(itself)?.arg(NOTHING);
    let time = async |launch: &ebbgate_tests::process::Launch| {
        let begin = Instant::now();
        let output = launch.output("").await?;
        let took = begin.elapsed();
        ensure!(output.code == Some(0), "{output:?}");
        Ok(took)
    };
    let compared = compare(30, async || time(&ebb).await, async || time(&nothing).await).await?;

    let aws = ana.launch(places::aws_cli()?)?.arg("--version");
    let (mut helper, mut cli) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        helper.push(milliseconds(time(&ebb).await?));
        cli.push(milliseconds(time(&aws).await?));
    }
    let part = percentile(&mut helper, 0.5) / percentile(&mut cli, 0.5) * 100.0;
    Ok(vec![
        Figure {
            what: "ebb creds, cached / a bare Rust process".to_owned(),
            result: compared.told(),
            goal: "<= 2x",
        },
        Figure {
            what: "ebb creds, cached, of `aws --version`".to_owned(),
            result: format!("{part:.1} %"),
            goal: "<= 2 %",
        },
    ])
}
