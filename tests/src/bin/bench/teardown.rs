//! How late teardowns are when a thousand grants fall due in the same second, and how long all of
//! them take against bare SQL that drops as many roles one by one.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ebbgate_tests::{
    Person::Ana, World, api::Api, clock::now, json, postgres::run, waiting::within, world::grant_id,
};
use futures_util::future::join_all;
use jiff::Timestamp;

use crate::{
    Figure,
    stats::{milliseconds, percentile},
};

const SHOP: &str = "orders/postgres/shop";
/// How many fall due at once.
const MANY: usize = 1_000;
/// How many are asked for at the same time.
const CLIENTS: usize = 16;
/// How long making them may take.
const LEAD: Duration = Duration::from_secs(90);

pub(crate) async fn measure(world: &World) -> Result<Vec<Figure>> {
    let due = now().checked_add(LEAD).context("a moment soon")?;
    let due = Timestamp::from_second(due.as_second()).context("a whole second")?;
    let ana = world.api(Ana)?;
    let clients = (0..CLIENTS).map(|_| ask(&ana, due, MANY.div_ceil(CLIENTS)));
    let mut grants = Vec::new();
    for made in join_all(clients).await {
        grants.extend(made?);
    }
    ensure!(now() < due, "making {} grants took longer than {LEAD:?}", grants.len());

    let mut lateness = within(LEAD * 3, "all being torn down", async || {
        let records = world.audit().await?;
        let late: Vec<f64> = records
            .iter()
            .filter(|record| record["action"] == "grant.revoked")
            .filter(|record| {
                record["grant_id"].as_str().is_some_and(|id| grants.iter().any(|g| g == id))
            })
            .filter_map(|record| record["details"]["late_ms"].as_f64())
            .collect();
        ensure!(late.len() == grants.len(), "{} of {}", late.len(), grants.len());
        Ok(late)
    })
    .await?;
    let all = percentile(&mut lateness, 1.0);
    let bare = bare_drops(world).await?;
    Ok(vec![
        Figure {
            what: format!("{} grants due in one second: lateness", grants.len()),
            result: format!(
                "p50 {:.0} ms, p99 {:.0} ms, last {all:.0} ms",
                percentile(&mut lateness, 0.5),
                percentile(&mut lateness, 0.99),
            ),
            goal: "-",
        },
        Figure {
            what: "all torn down / bare SQL, one by one".to_owned(),
            result: format!("{:.2}x; {all:.0} ms against {bare:.0} ms", all / bare),
            goal: "<= 0.2x",
        },
    ])
}

/// Asks for `count` grants that all end within the second after `due`.
async fn ask(ana: &Api, due: Timestamp, count: usize) -> Result<Vec<String>> {
    let mut grants = Vec::new();
    for _ in 0..count {
        let seconds = due.duration_since(now()).as_secs() + 1;
        let duration = format!("{seconds}s");
        let wish = json!({"flow": "shop-auto", "resources": [{"id": SHOP}], "duration": duration});
        let request = ana.post("requests", wish).await?.status(201)?;
        grants.push(grant_id(&request)?.to_owned());
    }
    Ok(grants)
}

/// Makes as many roles and drops them one by one, with what a teardown does for each; gives how long
/// the dropping took, in milliseconds.
async fn bare_drops(world: &World) -> Result<f64> {
    let mut superuser = world.orders()?.superuser("shop").await?;
    for n in 0..MANY {
        run(&mut superuser, &format!("CREATE ROLE due_{n} LOGIN")).await?;
    }
    let begin = Instant::now();
    for n in 0..MANY {
        let sql = format!(
            "ALTER ROLE due_{n} NOLOGIN;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'due_{n}';
             DROP OWNED BY due_{n}; DROP ROLE due_{n}"
        );
        run(&mut superuser, &sql).await?;
    }
    Ok(milliseconds(begin.elapsed()))
}
