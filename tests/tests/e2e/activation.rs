//! When access begins: when its requester says so, at the start that was asked for; and the warning
//! before it ends. With `ebb` and on PostgreSQL.

use ebbgate_tests::{
    Person::{Ana, Ben},
    Result, World,
    clock::now,
    ensure, eventually, json,
    settings::LIFE_FLOWS,
    waiting::within,
    world::{deadline, grant_id, text},
};
use std::time::Duration;

const SHOP: &str = "orders/postgres/shop";
/// What `ebb` ends with when access is not there yet.
const WAITS: i32 = 4;

async fn world() -> Result<World> {
    World::builder().flow("life.yaml", LIFE_FLOWS).start().await
}

#[tokio::test]
async fn an_approval_burns_none_of_the_time_and_a_warning_comes_before_the_end() -> Result<()> {
    let mut world = world().await?;
    let (ana, ben) = (world.ebb(Ana).await?, world.ebb(Ben).await?);
    let ask = ["request", SHOP, "--flow", "shop-later", "--no-wait", "--output", "json"];
    let asked = ana.run(&ask).await?.exit(WAITS)?;
    let request: ebbgate_tests::Value = serde_json::from_str(&asked.stdout)?;
    let (id, grant) = (text(&request, "id")?, grant_id(&request)?);
    ben.run(&["approve", id]).await?.success()?;

    let shown = ana.run(&["requests", "show", id]).await?.success()?;
    assert!(shown.contains(&format!("ebb activate {id}")), "{shown}");
    assert!(world.orders()?.grant_roles().await?.is_empty(), "nothing has begun");
    // An approval outlives the broker.
    world.broker.kill()?;
    world.broker.start().await?;

    let began = now();
    let begun = ana.json(&["activate", id, "--wait"]).await?;
    assert!(begun["activated_at"].is_string(), "{begun}");
    let active = world.grant_in_state(grant, "active").await?;
    let lasts = deadline(&active)?.duration_since(began).as_secs();
    assert!(lasts >= 19, "its 20 seconds count from the activation: {lasts}");
    assert_eq!(ana.run(&["activate", id]).await?.code, Some(1), "once");

    eventually("the warning", async || {
        let log = std::fs::read_to_string(world.broker.log())?;
        let warned = log.matches("grant.ending_soon").count();
        ensure!(warned == 1, "{warned} warnings");
        Ok(())
    })
    .await?;
    world.grant_until(grant, "still active when she is warned", |g| g["state"] == "active").await?;
    let over = world.grant_in_state(grant, "revoked").await?;
    assert_eq!(over["end_reason"], "expired");
    let warnings = world.audit().await?;
    let warnings = warnings.iter().filter(|record| record["action"] == "grant.ending_soon");
    assert_eq!(warnings.count(), 1);
    world.all_roles_are_gone().await
}

#[tokio::test]
async fn a_start_that_was_asked_for_is_kept_although_the_broker_was_down() -> Result<()> {
    let mut world = world().await?;
    let start = now() + jiff::SignedDuration::from_secs(8);
    let wish = json!({
        "flow": "shop-auto", "resources": [{"id": SHOP}], "duration": "10m",
        "starts_at": start.to_string(),
    });
    let request = world.api(Ana)?.post("requests", wish).await?.status(201)?;
    assert_eq!(
        (&request["state"], &request["awaits_activation"]),
        (&json!("approved"), &json!(true))
    );
    world.broker.stop().await?;
    world.broker.start().await?;
    let grant = grant_id(&request)?;
    let id = text(&request, "id")?;
    let ana = world.api(Ana)?;
    within(Duration::from_secs(60), "her access beginning", async || {
        let request = ana.get(&format!("requests/{id}")).await?.status(200)?;
        ensure!(request["state"] == "active", "{request}");
        Ok(())
    })
    .await?;
    let active = world.grant_in_state(grant, "active").await?;
    let planned: jiff::Timestamp = text(&active, "planned_at")?.parse()?;
    assert!(planned >= start, "it began at {planned}, before {start}");
    ana.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
    world.all_roles_are_gone().await
}

#[tokio::test]
async fn a_start_makes_sense_or_is_refused_and_what_waits_can_be_withdrawn() -> Result<()> {
    let world = world().await?;
    let ana = world.api(Ana)?;
    let wish =
        |start: &str| json!({"flow": "shop-auto", "resources": [{"id": SHOP}], "starts_at": start});
    ana.post("requests", wish("2001-01-01T00:00:00Z")).await?.refused(422, "start_not_possible")?;
    ana.post("requests", wish("tomorrow")).await?.refused(422, "invalid_request")?;
    let later = now() + jiff::SignedDuration::from_hours(5);
    let request = ana.post("requests", wish(&later.to_string())).await?.status(201)?;
    let id = text(&request, "id")?;
    let refused = ana.post(&format!("requests/{id}/activate"), json!({})).await?;
    refused.refused(409, "nothing_to_activate")?;
    let withdrawn = ana.post(&format!("requests/{id}/cancel"), json!({})).await?.status(200)?;
    assert_eq!(withdrawn["state"], "cancelled");
    Ok(())
}
