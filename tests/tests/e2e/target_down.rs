//! A target that is down at the deadline: the teardown is retried until it is back, is visible as
//! stuck, is never dropped, and delays no other target.

use ebbgate_tests::{
    Context as _,
    Person::Ana,
    Result, World,
    world::{deadline, text},
};

const SHOP: &str = "orders/postgres/shop";

#[tokio::test]
async fn a_teardown_is_retried_until_the_target_is_back() -> Result<()> {
    let mut world = World::builder().database("billing").start().await?;
    let shop = world.active(Ana, "shop-auto", SHOP, "5s").await?;
    let billing = world.active(Ana, "billing-auto", "billing/postgres/billing", "7s").await?;
    let (shop, billing) = (text(&shop, "id")?, text(&billing, "id")?);
    world.orders_mut()?.stop()?;

    // The other target's grant ends meanwhile, through the same agent.
    let over = world.grant_in_state(billing, "revoked").await?;
    assert_eq!(over["end_reason"], "expired");
    let server = world.databases.get("billing").context("a server for billing")?;
    assert!(server.grant_roles().await?.is_empty());

    // This one is tried again and again, and says what is wrong.
    let stuck = world.grant_until(shop, "being stuck", |grant| grant["stuck"] == true).await?;
    assert_eq!(stuck["state"], "revoking", "{stuck}");
    assert!(stuck["last_error"].is_string() && stuck["next_attempt_at"].is_string(), "{stuck}");
    let metrics = world.broker.api()?.get("/metrics").await?.status(200)?;
    let metrics = metrics.as_str().unwrap_or_default();
    let counted = "ebbgate_teardown_failures_total{integration=\"orders\"} ";
    assert!(metrics.contains(counted), "no metric tells of it: {metrics}");

    world.orders_mut()?.resume()?;
    let over = world.grant_in_state(shop, "revoked").await?;
    assert_eq!(over["end_reason"], "expired");
    assert_eq!(over["stuck"], false);
    world.all_roles_are_gone().await
}

#[tokio::test]
async fn a_target_that_crashes_and_recovers_loses_no_teardown() -> Result<()> {
    let mut world = World::start().await?;
    let active = world.active(Ana, "shop-auto", SHOP, "4s").await?;
    world.orders_mut()?.crash()?;
    let grant = text(&active, "id")?;
    world
        .grant_until(grant, "its deadline passing", |_| {
            deadline(&active).is_ok_and(|deadline| ebbgate_tests::clock::now() > deadline)
        })
        .await?;
    world.orders_mut()?.resume()?;
    world.grant_in_state(grant, "revoked").await?;
    world.all_roles_are_gone().await
}

#[tokio::test]
async fn a_target_that_is_down_when_a_grant_begins_is_tried_until_it_is_back() -> Result<()> {
    let mut world = World::start().await?;
    world.orders_mut()?.stop()?;
    let wish = ebbgate_tests::json!({
        "flow": "shop-auto", "resources": [{"id": SHOP}], "duration": "10m",
    });
    let request = world.api(Ana)?.post("requests", wish).await?.status(201)?;
    let grant = ebbgate_tests::world::grant_id(&request)?;
    world
        .grant_until(grant, "a failed attempt", |grant| {
            grant["state"] == "provisioning" && grant["last_error"].is_string()
        })
        .await?;
    world.orders_mut()?.resume()?;
    world.grant_in_state(grant, "active").await?;
    world.agrees_with_its_targets().await
}

#[tokio::test]
async fn throttling_and_errors_of_aws_delay_a_release_and_lose_nothing() -> Result<()> {
    use ebbgate_tests::{
        aws::{BUCKET, REPORT},
        json,
    };

    let world = World::builder().aws().start().await?;
    let active = world.active(Ana, "reports-read", "prod/s3/reports", "10m").await?;
    let grant = text(&active, "id")?;
    let ana = world.aws_login(Ana, grant).await?;
    let trouble = json!({"throttle_next": 4, "fail_next_5xx": 4, "action": "PutRolePolicy"});
    world.fake_aws()?.faults(&trouble).await?;
    world.api(Ana)?.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
    world.grant_in_state(grant, "revoked").await?;
    ana.get_object(BUCKET, REPORT.0).await?.refused("AccessDenied")
}
