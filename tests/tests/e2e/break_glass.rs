//! Emergencies: one step, everybody told whatever dies, a review that is owed, and one page that
//! joins it all. With `ebb` and on PostgreSQL.

use ebbgate_tests::{
    Person::{Adam, Ana, Audrey, Eve},
    Result, Value, World, ensure, eventually, json,
    settings::LIFE_FLOWS,
    waiting::within,
    world::{grant_id, text},
};
use std::time::Duration;

const SHOP: &str = "orders/postgres/shop";
const FLOW: &str = "breakglass-shop";

async fn world() -> Result<World> {
    World::builder().flow("life.yaml", LIFE_FLOWS).start().await
}

#[tokio::test]
async fn one_step_gives_access_and_a_review_frees_the_next_one() -> Result<()> {
    let world = world().await?;
    let (ana, audrey) = (world.ebb(Ana).await?, world.ebb(Audrey).await?);
    // Without a resource: all that the flow offers.
    let used = ["break-glass", FLOW, "--reason", "the shop is down", "--wait", "--output", "json"];
    let said = ana.run(&used).await?;
    let request: Value = serde_json::from_str(&said.clone().success()?)?;
    assert!(
        said.stderr.contains("adam@example.com") && said.stderr.contains("carla@example.com"),
        "{said:?}"
    );
    assert!(said.stderr.contains("ebb reviews write"), "{said:?}");
    let (id, grant) = (text(&request, "id")?, grant_id(&request)?);
    world.grant_in_state(grant, "revoked").await?;
    let told = request["break_glass"]["told"].clone();
    assert_eq!(told, json!(["adam@example.com", "carla@example.com", "channel:ops"]));

    let owed = ana.run(&["reviews"]).await?.success()?;
    assert!(owed.contains(id), "{owed}");
    let refused = within(Duration::from_secs(30), "the review being overdue", async || {
        let refused =
            ana.run(&["break-glass", FLOW, SHOP, "--reason", "again", "--no-wait"]).await?;
        ensure!(refused.code == Some(3), "{refused:?}");
        Ok(refused)
    })
    .await?;
    assert!(refused.stderr.contains("review_overdue"), "{refused:?}");
    eventually("reminders to all", async || {
        let log = std::fs::read_to_string(world.broker.log())?;
        ensure!(log.contains("review.due") && log.contains("review.overdue"), "no reminder yet");
        Ok(())
    })
    .await?;

    let mine = ana.json(&["reviews", "list", "--all"]).await?;
    for request in mine.as_array().into_iter().flatten() {
        let owed = text(request, "id")?;
        world.grant_in_state(grant_id(request)?, "revoked").await?;
        ana.run_with_input(&["reviews", "write", owed], "a disk was full\n").await?.success()?;
    }
    ana.run(&["break-glass", FLOW, SHOP, "--reason", "a third", "--wait"]).await?.success()?;

    let page = audrey.json(&["reviews", "show", id]).await?;
    assert_eq!(page["request"]["break_glass"]["written"]["text"], "a disk was full");
    assert_eq!(page["request"]["break_glass"]["written"]["by"], "ana@example.com");
    let records = page["records"].as_array().cloned().unwrap_or_default();
    assert!(records.iter().all(|record| record["request_id"] == id));
    for action in ["breakglass.activated", "grant.active", "grant.revoked", "review.written"] {
        assert!(records.iter().any(|record| record["action"] == action), "{action}: {records:?}");
    }
    world.audit_is_intact().await
}

#[tokio::test]
async fn everybody_hears_of_it_although_the_broker_is_killed_at_once() -> Result<()> {
    let mut world = world().await?;
    let wish = json!({
        "flow": FLOW, "resources": [{"id": SHOP}], "reason": "the shop is down",
    });
    // It dies when the emergency is on record and before anything else is done about it.
    world.broker.stop().await?;
    world.broker.start_to_crash_at("broker.provision.before_intent").await?;
    let ana = world.api(Ana)?;
    let _lost = ana.post_once("requests", "emergency", wish.clone()).await;
    world.broker.crashed().await?;
    world.broker.start().await?;
    let request = ana.post_once("requests", "emergency", wish).await?.success()?;
    eventually("the alarm", async || {
        let log = std::fs::read_to_string(world.broker.log())?;
        let alarm = log.lines().find(|line| line.contains("breakglass.activated"));
        let all = ["adam@example.com", "carla@example.com", "channel:ops"];
        ensure!(alarm.is_some_and(|line| all.iter().all(|who| line.contains(who))), "{alarm:?}");
        Ok(())
    })
    .await?;
    world.grant_in_state(grant_id(&request)?, "revoked").await?;
    let uses = world.audit().await?;
    let uses = uses.iter().filter(|record| record["action"] == "breakglass.activated");
    assert_eq!(uses.count(), 1);
    Ok(())
}

#[tokio::test]
async fn an_emergency_is_never_an_accident() -> Result<()> {
    let world = world().await?;
    let (ana, eve) = (world.api(Ana)?, world.api(Eve)?);
    let wish = json!({"flow": FLOW, "resources": [{"id": SHOP}]});
    ana.post("requests", wish.clone()).await?.refused(422, "reason_required")?;
    let mut named = wish.clone();
    named["reason"] = json!("x");
    eve.post("requests", named.clone()).await?.refused(403, "not_a_requester")?;
    let mut later = named.clone();
    later["starts_at"] = json!("2031-01-01T00:00:00Z");
    ana.post("requests", later).await?.refused(422, "start_not_possible")?;
    let without = json!({"resources": [{"id": SHOP}], "reason": "x"});
    let flows = ana.post("requests", without).await?.refused(422, "flow_ambiguous")?;
    assert!(!flows.to_string().contains(FLOW), "nobody is sent there: {flows}");

    let used = ana.post("requests", named).await?.status(201)?;
    let id = text(&used, "id")?;
    let path = format!("reviews/{id}");
    eve.get(&path).await?.refused(404, "not_found")?;
    ana.post(&path, json!({"text": " "})).await?.refused(422, "invalid_request")?;
    ana.post(&path, json!({"text": "x"})).await?.refused(409, "no_review_due")?;
    world.grant_in_state(grant_id(&used)?, "revoked").await?;
    world.api(Audrey)?.post(&path, json!({"text": "x"})).await?.refused(403, "forbidden")?;
    // An administrator may: its person may have left.
    eventually("the review being written", async || {
        world.api(Adam)?.post(&path, json!({"text": "she left"})).await?.status(200).map(drop)
    })
    .await?;
    ana.post(&path, json!({"text": "x"})).await?.refused(409, "no_review_due")?;
    Ok(())
}
