//! What an agent says that is late, not its own or not from an agent at all.

use ebbgate_proto::v1::{self, outcome::Result as Said};
use ebbgate_tests::{
    Person::{Adam, Ana},
    Result, Value, World, ensure, eventually, json,
    wire::WireAgent,
    world::{grant_id, text},
};

const SHOP: &str = "orders/postgres/shop";

/// A world whose agent is played by hand.
async fn world() -> Result<(World, WireAgent)> {
    let mut world = World::start().await?;
    world.agent.stop().await?;
    let agent = WireAgent::attend(&world.agent.dir(), &world.broker.url(), &["orders"]).await?;
    Ok((world, agent))
}

fn outcome(order: &v1::Order, seq: u64, result: Said) -> v1::Outcome {
    v1::Outcome {
        seq,
        grant_id: order.spec.as_ref().map(|spec| spec.grant_id.clone()).unwrap_or_default(),
        result: Some(result),
        ..v1::Outcome::default()
    }
}

#[tokio::test]
async fn an_outcome_of_an_old_order_is_refused_with_its_code_and_changes_nothing() -> Result<()> {
    let (world, mut agent) = world().await?;
    let wish = json!({"resources": [{"id": SHOP}], "flow": "shop-auto", "duration": "10m"});
    let request = world.api(Ana)?.post("requests", wish).await?.status(201)?;
    let grant = grant_id(&request)?;
    let provision = agent.order().await?;
    agent
        .outcome(outcome(
            &provision,
            provision.seq,
            Said::Provisioned(v1::Provisioned { recording: None }),
        ))
        .await?;
    world.grant_in_state(grant, "active").await?;
    world.api(Ana)?.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
    let revoke = agent.order().await?;
    ensure!(revoke.seq > provision.seq, "a later order has a higher number");

    let before = world.api(Ana)?.get(&format!("grants/{grant}")).await?.status(200)?;
    let failure = v1::Failure { message: "too late".to_owned(), may_pass: true };
    for late in [
        outcome(&provision, provision.seq, Said::ProvisionFailed(failure.clone())),
        outcome(&provision, provision.seq, Said::TeardownFailed(failure)),
    ] {
        agent.outcome(late).await?;
    }
    let after = world.api(Ana)?.get(&format!("grants/{grant}")).await?.status(200)?;
    assert_eq!(before, after);

    let stale: Vec<Value> = world
        .audit()
        .await?
        .into_iter()
        .filter(|record| record["action"] == "grant.stale_order" && record["grant_id"] == grant)
        .collect();
    assert_eq!(stale.len(), 2, "{stale:?}");
    for record in &stale {
        assert_eq!(record["details"]["code"], "stale_order", "{record}");
    }
    Ok(())
}

#[tokio::test]
async fn nobody_attends_without_a_certificate_of_an_agent_that_is_known() -> Result<()> {
    let (world, agent) = world().await?;
    drop(agent);
    // Another agent takes the name: the first one's certificate, still valid, opens nothing.
    let made = world.api(Adam)?.post("agents/tokens", json!({"agent": world.agent.name()})).await?;
    world.handed_out.note("a second enrolment token", text(&made.status(201)?, "token")?);
    let copy = world.dir().join("copy");
    std::fs::create_dir(&copy)?;
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        std::fs::copy(world.agent.dir().join(file), copy.join(file))?;
    }
    std::fs::remove_dir_all(world.agent.dir())?;
    world.agent.enroll(&world.broker.url(), &world.api(Adam)?, &world.handed_out).await?;
    let refused = WireAgent::attend(&copy, &world.broker.url(), &["orders"]).await.unwrap_err();
    assert!(format!("{refused:#}").contains("enrol it again"), "{refused:#}");
    eventually("the new one being welcome", async || {
        WireAgent::attend(&world.agent.dir(), &world.broker.url(), &["orders"]).await
    })
    .await?;
    Ok(())
}
