//! Two at the same instant: one effect.

use ebbgate_tests::{
    Person::{Ana, Bea, Ben},
    Result, World, ensure, eventually, json,
    world::{grant_id, text},
};
use sqlx::Connection as _;

const SHOP: &str = "orders/postgres/shop";

#[tokio::test]
async fn two_approvers_at_the_same_instant_make_one_grant() -> Result<()> {
    let world = World::start().await?;
    for _ in 0..5 {
        let wish = json!({
            "resources": [{"id": SHOP}], "flow": "shop-select", "duration": "10m", "reason": "race",
        });
        let request = world.api(Ana)?.post("requests", wish).await?.status(201)?;
        let (id, grant) = (text(&request, "id")?, grant_id(&request)?);
        let path = format!("requests/{id}/approve");
        let (ben, bea) = (world.api(Ben)?, world.api(Bea)?);
        let (ben, bea) = tokio::try_join!(ben.post(&path, json!({})), bea.post(&path, json!({})))?;
        let mut answers = [ben.status, bea.status];
        answers.sort_unstable();
        assert_eq!(answers, [200, 409], "{ben}\n{bea}");
        let late = if ben.status == 409 { ben } else { bea };
        late.refused(409, "already_decided")?;

        world.grant_in_state(grant, "active").await?;
        let records = world.audit().await?;
        let count = |action: &str| {
            let of_it = records.iter().filter(|record| record["request_id"] == id);
            of_it.filter(|record| record["action"] == action).count()
        };
        assert_eq!(count("request.approved"), 1);
        assert_eq!(count("grant.provisioning"), 1);
        assert_eq!(count("grant.active"), 1);
    }
    assert_eq!(world.orders()?.grant_roles().await?.len(), 5);
    Ok(())
}

#[tokio::test]
async fn the_same_post_twice_makes_one_request() -> Result<()> {
    let world = World::start().await?;
    let ana = world.api(Ana)?;
    let wish = json!({
        "resources": [{"id": SHOP}], "flow": "shop-select", "duration": "10m", "reason": "once",
    });
    let (first, second) = tokio::try_join!(
        ana.post_once("requests", "march-report", wish.clone()),
        ana.post_once("requests", "march-report", wish.clone()),
    )?;
    let (first, second) = (first.success()?, second.success()?);
    assert_eq!(first["id"], second["id"]);
    let later = ana.post_once("requests", "march-report", wish.clone()).await?.status(200)?;
    assert_eq!(later["id"], first["id"]);
    assert_eq!(ana.list("requests?state=all").await?.len(), 1);

    // The key is Ana's: Ben may use the same text for something else.
    let own = json!({"resources": [{"id": SHOP}], "flow": "shop-dba"});
    let bens = world.api(Ben)?.post_once("requests", "march-report", own).await?.status(201)?;
    assert_ne!(bens["id"], first["id"]);
    // And another wish under the same key is a mistake.
    let other = json!({
        "resources": [{"id": SHOP}], "flow": "shop-select", "duration": "20m", "reason": "twice",
    });
    let reused = ana.post_once("requests", "march-report", other).await?;
    reused.refused(422, "idempotency_key_reused")?;
    assert_eq!(ana.list("requests?state=all").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_second_password_replaces_the_first() -> Result<()> {
    let world = World::start().await?;
    let active = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let grant = text(&active, "id")?;
    let first = world.database_login(Ana, grant).await?;
    first.open(world.orders()?).await?.close().await?;
    let second = world.database_login(Ana, grant).await?;
    assert_eq!(first.user, second.user);
    second.open(world.orders()?).await?.close().await?;
    assert!(first.open(world.orders()?).await.is_err(), "the first password still works");
    Ok(())
}

#[tokio::test]
async fn release_and_deadline_at_the_same_time_end_a_grant_once() -> Result<()> {
    let world = World::start().await?;
    let active = world.active(Ana, "shop-auto", SHOP, "3s").await?;
    let grant = text(&active, "id")?;
    let ana = world.api(Ana)?;
    let release = format!("grants/{grant}/release");
    // As often as it can until the grant is over: each is done, or refused because it is over.
    eventually("the grant being over", async || {
        let answer = ana.post(&release, json!({})).await?;
        if answer.status != 200 {
            answer.refused(409, "grant_not_active")?;
        }
        let state = ana.get(&format!("grants/{grant}")).await?.status(200)?;
        ensure!(state["state"] == "revoked", "{state}");
        Ok(())
    })
    .await?;
    let records = world.audit().await?;
    let ends = records.iter().filter(|record| record["action"] == "grant.revoked").count();
    assert_eq!(ends, 1);
    world.all_roles_are_gone().await
}
