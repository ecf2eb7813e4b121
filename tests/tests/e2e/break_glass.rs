//! Emergencies: one step, everybody told whatever dies, a review that is owed, and one page that
//! joins it all. With `ebb` and on PostgreSQL.

use ebbgate_tests::{
    Person::{Adam, Ana, Audrey, Eve},
    Result, Value, World, ensure, eventually, json,
    postgres::{self, Postgres},
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

/// Statements of an emergency are in the server's log, and nobody else's because of it.
#[tokio::test]
async fn what_an_emergency_does_is_recorded_at_its_target() -> Result<()> {
    const LONGER: &str = "
kind: AccessFlow
name: breakglass-longer
requesters: [group:data]
access: [{scope: shop-db, permissions: [select]}]
approval: automatic
duration: {default: 10m, max: 10m}
break_glass: {review_within: 1h, notify: [channel:ops]}
";
    let world =
        World::builder().flow("life.yaml", LIFE_FLOWS).flow("longer.yaml", LONGER).start().await?;
    // The harness has everybody's statements logged; here as on a server that logs none.
    let mut admin = world.orders()?.superuser("shop").await?;
    let allow = format!("GRANT SET ON PARAMETER log_statement TO {}", Postgres::CONNECTOR);
    postgres::run(&mut admin, &allow).await?;
    postgres::run(&mut admin, "ALTER DATABASE shop SET log_statement = 'none'").await?;

    let wish = json!({
        "flow": "breakglass-longer", "resources": [{"id": SHOP}], "reason": "the shop is down",
    });
    let used = world.api(Ana)?.post("requests", wish).await?.status(201)?;
    let emergency = grant_id(&used)?;
    let active = world.grant_in_state(emergency, "active").await?;
    let recording = text(&active, "recording")?;
    let logged = format!("PostgreSQL logs each statement of ebb_{emergency} (log_statement = all)");
    assert_eq!(recording, logged);
    let mut session = world.database_login(Ana, emergency).await?.open(world.orders()?).await?;
    postgres::run(&mut session, "SELECT 'in an emergency'").await?;
    let silence = postgres::run(&mut session, "SET log_statement = 'none'").await;
    assert!(silence.is_err(), "she can't switch it off");

    let plain = world.active(Ana, "shop-kept", SHOP, "10m").await?;
    assert!(plain["recording"].is_null(), "{plain}");
    let plain = text(&plain, "id")?;
    let mut other = world.database_login(Ana, plain).await?.open(world.orders()?).await?;
    postgres::run(&mut other, "SELECT 'on a quiet day'").await?;
    let log = std::fs::read_to_string(world.orders()?.log())?;
    let line = log.lines().find(|line| line.contains("SELECT 'in an emergency'"));
    assert!(line.is_some_and(|line| line.contains(&format!("ebb_{emergency}"))), "{line:?}");
    assert!(!log.contains("on a quiet day"));

    let id = text(&used, "id")?;
    let page = world.ebb(Audrey).await?.json(&["reviews", "show", id]).await?;
    assert_eq!(page["request"]["grants"][0]["recording"], logged);
    let records = page["records"].as_array().cloned().unwrap_or_default();
    let told = records.iter().find(|record| record["action"] == "grant.active");
    assert_eq!(told.map(|record| &record["details"]["recording"]), Some(&json!(logged)));
    let read = world.ebb(Audrey).await?.run(&["reviews", "show", id]).await?.success()?;
    assert!(read.contains(&logged), "{read}");
    for grant in [emergency, plain] {
        world.api(Ana)?.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
        world.grant_in_state(grant, "revoked").await?;
    }
    Ok(())
}
