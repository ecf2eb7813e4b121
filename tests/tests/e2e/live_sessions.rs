//! What runs now under which grant, and ending one session while its grant stays.

use ebbgate_tests::{
    Person::{Adam, Ana, Audrey, Ben},
    Result, Value, World, ensure, eventually, json,
    world::text,
};
use sqlx::Connection as _;

const SHOP: &str = "orders/postgres/shop";

async fn sessions(world: &World, path: &str) -> Result<Vec<Value>> {
    let found = world.api(Adam)?.get(path).await?.status(200)?;
    ensure!(found["unavailable"] == json!([]), "{found}");
    Ok(found["items"].as_array().cloned().unwrap_or_default())
}

#[tokio::test]
async fn an_administrator_sees_sessions_and_ends_one() -> Result<()> {
    let world = World::start().await?;
    let anas = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let grant = text(&anas, "id")?;
    let login = world.database_login(Ana, grant).await?;
    let mut one = login.open(world.orders()?).await?;
    let mut other = login.open(world.orders()?).await?;
    sqlx::raw_sql("BEGIN; SELECT 1").execute(&mut one).await?;

    let seen = eventually("both sessions being seen", async || {
        let seen = sessions(&world, "sessions").await?;
        ensure!(seen.len() == 2, "{seen:?}");
        Ok(seen)
    })
    .await?;
    for session in &seen {
        assert_eq!(session["grant_id"], grant, "{session}");
        assert_eq!(session["principal"], "ana@example.com", "{session}");
        assert_eq!(session["resource"], SHOP, "{session}");
        assert!(session["started_at"].is_string() && session["client"].is_string(), "{session}");
    }
    let open = seen.iter().find(|session| session["state"] == "idle in transaction");
    let open = open.ok_or_else(|| ebbgate_tests::anyhow!("no open transaction: {seen:?}"))?;

    let end = json!({
        "grant_id": grant, "id": open["id"], "started_at": open["started_at"], "comment": "locks",
    });
    world.api(Ben)?.post("sessions/end", end.clone()).await?.refused(403, "forbidden")?;
    let ended = world.api(Adam)?.post("sessions/end", end.clone()).await?.status(200)?;
    assert_eq!(ended["found"], true);
    assert!(one.ping().await.is_err(), "the session was ended");
    other.ping().await?;
    world.grant_in_state(grant, "active").await?;
    let again = world.api(Adam)?.post("sessions/end", end).await?.status(200)?;
    assert_eq!(again["found"], false);
    let audit = world.audit().await?;
    let said: Vec<_> = audit.iter().filter(|record| record["action"] == "session.ended").collect();
    assert_eq!(said.len(), 2, "each order to end one is on record");
    assert_eq!(said[0]["grant_id"], grant);
    Ok(())
}

#[tokio::test]
async fn people_see_their_own_sessions_and_auditors_all() -> Result<()> {
    let world = World::start().await?;
    let anas = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let login = world.database_login(Ana, text(&anas, "id")?).await?;
    let _session = login.open(world.orders()?).await?;
    for (person, count) in [(Ana, 1), (Ben, 0), (Audrey, 1), (Adam, 1)] {
        let found = world.api(person)?.get("sessions").await?.status(200)?;
        let items = found["items"].as_array().cloned().unwrap_or_default();
        assert_eq!(items.len(), count, "{person:?}: {found}");
    }
    Ok(())
}

#[tokio::test]
async fn an_integration_whose_agent_is_away_is_named() -> Result<()> {
    let mut world = World::start().await?;
    world.agent.stop().await?;
    eventually("orders being unavailable", async || {
        let found = world.api(Adam)?.get("sessions").await?.status(200)?;
        let unavailable = &found["unavailable"][0];
        ensure!(unavailable["integration"] == "orders", "{found}");
        ensure!(unavailable["reason"].is_string(), "{found}");
        Ok(())
    })
    .await
}
