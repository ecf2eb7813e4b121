//! Agents without their broker: what the partition policy says, and lines that drop everything while
//! both ends believe in them.

use ebbgate_tests::{
    Person::{Adam, Ana},
    Result, World,
    clock::now,
    ensure, eventually,
    waiting::within,
    world::{deadline, text},
};
use sqlx::Connection as _;

const SHOP: &str = "orders/postgres/shop";
/// Longer than the silence after which either end gives a connection up.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(90);

#[tokio::test]
async fn an_agent_with_a_grace_cuts_grants_off_when_its_broker_is_away_for_longer() -> Result<()> {
    let mut world = World::builder().partition("{grace: 30s}").start().await?;
    let grant = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let login = world.database_login(Ana, text(&grant, "id")?).await?;
    let mut session = login.open(world.orders()?).await?;

    // A restart of the broker is well within the grace.
    world.broker.stop().await?;
    world.broker.start().await?;
    let adam = world.api(Adam)?;
    world.agent.connected(&adam).await?;
    session.ping().await?;

    world.broker.kill()?;
    world.all_roles_are_gone().await?;
    assert!(session.ping().await.is_err(), "her session lives on");
    assert!(now() < deadline(&grant)?, "cut off long before its deadline");
    world.broker.start().await?;
    let over = world.grant_in_state(text(&grant, "id")?, "revoked").await?;
    assert_eq!(over["end_reason"], "cut-off", "{over}");
    Ok(())
}

#[tokio::test]
async fn a_restart_of_the_agent_does_not_renew_its_grace() -> Result<()> {
    let mut world = World::builder().partition("{grace: 30s}").start().await?;
    world.active(Ana, "shop-auto", SHOP, "10m").await?;
    world.broker.kill()?;
    let begin = now();
    within(SILENCE, "grants being cut off though the agent restarts all the time", async || {
        world.agent.kill()?;
        world.agent.start()?;
        // A start takes a moment to get to its first tick.
        within(std::time::Duration::from_millis(900), "no role being left", async || {
            let roles = world.orders()?.grant_roles().await?;
            ensure!(roles.is_empty(), "{roles:?}");
            Ok(())
        })
        .await
    })
    .await?;
    ensure!(now().duration_since(begin).as_secs() >= 25, "too early");
    Ok(())
}

#[tokio::test]
async fn a_line_that_drops_everything_delays_no_teardown_and_is_noticed_by_both_ends() -> Result<()>
{
    let world = World::builder().link().start().await?;
    let grant = world.active(Ana, "shop-auto", SHOP, "6s").await?;
    let id = text(&grant, "id")?;
    let login = world.database_login(Ana, id).await?;
    let mut session = login.open(world.orders()?).await?;
    world.link()?.freeze();
    eventually("her session being cut", async || {
        ensure!(session.ping().await.is_err(), "it lives");
        Ok(())
    })
    .await?;
    assert!(now() >= deadline(&grant)?, "before its time");
    world.all_roles_are_gone().await?;
    // The broker has asked and got no answer: it says so, and does not call the grant ended.
    world.grant_until(id, "being torn down", |grant| grant["state"] == "revoking").await?;
    let adam = world.api(Adam)?;
    within(SILENCE, "the broker noticing", async || {
        let agents = adam.list("agents").await?;
        ensure!(agents[0]["connected"] == false, "{agents:?}");
        Ok(())
    })
    .await?;
    world.link()?.thaw();
    let over = world.grant_in_state(id, "revoked").await?;
    assert_eq!(over["end_reason"], "expired");
    Ok(())
}
