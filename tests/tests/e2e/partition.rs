//! The deadline belongs to the agent too: it tears down with the broker gone, and after its own
//! absence first of all.

use ebbgate_tests::{
    Person::Ana,
    Result, Value, World,
    clock::now,
    ensure, eventually,
    world::{deadline, text},
};
use sqlx::Connection as _;

const SHOP: &str = "orders/postgres/shop";

#[tokio::test]
async fn the_agent_tears_down_on_time_with_the_broker_gone_for_good() -> Result<()> {
    let mut world = World::start().await?;
    let active = world.active(Ana, "shop-auto", SHOP, "6s").await?;
    let login = world.database_login(Ana, text(&active, "id")?).await?;
    let mut session = login.open(world.orders()?).await?;
    world.broker.kill()?;

    eventually("her session being cut", async || {
        ensure!(session.ping().await.is_err(), "it lives");
        Ok(())
    })
    .await?;
    assert!(now() >= deadline(&active)?, "cut before its time");
    world.all_roles_are_gone().await?;
    holds_nothing_live(&world).await
}

#[tokio::test]
async fn what_the_agent_did_alone_is_told_when_the_broker_is_back() -> Result<()> {
    let mut world = World::start().await?;
    let active = world.active(Ana, "shop-auto", SHOP, "4s").await?;
    world.broker.stop().await?;
    world.all_roles_are_gone().await?;
    world.broker.start().await?;
    let over = world.grant_in_state(text(&active, "id")?, "revoked").await?;
    assert_eq!(over["end_reason"], "expired");
    assert!(over["finding"]["summary"].is_string(), "the agent's own finding: {over}");
    world.audit_is_intact().await
}

#[tokio::test]
async fn an_agent_that_slept_over_the_deadline_tears_down_first_thing() -> Result<()> {
    let mut world = World::start().await?;
    let active = world.active(Ana, "shop-auto", SHOP, "4s").await?;
    let login = world.database_login(Ana, text(&active, "id")?).await?;
    let mut session = login.open(world.orders()?).await?;
    // Both are away, and the broker stays away: nobody can tell the agent anything.
    world.agent.kill()?;
    world.broker.kill()?;
    passed(&active).await?;
    // VALID UNTIL already refuses a new log-in; the session that is open lives on.
    assert!(login.open(world.orders()?).await.is_err(), "VALID UNTIL is the backstop");
    session.ping().await?;

    world.agent.start()?;
    eventually("her session being cut", async || {
        ensure!(session.ping().await.is_err(), "it lives");
        Ok(())
    })
    .await?;
    world.all_roles_are_gone().await
}

#[tokio::test]
async fn a_broker_that_slept_over_the_deadline_does_what_is_due_at_start() -> Result<()> {
    let mut world = World::builder().aws().start().await?;
    let shop = world.active(Ana, "shop-auto", SHOP, "4s").await?;
    let reports = world.active(Ana, "reports-read", "prod/s3/reports", "4s").await?;
    let ana = world.aws_login(Ana, text(&reports, "id")?).await?;
    world.broker.kill()?;
    passed(&shop).await?;
    passed(&reports).await?;
    // The session policy carries the end: AWS needs no broker for it.
    ana.get_object(ebbgate_tests::aws::BUCKET, ebbgate_tests::aws::REPORT.0)
        .await?
        .refused("AccessDenied")?;
    world.broker.start().await?;
    for grant in [&shop, &reports] {
        let over = world.grant_in_state(text(grant, "id")?, "revoked").await?;
        assert_eq!(over["end_reason"], "expired");
    }
    world.agrees_with_its_targets().await
}

#[tokio::test]
async fn a_request_made_while_the_agent_is_away_is_carried_out_when_it_is_back() -> Result<()> {
    let mut world = World::start().await?;
    world.agent.stop().await?;
    let wish = ebbgate_tests::json!({
        "flow": "shop-auto", "resources": [{"id": SHOP}], "duration": "10m",
    });
    let request = world.api(Ana)?.post("requests", wish).await?.status(201)?;
    let grant = ebbgate_tests::world::grant_id(&request)?;
    world.grant_until(grant, "not active without its agent", |g| g["state"] != "active").await?;
    world.agent.start()?;
    world.grant_in_state(grant, "active").await?;
    world.agrees_with_its_targets().await
}

/// Waits until a grant's deadline has passed.
async fn passed(grant: &Value) -> Result<()> {
    let deadline = deadline(grant)?;
    eventually("the deadline passing", async || {
        ensure!(now() > deadline, "it is {}", now());
        Ok(())
    })
    .await
}

/// Waits until the agent's own journal shows no grant that is still to be torn down.
async fn holds_nothing_live(world: &World) -> Result<()> {
    eventually("the agent's status", async || {
        let status = world.agent.status().await?;
        let grants = status["grants"].as_array().cloned().unwrap_or_default();
        let live = grants.iter().filter(|grant| grant["state"] == "active").count();
        ensure!(live == 0, "{status}");
        Ok(())
    })
    .await
}
