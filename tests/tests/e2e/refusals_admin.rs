//! What administrators and auditors ask of sessions, agents and drift: filters, what is not there, what
//! lacks a reason, and what is asked twice.

use ebbgate_tests::{
    Person::{Adam, Ana, Audrey, Ben},
    Result, Value, World, ensure, eventually, json,
    world::text,
};

const SHOP: &str = "orders/postgres/shop";
const NOBODYS: &str = "grt_0190a6f4c1de7000aaaaaaaaaaaaaaaa";

fn count(found: &Value) -> Option<usize> {
    found["items"].as_array().map(Vec::len)
}

#[tokio::test]
async fn sessions_are_filtered_by_integration_and_by_grant() -> Result<()> {
    let world = World::builder().database("billing").start().await?;
    let (adam, audrey, ben) = (world.api(Adam)?, world.api(Audrey)?, world.api(Ben)?);
    let one = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let other = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let (one, other) = (text(&one, "id")?, text(&other, "id")?);
    let _first = world.database_login(Ana, one).await?.open(world.orders()?).await?;
    let _second = world.database_login(Ana, other).await?.open(world.orders()?).await?;

    let found = audrey.get("sessions?integration=orders").await?.status(200)?;
    assert_eq!(count(&found), Some(2), "{found}");
    let found = audrey.get("sessions?integration=billing").await?.status(200)?;
    assert_eq!(count(&found), Some(0), "{found}");
    let found = world.api(Ana)?.get(&format!("sessions?grant={one}")).await?.status(200)?;
    assert_eq!(count(&found), Some(1), "{found}");
    assert_eq!(found["items"][0]["grant_id"], one, "{found}");

    // Somebody else's is as if it were not there.
    ben.get(&format!("sessions?grant={one}")).await?.refused(404, "not_found")?;
    adam.get(&format!("sessions?grant={NOBODYS}")).await?.refused(404, "not_found")?;
    adam.get("sessions?integration=nothing").await?.refused(404, "not_found")?;
    let said = adam.get("sessions?integration=No+Name&grant=grt_1").await?;
    let said = said.refused(422, "invalid_request")?;
    assert!(
        said.to_string().contains("integration") && said.to_string().contains("grant"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn to_end_a_session_takes_its_name_and_a_reason() -> Result<()> {
    let world = World::start().await?;
    let adam = world.api(Adam)?;
    let active = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let grant = text(&active, "id")?;
    let login = world.database_login(Ana, grant).await?;
    let mut session = login.open(world.orders()?).await?;
    let seen = eventually("the session being seen", async || {
        let found = adam.get(&format!("sessions?grant={grant}")).await?.status(200)?;
        ensure!(count(&found) == Some(1), "{found}");
        Ok(found["items"][0].clone())
    })
    .await?;
    let good = json!({
        "grant_id": grant, "id": seen["id"], "started_at": seen["started_at"], "comment": "locks",
    });
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (bad, status, code) in [
        (with("comment", json!("  ")), 422, "invalid_request"),
        (with("grant_id", json!("orders")), 422, "invalid_request"),
        (with("started_at", json!("yesterday")), 422, "invalid_request"),
        (with("force", json!(true)), 422, "invalid_request"),
        (with("grant_id", json!(NOBODYS)), 404, "not_found"),
    ] {
        adam.post("sessions/end", bad).await?.refused(status, code)?;
    }
    // Another session that had its number before, or none.
    for old in [with("started_at", json!("2026-01-01T00:00:00Z")), with("id", json!("2147483647"))]
    {
        let said = adam.post("sessions/end", old).await?.status(200)?;
        assert_eq!(said["found"], false, "{said}");
    }
    sqlx::Connection::ping(&mut session).await?;
    // The same order again, as after a lost answer, finds it gone and is no conflict.
    let key = "3f0e2c1a-end-this-session";
    let said = adam.post_once("sessions/end", key, good.clone()).await?.status(200)?;
    assert_eq!(said["found"], true, "{said}");
    let said = adam.post_once("sessions/end", key, good.clone()).await?.status(200)?;
    assert_eq!(said["found"], false, "{said}");
    assert!(sqlx::Connection::ping(&mut session).await.is_err());
    world.audit_is_intact().await
}

#[tokio::test]
async fn to_shut_an_agent_out_takes_its_id_and_a_reason() -> Result<()> {
    let world = World::start().await?;
    let adam = world.api(Adam)?;
    let agents = adam.list("agents").await?;
    let id = text(&agents[0], "id")?;
    assert_eq!(agents[0]["state"], "connected", "{agents:?}");
    assert_eq!(agents[0]["allowed_integrations"], Value::Null, "{agents:?}");
    assert_eq!(agents[0]["clock"], "ok", "{agents:?}");
    assert!(agents[0]["version"].is_string() && agents[0]["certificate_expires_at"].is_string());

    let (path, why) = (format!("agents/{id}/revoke"), json!({"comment": "its host was stolen"}));
    world.api(Audrey)?.post(&path, why.clone()).await?.refused(403, "forbidden")?;
    adam.post(&path, json!({"comment": " "})).await?.refused(422, "invalid_request")?;
    adam.post(&path, json!({})).await?.refused(422, "invalid_request")?;
    let nobody = format!("agents/{}/revoke", id.replace(|c: char| c.is_ascii_digit(), "0"));
    adam.post(&nobody, why.clone()).await?.refused(404, "not_found")?;

    let said = adam.post(&path, why.clone()).await?.status(200)?;
    assert_eq!(said["state"], "revoked", "{said}");
    // Once more changes nothing.
    let said = adam.post(&path, json!({"comment": "again"})).await?.status(200)?;
    assert_eq!(said["state"], "revoked", "{said}");
    let audit = world.audit().await?;
    let told = audit.iter().filter(|record| record["action"] == "agent.revoked").count();
    assert_eq!(told, 1);
    eventually("its stream being ended", async || {
        let agents = adam.list("agents").await?;
        ensure!(agents[0]["connected"] == false && agents[0]["state"] == "revoked", "{agents:?}");
        Ok(())
    })
    .await?;
    // What only it served can't be asked any more, and that is said.
    let found = adam.get("sessions").await?.status(200)?;
    assert_eq!(found["unavailable"][0]["integration"], "orders", "{found}");
    Ok(())
}

#[tokio::test]
async fn drift_names_each_integration_who_looked_and_when() -> Result<()> {
    let sweep = "sweep: {every: 1s, orphan_age: 1h}";
    let world = World::builder().database("billing").agent_settings(sweep).start().await?;
    let audrey = world.api(Audrey)?;
    world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let looks = eventually("a look at each", async || {
        let found = audrey.get("drift").await?.status(200)?;
        let look = |name: &str| {
            let items = found["items"].as_array().into_iter().flatten();
            items.into_iter().find(|item| item["integration"] == name).cloned()
        };
        let (orders, billing) = (look("orders"), look("billing"));
        let (Some(orders), Some(billing)) = (orders, billing) else {
            ebbgate_tests::bail!("not yet: {found}");
        };
        ensure!(orders["marked"] == 1, "{found}");
        Ok([orders, billing])
    })
    .await?;
    for look in &looks {
        assert_eq!(look["by"], world.agent.name(), "{look}");
        assert_eq!((&look["orphans"], &look["missing"]), (&json!([]), &json!([])), "{look}");
        assert_eq!(look["error"], Value::Null, "{look}");
        text(look, "at")?.parse::<jiff::Timestamp>()?;
    }
    assert_eq!(looks[1]["marked"], 0, "{looks:?}");
    Ok(())
}

#[tokio::test]
async fn a_target_that_cannot_be_looked_at_is_told_as_such() -> Result<()> {
    let sweep = "sweep: {every: 1s, orphan_age: 1h}";
    let mut world = World::builder().agent_settings(sweep).start().await?;
    let audrey = world.api(Audrey)?;
    world.orders_mut()?.stop()?;
    eventually("the look telling that it failed", async || {
        let found = audrey.get("drift").await?.status(200)?;
        ensure!(found["items"][0]["error"].is_string(), "{found}");
        Ok(())
    })
    .await?;
    world.orders_mut()?.resume()?;
    eventually("a look that succeeds again", async || {
        let found = audrey.get("drift").await?.status(200)?;
        ensure!(found["items"][0]["error"].is_null(), "{found}");
        Ok(())
    })
    .await
}
