//! Agents as a fleet: several of one integration, tokens that bind, agents that are taken out.

use ebbgate_tests::{
    Person::{Adam, Ana, Ben},
    Result, Value, World, ensure, eventually, json,
    wire::WireAgent,
    world::{grant_id, text},
};

const SHOP: &str = "orders/postgres/shop";

/// The agents as administrators see them, by name.
async fn agent(world: &World, name: &str) -> Result<Value> {
    let agents = world.api(Adam)?.list("agents").await?;
    let ours = agents.iter().find(|agent| agent["name"] == name && agent["state"] != "retired");
    ours.cloned().ok_or_else(|| ebbgate_tests::anyhow!("no {name} in {agents:?}"))
}

/// How many grants an agent's own journal calls active.
async fn active(agent: &ebbgate_tests::agent::Agent) -> Result<usize> {
    let status = agent.status().await?;
    let grants = status["grants"].as_array().cloned().unwrap_or_default();
    Ok(grants.iter().filter(|grant| grant["state"] == "active").count())
}

#[tokio::test]
async fn of_two_agents_exactly_one_executes_an_order() -> Result<()> {
    let mut world = World::builder().second_agent().start().await?;
    for _ in 0..8 {
        world.active(Ana, "shop-auto", SHOP, "10m").await?;
    }
    let first = active(&world.agent).await?;
    let second = active(world.second_mut()?).await?;
    assert_eq!(first + second, 8, "{first} and {second}");
    assert!(first > 0 && second > 0, "both have something to do: {first} and {second}");
    assert_eq!(world.orders()?.grant_roles().await?.len(), 8);

    // Neither takes the other's grants for orphans, not even after a restart.
    world.agent.stop().await?;
    world.agent.start()?;
    let adam = world.api(Adam)?;
    world.agent.connected(&adam).await?;
    assert_eq!(world.orders()?.grant_roles().await?.len(), 8);
    world.agrees_with_its_targets().await
}

#[tokio::test]
async fn another_agent_tears_down_when_the_first_is_gone_past_the_deadline() -> Result<()> {
    let mut world = World::builder().second_agent().start().await?;
    let grant = world.active(Ana, "shop-auto", SHOP, "6s").await?;
    let grant = text(&grant, "id")?;
    let login = world.database_login(Ana, grant).await?;
    let session = login.open(world.orders()?).await?;
    // Whoever has it is gone for good.
    if active(&world.agent).await? == 1 {
        world.agent.kill()?;
    } else {
        world.second_mut()?.kill()?;
    }
    let over = world.grant_in_state(grant, "revoked").await?;
    assert_eq!(over["end_reason"], "expired");
    drop(session);
    world.all_roles_are_gone().await?;
    let audit = world.audit().await?;
    let moved = audit.iter().filter(|record| record["action"] == "grant.moved").count();
    assert_eq!(moved, 1, "the audit log tells who took it over");
    Ok(())
}

#[tokio::test]
async fn an_agent_that_drains_takes_no_new_grants_and_ends_the_old_ones() -> Result<()> {
    let mut world = World::builder().second_agent().start().await?;
    let old = world.active(Ana, "shop-auto", SHOP, "8s").await?;
    world.agent.drain().await?;
    eventually("the broker knowing", async || {
        let agent = agent(&world, world.agent.name()).await?;
        ensure!(agent["state"] == "draining", "{agent}");
        Ok(())
    })
    .await?;
    let before = active(&world.agent).await?;
    for _ in 0..6 {
        world.active(Ana, "shop-auto", SHOP, "10m").await?;
    }
    assert!(active(&world.agent).await? <= before, "it took a new one");
    ensure!(active(world.second_mut()?).await? >= 6, "the other has them");
    let over = world.grant_in_state(text(&old, "id")?, "revoked").await?;
    assert_eq!(over["end_reason"], "expired");
    Ok(())
}

#[tokio::test]
async fn a_revoked_agent_is_out_at_once_and_its_grants_end_elsewhere() -> Result<()> {
    let mut world = World::builder().second_agent().start().await?;
    let grants = [
        world.active(Ana, "shop-auto", SHOP, "12s").await?,
        world.active(Ana, "shop-auto", SHOP, "12s").await?,
        world.active(Ana, "shop-auto", SHOP, "12s").await?,
    ];
    let id = agent(&world, world.agent.name()).await?;
    let path = format!("agents/{}/revoke", text(&id, "id")?);
    let why = json!({"comment": "its host was stolen"});
    world.api(Ben)?.post(&path, why.clone()).await?.refused(403, "forbidden")?;
    world.api(Adam)?.post(&path, why).await?.status(200)?;

    let refused = eventually("its certificate being refused", async || {
        match WireAgent::attend(&world.agent.dir(), &world.broker.url(), &["orders"]).await {
            Ok(_) => ebbgate_tests::bail!("it is still welcome"),
            Err(error) => Ok(format!("{error:#}")),
        }
    })
    .await?;
    assert!(refused.contains("not known any more"), "{refused}");
    // It is not trusted to end anything: the other one does.
    world.agent.kill()?;
    for grant in &grants {
        let over = world.grant_in_state(text(grant, "id")?, "revoked").await?;
        assert_eq!(over["end_reason"], "expired");
    }
    world.all_roles_are_gone().await?;
    let audit = world.audit().await?;
    let said = audit.iter().find(|record| record["action"] == "agent.revoked");
    let said = said.ok_or_else(|| ebbgate_tests::anyhow!("not in the audit log"))?;
    assert_eq!(said["details"]["comment"], "its host was stolen");
    world.audit_is_intact().await
}

#[tokio::test]
async fn an_enrolment_token_binds_to_integrations_is_single_use_and_ends() -> Result<()> {
    let mut world = World::builder().database("billing").start().await?;
    let adam = world.api(Adam)?;
    let unknown = json!({"agent": "db-eu", "integrations": ["nothing"]});
    adam.post("agents/tokens", unknown).await?.refused(422, "invalid_request")?;

    world.agent.stop().await?;
    let bound = json!({"agent": "db-eu", "integrations": ["billing"], "valid_for": "10m"});
    let made = adam.post("agents/tokens", bound).await?.status(201)?;
    let token = text(&made, "token")?;
    world.handed_out.note("a bound enrolment token", token);
    std::fs::remove_dir_all(world.agent.dir())?;
    world.agent.enroll_with(&world.broker.url(), token).await?.success()?;
    world.agent.start()?;
    world.agent.connected(&adam).await?;
    let agent = agent(&world, "db-eu").await?;
    assert_eq!(agent["integrations"], json!(["billing"]), "{agent}");
    world.active(Ana, "billing-auto", "billing/postgres/billing", "10m").await?;
    // The shop's database is not this agent's to serve.
    let wish = json!({"flow": "shop-auto", "resources": [{"id": SHOP}], "duration": "10m"});
    let request = world.api(Ana)?.post("requests", wish).await?.status(201)?;
    let grant = grant_id(&request)?;
    world.grant_until(grant, "waiting for its agent", |grant| grant["state"] == "planned").await?;

    let again = world.agent.enroll_with(&world.broker.url(), token).await?;
    assert_ne!(again.code, Some(0), "a token is good for once");
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_upgraded_loses_no_timer() -> Result<()> {
    let mut world = World::start().await?;
    let grant = world.active(Ana, "shop-auto", SHOP, "8s").await?;
    let login = world.database_login(Ana, text(&grant, "id")?).await?;
    let mut session = login.open(world.orders()?).await?;
    // The package manager stops the old one and starts the new one; the broker is away, too.
    world.agent.stop().await?;
    world.broker.kill()?;
    world.agent.start()?;
    eventually("her session being cut", async || {
        ensure!(sqlx::Connection::ping(&mut session).await.is_err(), "it lives");
        Ok(())
    })
    .await?;
    assert!(ebbgate_tests::clock::now() >= ebbgate_tests::world::deadline(&grant)?);
    world.all_roles_are_gone().await
}
