//! Broker and agent on two networks whose cable is pulled out, or loses what one of them sends: the
//! agent ends access alone and on time, the broker claims nothing that it can't know, and when the
//! cable is whole again it learns the proof, and nothing was given twice.

use std::time::Duration;

use ebbgate_tests::{
    Person::{Adam, Ana},
    Result, Value, World,
    cable::{Frames, no_namespaces},
    clock::now,
    ensure, eventually, json,
    waiting::within,
    world::{deadline, grant_id, text},
};
use rstest::rstest;
use sqlx::Connection as _;

const SHOP: &str = "orders/postgres/shop";
/// Longer than the silence after which either end gives a connection up, and to dial again.
const SILENCE: Duration = Duration::from_secs(90);

/// How the cable is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    PulledOut,
    Loses(Frames),
}

async fn break_cable(world: &World, how: Broken) -> Result<()> {
    match how {
        Broken::PulledOut => world.cable()?.pull_out().await,
        Broken::Loses(frames) => world.cable()?.lose(frames).await,
    }
}

async fn mend_cable(world: &World, how: Broken) -> Result<()> {
    match how {
        Broken::PulledOut => world.cable()?.plug_in().await,
        Broken::Loses(frames) => world.cable()?.lose_no_more(frames).await,
    }
}

/// None where it was said that there can be no namespaces; `cargo xtask test` says so at its end.
async fn two_networks() -> Result<Option<World>> {
    if let Some(reason) = no_namespaces() {
        eprintln!("NOT TESTED: no network namespaces here: {reason}");
        return Ok(None);
    }
    World::builder().two_networks().start().await.map(Some)
}

#[rstest]
#[case::both_ways(Broken::PulledOut)]
#[case::to_the_broker(Broken::Loses(Frames::ToBroker))]
#[case::to_the_agent(Broken::Loses(Frames::ToAgent))]
#[tokio::test]
async fn a_broken_cable_delays_no_teardown_and_the_proof_arrives_later(
    #[case] how: Broken,
) -> Result<()> {
    let Some(world) = two_networks().await? else { return Ok(()) };
    let active = world.active(Ana, "shop-auto", SHOP, "6s").await?;
    let id = text(&active, "id")?;
    let login = world.database_login(Ana, id).await?;
    let mut session = login.open(world.orders()?).await?;
    break_cable(&world, how).await?;

    eventually("her session being cut", async || {
        ensure!(session.ping().await.is_err(), "it lives");
        Ok(())
    })
    .await?;
    assert!(now() >= deadline(&active)?, "cut before its time");
    world.all_roles_are_gone().await?;
    if how != Broken::Loses(Frames::ToAgent) {
        // The proof could not get through: the broker does not say that it has one.
        let torn = world.grant_until(id, "being torn down", |grant| grant["state"] == "revoking");
        assert!(torn.await?["finding"].is_null(), "a finding that nobody told");
        seen_connected(&world, false).await?;
    }

    mend_cable(&world, how).await?;
    let over = world.grant_in_state(id, "revoked").await?;
    assert_eq!(over["end_reason"], "expired");
    assert!(over["finding"]["summary"].is_string(), "the agent's own finding: {over}");
    seen_connected(&world, true).await?;
    assert_eq!(how_often(&world, id, "grant.active").await?, 1);
    assert_eq!(how_often(&world, id, "grant.revoked").await?, 1);
    world.all_roles_are_gone().await?;
    world.agrees_with_its_targets().await?;
    world.audit_is_intact().await
}

#[rstest]
#[case::both_ways(Broken::PulledOut)]
#[case::to_the_broker(Broken::Loses(Frames::ToBroker))]
#[case::to_the_agent(Broken::Loses(Frames::ToAgent))]
#[tokio::test]
async fn what_is_asked_for_over_a_broken_cable_is_given_once(#[case] how: Broken) -> Result<()> {
    let Some(world) = two_networks().await? else { return Ok(()) };
    break_cable(&world, how).await?;
    let wish = json!({"flow": "shop-auto", "resources": [{"id": SHOP}], "duration": "30m"});
    let request = world.api(Ana)?.post("requests", wish).await?.status(201)?;
    let grant = grant_id(&request)?;
    if how == Broken::Loses(Frames::ToBroker) {
        // The order arrives and is carried out; that it was does not come back.
        eventually("the role being made", async || {
            let roles = world.orders()?.grant_roles().await?;
            ensure!(roles.len() == 1, "{roles:?}");
            Ok(())
        })
        .await?;
    }
    // Both dial anew, so that the order is sent again.
    seen_connected(&world, false).await?;
    let shown = world.api(Adam)?.get(&format!("grants/{grant}")).await?.status(200)?;
    assert_ne!(shown["state"], "active", "nobody told the broker: {shown}");

    mend_cable(&world, how).await?;
    seen_connected(&world, true).await?;
    world.grant_in_state(grant, "active").await?;
    assert_eq!(how_often(&world, grant, "grant.active").await?, 1);
    assert_eq!(world.orders()?.grant_roles().await?.len(), 1, "given twice");
    world.agrees_with_its_targets().await?;

    let release = format!("grants/{grant}/release");
    world.api(Ana)?.post(&release, json!({})).await?.status(200)?;
    world.grant_in_state(grant, "revoked").await?;
    world.all_roles_are_gone().await?;
    world.audit_is_intact().await
}

/// Waits until the broker sees its agent so.
async fn seen_connected(world: &World, connected: bool) -> Result<()> {
    let adam = world.api(Adam)?;
    within(SILENCE, "the broker seeing how its agent is", async || {
        let agents = adam.list("agents").await?;
        ensure!(agents.len() == 1 && agents[0]["connected"] == connected, "{agents:?}");
        Ok(())
    })
    .await
}

/// How often that was done to a grant, by the audit log.
async fn how_often(world: &World, grant: &str, action: &str) -> Result<usize> {
    let audit = world.audit().await?;
    let of_grant = |record: &&Value| record["action"] == action && record["grant_id"] == grant;
    Ok(audit.iter().filter(of_grant).count())
}
