//! People who may not have it any more: what the settings say takes effect when they are read again.

use std::fs;

use ebbgate_tests::{
    Context as _,
    Person::Ana,
    Result, World, ensure, eventually, json,
    settings::LIFE_FLOWS,
    world::{grant_id, text},
};
use rstest::rstest;
use sqlx::Connection as _;

const SHOP: &str = "orders/postgres/shop";

/// Replaces a text in one of the broker's files and lets it read them again.
fn edit(world: &World, file: &str, old: &str, new: &str) -> Result<()> {
    let path = world.broker.folder().join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("read {file}"))?;
    ensure!(text.contains(old), "no {old} in {text}");
    fs::write(&path, text.replace(old, new)).with_context(|| format!("write {file}"))?;
    world.broker.reload()
}

fn lose(world: &World, what: &str) -> Result<()> {
    match what {
        "the group" => {
            edit(world, "users.yaml", "name: Ana, groups: [data]", "name: Ana, groups: [sales]")
        }
        _ => edit(world, "flows/shop.yaml", "name: shop-auto\n", "name: shop-other\n"),
    }
}

#[rstest]
#[case::lost_group("the group", "not-a-requester")]
#[case::removed_flow("the flow", "flow-removed")]
#[tokio::test]
async fn live_access_and_pending_wishes_end(
    #[case] what: &str,
    #[case] reason: &str,
) -> Result<()> {
    let world = World::builder().flow("life.yaml", LIFE_FLOWS).start().await?;
    let ana = world.api(Ana)?;
    let live = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let kept = world.active(Ana, "shop-kept", SHOP, "10m").await?;
    let pending = json!({"flow": "shop-later", "resources": [{"id": SHOP}]});
    let pending = ana.post("requests", pending).await?.status(201)?;
    let login = world.database_login(Ana, text(&live, "id")?).await?;
    let mut session = login.open(world.orders()?).await?;
    let other = world.database_login(Ana, text(&kept, "id")?).await?;
    let mut other = other.open(world.orders()?).await?;

    lose(&world, what)?;
    let over = world.grant_in_state(text(&live, "id")?, "revoked").await?;
    assert_eq!(over["end_reason"], reason);
    eventually("her session being cut", async || {
        ensure!(session.ping().await.is_err(), "it lives");
        Ok(())
    })
    .await?;
    other.ping().await.context("what its flow keeps")?;
    let path = format!("requests/{}", text(&pending, "id")?);
    let cancelled = what == "the group";
    eventually("her wish", async || {
        let request = ana.get(&path).await?.status(200)?;
        let wanted = if cancelled { "cancelled" } else { "pending" };
        ensure!(request["state"] == wanted, "{request}");
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn who_is_disabled_loses_what_a_flow_would_keep_too() -> Result<()> {
    let world = World::builder().flow("life.yaml", LIFE_FLOWS).start().await?;
    let kept = world.active(Ana, "shop-kept", SHOP, "10m").await?;
    let users = fs::read_to_string(world.broker.folder().join("users.yaml"))?;
    let line = users.lines().find(|line| line.contains("ana@example.com")).context("ana")?;
    edit(&world, "users.yaml", line, &line.replace("disabled: false", "disabled: true"))?;
    let over = world.grant_in_state(text(&kept, "id")?, "revoked").await?;
    assert_eq!(over["end_reason"], "requester-left");
    world.all_roles_are_gone().await
}

#[tokio::test]
async fn access_that_waits_to_begin_is_cancelled_with_its_flow() -> Result<()> {
    let world = World::builder().flow("life.yaml", LIFE_FLOWS).start().await?;
    let later = ebbgate_tests::clock::now() + jiff::SignedDuration::from_hours(1);
    let wish = json!({
        "flow": "shop-auto", "resources": [{"id": SHOP}], "starts_at": later.to_string(),
    });
    let ana = world.api(Ana)?;
    let request = ana.post("requests", wish).await?.status(201)?;
    grant_id(&request)?;
    lose(&world, "the flow")?;
    let path = format!("requests/{}", text(&request, "id")?);
    eventually("her access being cancelled", async || {
        let request = ana.get(&path).await?.status(200)?;
        ensure!(request["state"] == "cancelled", "{request}");
        Ok(())
    })
    .await
}
