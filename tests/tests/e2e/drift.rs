//! What is on a target and should not be, and what should be there and is not.

use ebbgate_tests::{
    Person::{Adam, Ana, Audrey, Ben},
    Result, Value, World, ensure, eventually,
    postgres::run,
    world::text,
};

const SHOP: &str = "orders/postgres/shop";
/// A grant that nobody ever made.
const NOBODYS: &str = "grt_0190a6f4c1de7000aaaaaaaaaaaaaaaa";
const SWEEP: &str = "sweep: {every: 1s, orphan_age: 0s}";

async fn drift(world: &World) -> Result<Value> {
    let found = world.api(Audrey)?.get("drift").await?.status(200)?;
    let ours = found["items"].as_array().into_iter().flatten();
    let ours = ours.into_iter().find(|item| item["integration"] == "orders").cloned();
    ours.ok_or_else(|| ebbgate_tests::anyhow!("no look at orders yet: {found}"))
}

#[tokio::test]
async fn an_orphan_is_removed_and_reported() -> Result<()> {
    let world = World::builder().agent_settings(SWEEP).start().await?;
    let kept = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let kept = text(&kept, "id")?;
    let mut superuser = world.orders()?.superuser("postgres").await?;
    run(&mut superuser, &format!("CREATE ROLE ebb_{NOBODYS} LOGIN")).await?;
    eventually("the orphan being gone", async || {
        let roles = world.orders()?.grant_roles().await?;
        ensure!(roles.iter().all(|role| !role.ends_with(NOBODYS)), "{roles:?}");
        ensure!(roles.iter().any(|role| role.ends_with(kept)), "the wrong one went");
        Ok(())
    })
    .await?;
    let record = eventually("the audit log telling of it", async || {
        let audit = world.audit().await?;
        let told = audit.into_iter().find(|record| record["action"] == "agent.orphan_removed");
        told.ok_or_else(|| ebbgate_tests::anyhow!("not yet"))
    })
    .await?;
    assert_eq!(record["grant_id"], NOBODYS, "{record}");
    assert!(world.audit().await?.iter().any(|record| record["action"] == "drift.found"));
    eventually("a clean look", async || {
        let look = drift(&world).await?;
        ensure!(look["orphans"] == ebbgate_tests::json!([]) && look["marked"] == 1, "{look}");
        Ok(())
    })
    .await?;
    world.api(Ben)?.get("drift").await?.refused(403, "forbidden").map(drop)
}

#[tokio::test]
async fn an_orphan_is_left_alone_until_it_has_some_age() -> Result<()> {
    let old = "sweep: {every: 1s, orphan_age: 1h}";
    let world = World::builder().agent_settings(old).start().await?;
    let mut superuser = world.orders()?.superuser("postgres").await?;
    run(&mut superuser, &format!("CREATE ROLE ebb_{NOBODYS} LOGIN")).await?;
    eventually("a report of it", async || {
        let look = drift(&world).await?;
        ensure!(look["orphans"] == ebbgate_tests::json!([NOBODYS]), "{look}");
        Ok(())
    })
    .await?;
    assert_eq!(world.orders()?.grant_roles().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_grant_that_somebody_removed_on_the_target_ends_with_its_reason() -> Result<()> {
    let world = World::builder().agent_settings(SWEEP).start().await?;
    let grant = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let kept = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let mut superuser = world.orders()?.superuser("postgres").await?;
    run(&mut superuser, &format!("DROP ROLE ebb_{}", text(&grant, "id")?)).await?;
    let over = world.grant_in_state(text(&grant, "id")?, "revoked").await?;
    assert_eq!(over["end_reason"], "missing", "{over}");
    assert!(over["finding"]["summary"].is_string(), "looked at all the same: {over}");
    let still = world.api(Adam)?.get(&format!("grants/{}", text(&kept, "id")?)).await?;
    assert_eq!(still.status(200)?["state"], "active");
    world.agrees_with_its_targets().await
}
