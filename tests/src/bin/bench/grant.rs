//! From an auto-approved, durably audited request to a credential that works, against the bare SQL
//! that does the same on the same server.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ebbgate_tests::{
    Person::Ana,
    World, json,
    postgres::run,
    secrets::{random_hex, scram_verifier},
    world::grant_id,
};

use crate::{
    Figure,
    stats::{compare, milliseconds},
};

const SHOP: &str = "orders/postgres/shop";

pub(crate) async fn measure(world: &World) -> Result<Vec<Figure>> {
    let ana = world.api(Ana)?;
    let wish = json!({"flow": "shop-auto", "resources": [{"id": SHOP}], "duration": "1h"});
    let mut made = Vec::new();
    let ours = async || {
        let verifier = scram_verifier(&random_hex()?);
        let begin = Instant::now();
        let request = ana.post("requests", wish.clone()).await?.status(201)?;
        let grant = grant_id(&request)?.to_owned();
        let path = format!("grants/{grant}");
        while ana.get(&path).await?.status(200)?["state"] != "active" {
            if begin.elapsed() > Duration::from_secs(30) {
                bail!("{grant} doesn't become active");
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        let body = json!({"scram_verifier": verifier});
        ana.post(&format!("{path}/credentials"), body).await?.status(200)?;
        let took = begin.elapsed();
        made.push(grant);
        Ok(took)
    };

    let active = world.active(Ana, "shop-auto", SHOP, "1h").await?;
    let mut superuser = world.orders()?.superuser("shop").await?;
    let privilege: String = sqlx::query_scalar(
        "SELECT quote_ident(g.rolname) FROM pg_auth_members m
         JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member
         WHERE r.rolname LIKE '%' || $1",
    )
    .bind(active["id"].as_str())
    .fetch_one(&mut superuser)
    .await
    .context("find the privilege role")?;
    let mut count = 0;
    let bare = async || {
        count += 1;
        let verifier = scram_verifier(&random_hex()?);
        let begin = Instant::now();
        let sql = format!(
            "BEGIN; CREATE ROLE bare_{count} LOGIN PASSWORD '{verifier}'
                 VALID UNTIL '2100-01-01' CONNECTION LIMIT 5;
             GRANT {privilege} TO bare_{count}; COMMIT"
        );
        run(&mut superuser, &sql).await?;
        Ok(begin.elapsed())
    };

    let compared = compare(20, ours, bare).await?;
    let begin = Instant::now();
    let many = made.len();
    for grant in made {
        ana.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
    }
    Ok(vec![
        Figure {
            what: "request to credential / bare SQL (p50)".to_owned(),
            result: compared.told(),
            goal: "<= 1.25x",
        },
        Figure {
            what: format!("{many} releases, one after the other"),
            result: format!("{:.1} ms each to answer", milliseconds(begin.elapsed()) / many as f64),
            goal: "-",
        },
    ])
}
