//! Clocks that are wrong, jump or stand still, and hosts that sleep: access ends on time, never
//! later, and people hear of it.

use ebbgate_tests::{
    Person::{Adam, Ana},
    Result, Value, World,
    clock::now,
    ensure, eventually, json,
    world::{deadline, grant_id, text},
};
use nix::sys::signal::Signal;
use sqlx::Connection as _;

const SHOP: &str = "orders/postgres/shop";
const HOUR: i64 = 3_600;

async fn agent(world: &World) -> Result<Value> {
    let agents = world.api(Adam)?.list("agents").await?;
    agents.first().cloned().ok_or_else(|| ebbgate_tests::anyhow!("no agent"))
}

#[tokio::test]
async fn a_clock_that_jumps_an_hour_forward_ends_grants_and_one_that_jumps_back_extends_none()
-> Result<()> {
    let mut world = World::builder().movable_clock().start().await?;
    let grant = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    world.broker.stop().await?;
    world.agent.set_clock_ahead(HOUR)?;
    world.all_roles_are_gone().await?;
    world.agent.set_clock_ahead(0)?;
    world.broker.start().await?;
    let over = world.grant_in_state(text(&grant, "id")?, "revoked").await?;
    assert_eq!(over["end_reason"], "expired");

    let grant = world.active(Ana, "shop-auto", SHOP, "8s").await?;
    let login = world.database_login(Ana, text(&grant, "id")?).await?;
    let mut session = login.open(world.orders()?).await?;
    // With the broker gone nobody else can tell the time.
    world.broker.kill()?;
    world.agent.set_clock_ahead(-HOUR)?;
    eventually("her session being cut", async || {
        ensure!(session.ping().await.is_err(), "it lives at {}", now());
        Ok(())
    })
    .await?;
    assert!(now() >= deadline(&grant)?, "before its time");
    world.all_roles_are_gone().await
}

#[tokio::test]
async fn an_agent_whose_clock_is_off_alarms_and_then_takes_no_new_grants() -> Result<()> {
    let world = World::builder().movable_clock().start().await?;
    let seen = |wanted: &'static str| {
        let world = &world;
        async move {
            ebbgate_tests::waiting::within(
                std::time::Duration::from_secs(60),
                &format!("its clock being called {wanted}"),
                async || {
                    let agent = agent(world).await?;
                    ensure!(agent["clock"] == wanted, "{agent}");
                    Ok(agent)
                },
            )
            .await
        }
    };
    seen("ok").await?;
    world.agent.set_clock_ahead(-20)?;
    let behind = seen("alarm").await?;
    let offset = behind["clock_offset_ms"].as_i64().unwrap_or_default();
    assert!((-25_000..=-15_000).contains(&offset), "{behind}");
    world.active(Ana, "shop-auto", SHOP, "10m").await?;

    world.agent.set_clock_ahead(-120)?;
    seen("refused").await?;
    let wish = json!({"flow": "shop-auto", "resources": [{"id": SHOP}], "duration": "10m"});
    let request = world.api(Ana)?.post("requests", wish).await?.status(201)?;
    let grant = grant_id(&request)?;
    world.grant_until(grant, "not active", |grant| grant["state"] == "planned").await?;
    world.agent.set_clock_ahead(0)?;
    world.grant_in_state(grant, "active").await?;
    Ok(())
}

#[tokio::test]
async fn an_agent_that_stood_still_over_the_deadline_tears_down_when_it_goes_on() -> Result<()> {
    let mut world = World::start().await?;
    let grant = world.active(Ana, "shop-auto", SHOP, "5s").await?;
    let login = world.database_login(Ana, text(&grant, "id")?).await?;
    let mut session = login.open(world.orders()?).await?;
    world.agent.signal(Signal::SIGSTOP)?;
    world.broker.kill()?;
    let deadline = deadline(&grant)?;
    eventually("the deadline passing", async || {
        ensure!(now() > deadline, "it is {}", now());
        Ok(())
    })
    .await?;
    session.ping().await?;
    world.agent.signal(Signal::SIGCONT)?;
    eventually("her session being cut", async || {
        ensure!(session.ping().await.is_err(), "it lives");
        Ok(())
    })
    .await?;
    world.all_roles_are_gone().await
}
