//! Power cuts: broker and agent die at every step of provisioning and of teardown, and are started
//! again. Then there is no role without a grant, no active grant without a role, and everything due
//! is gone.

use ebbgate_tests::{
    Context as _,
    Person::{Adam, Ana},
    Result, Value, World,
    aws::{BUCKET, REPORT},
    ensure, eventually, json,
    world::{grant_id, text},
};
use rstest::rstest;
use sqlx::Connection as _;

const SHOP: &str = "orders/postgres/shop";
const REPORTS: &str = "prod/s3/reports";

#[rstest]
#[tokio::test]
async fn the_agent_dies_while_provisioning(
    #[values("before_intent", "after_intent", "after_effect", "after_record")] step: &str,
) -> Result<()> {
    let mut world = World::start().await?;
    restart_agent_to_crash_at(&mut world, &format!("agent.provision.{step}")).await?;
    let wish = json!({"flow": "shop-auto", "resources": [{"id": SHOP}], "duration": "10m"});
    let request = world.api(Ana)?.post("requests", wish).await?.status(201)?;
    let grant = grant_id(&request)?;
    world.agent.crashed().await?;
    world.agrees_with_its_targets().await?;

    world.agent.start()?;
    world.grant_in_state(grant, "active").await?;
    world.agrees_with_its_targets().await?;
    let login = world.database_login(Ana, grant).await?;
    login.open(world.orders()?).await?.close().await?;
    world.api(Ana)?.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
    ended_for_good(&world, grant).await
}

#[rstest]
#[tokio::test]
async fn the_agent_dies_while_tearing_down(
    #[values("before_intent", "after_intent", "after_effect", "after_record")] step: &str,
) -> Result<()> {
    let mut world = World::start().await?;
    restart_agent_to_crash_at(&mut world, &format!("agent.revoke.{step}")).await?;
    let active = world.active(Ana, "shop-auto", SHOP, "5s").await?;
    let grant = text(&active, "id")?;
    let login = world.database_login(Ana, grant).await?;
    let mut session = login.open(world.orders()?).await?;
    world.agent.crashed().await?;

    world.agent.start()?;
    eventually("her session being cut", async || {
        ensure!(session.ping().await.is_err(), "it lives");
        Ok(())
    })
    .await?;
    ended_for_good(&world, grant).await
}

#[rstest]
#[tokio::test]
async fn the_broker_dies_while_provisioning(
    #[values("before_intent", "after_intent", "after_effect", "after_record")] step: &str,
    #[values(("shop-auto", SHOP), ("reports-read", REPORTS))] access: (&str, &str),
) -> Result<()> {
    let mut world = World::builder().aws().start().await?;
    let (flow, resource) = access;
    restart_broker_to_crash_at(&mut world, &format!("broker.provision.{step}")).await?;
    let wish = json!({"flow": flow, "resources": [{"id": resource}], "duration": "10m"});
    // The broker may die before it answers. The key makes asking again safe.
    let ana = world.api(Ana)?;
    let _lost = ana.post_once("requests", "before-the-crash", wish.clone()).await;
    world.broker.crashed().await?;

    world.broker.start().await?;
    let request = ana.post_once("requests", "before-the-crash", wish).await?.success()?;
    let grant = grant_id(&request)?;
    world.grant_in_state(grant, "active").await?;
    world.agrees_with_its_targets().await?;
    assert_eq!(ana.list("requests?state=all").await?.len(), 1);
    assert_eq!(ana.list("grants?state=all").await?.len(), 1);
    if resource == SHOP {
        let login = world.database_login(Ana, grant).await?;
        login.open(world.orders()?).await?.close().await?;
    } else {
        let aws = world.aws_login(Ana, grant).await?;
        aws.get_object(BUCKET, REPORT.0).await?.success()?;
    }
    ana.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
    ended_for_good(&world, grant).await
}

#[rstest]
#[tokio::test]
async fn the_broker_dies_while_tearing_down_a_database_grant(
    #[values("before_intent", "after_intent", "after_effect", "after_record")] step: &str,
) -> Result<()> {
    let mut world = World::start().await?;
    restart_broker_to_crash_at(&mut world, &format!("broker.revoke.{step}")).await?;
    let active = world.active(Ana, "shop-auto", SHOP, "5s").await?;
    let grant = text(&active, "id")?;
    let login = world.database_login(Ana, grant).await?;
    let mut session = login.open(world.orders()?).await?;
    world.broker.crashed().await?;

    world.broker.start().await?;
    eventually("her session being cut", async || {
        ensure!(session.ping().await.is_err(), "it lives");
        Ok(())
    })
    .await?;
    ended_for_good(&world, grant).await
}

/// Records that bear no seals, and a log that is shorter than the broker knew it: a store of before,
/// which its operator vouches for. Before the commit nothing of it is accepted, after it everything;
/// but nothing is given until the operator has been told that it is done.
#[rstest]
#[tokio::test]
async fn an_operator_dies_while_sealing(
    #[values("before_commit", "after_commit")] step: &str,
    #[values(false, true)] postgres: bool,
) -> Result<()> {
    let builder = World::builder();
    let mut world = if postgres { builder.postgres_store() } else { builder }.start().await?;
    let active = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let grant = text(&active, "id")?;
    world.broker.stop().await?;
    for table in ["requests", "grants", "agents", "audit_head"] {
        world.by_hand(&format!("UPDATE {table} SET seal = NULL")).await?;
    }
    let mark = world.broker.data().join("log.mark");
    std::fs::write(mark, format!("99999 {}\n", "ab".repeat(32))).context("write the mark")?;

    let unsealed = world.broker.command(&["seal"]).await?.exit(1)?.stdout;
    ensure!(unsealed.contains(grant) && unsealed.contains("audit_head end"), "{unsealed}");
    let point = format!("broker.seal.{step}");
    world.broker.command_to_crash_at(&["seal", "--accept"], &point).await?;
    let left = world.broker.command(&["seal"]).await?;
    if step == "before_commit" {
        assert_eq!(left.exit(1)?.stdout, unsealed, "half of it was accepted");
        let refused = world.broker.command(&["migrate"]).await?.exit(1)?.stderr;
        ensure!(refused.contains("ebbgate-broker seal --accept"), "{refused}");
    } else {
        left.success()?;
        world.broker.start().await?;
        let wish = json!({"flow": "shop-auto", "resources": [{"id": SHOP}], "duration": "10m"});
        world.api(Ana)?.post("requests", wish).await?.refused(500, "record_not_believed")?;
        world.broker.stop().await?;
    }

    world.broker.command(&["seal", "--accept"]).await?.success()?;
    world.broker.command(&["seal"]).await?.success()?;
    world.broker.start().await?;
    world.grant_in_state(grant, "active").await?;
    world.active(Ana, "shop-auto", SHOP, "10m").await?;
    world.api(Ana)?.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
    ended_for_good(&world, grant).await
}

#[rstest]
#[tokio::test]
async fn the_broker_dies_while_tearing_down_a_bucket_grant(
    #[values("before_intent", "after_intent", "after_effect", "after_record")] step: &str,
) -> Result<()> {
    let mut world = World::builder().aws().start().await?;
    restart_broker_to_crash_at(&mut world, &format!("broker.revoke.{step}")).await?;
    let released = world.active(Ana, "reports-read", REPORTS, "10m").await?;
    let kept = world.active(Ana, "reports-read", REPORTS, "10m").await?;
    let (released, kept) = (text(&released, "id")?, text(&kept, "id")?);
    let early = world.aws_login(Ana, released).await?;
    let neighbour = world.aws_login(Ana, kept).await?;
    let ana = world.api(Ana)?;
    let release = format!("grants/{released}/release");
    let _lost = ana.post(&release, json!({})).await;
    world.broker.crashed().await?;

    world.broker.start().await?;
    // If the first wish was lost with the broker this one counts; otherwise it is in hand already.
    let again = ana.post(&release, json!({})).await?;
    if again.status != 200 {
        again.refused(409, "grant_not_active")?;
    }
    ended_for_good(&world, released).await?;
    early.get_object(BUCKET, REPORT.0).await?.refused("AccessDenied")?;
    neighbour.get_object(BUCKET, REPORT.0).await?.success()?;
    Ok(())
}

#[tokio::test]
async fn everything_dies_at_once_and_the_deadline_holds() -> Result<()> {
    let mut world = World::start().await?;
    let active = world.active(Ana, "shop-auto", SHOP, "4s").await?;
    world.agent.kill()?;
    world.broker.kill()?;
    world.orders_mut()?.crash()?;
    world.orders_mut()?.resume()?;
    world.agent.start()?;
    world.broker.start().await?;
    ended_for_good(&world, text(&active, "id")?).await
}

#[tokio::test]
async fn a_role_that_no_grant_knows_is_removed() -> Result<()> {
    let mut world =
        World::builder().agent_settings("sweep: {every: 1s, orphan_age: 0s}").start().await?;
    world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let roles = world.orders()?.grant_roles().await?;
    let known = roles.first().context("the grant's role")?.as_str();
    // As if a broker's store had been restored from before the grant was made.
    let stranger = format!("{}{}", &known[..known.len() - 8], "00000000");
    let mut superuser = world.orders()?.superuser("postgres").await?;
    let copy =
        format!("CREATE ROLE \"{stranger}\" LOGIN IN ROLE {}", first_group(&world, known).await?);
    ebbgate_tests::postgres::run(&mut superuser, &copy).await?;
    world.agent.stop().await?;
    world.agent.start()?;
    eventually("the unknown role being removed", async || {
        let roles = world.orders()?.grant_roles().await?;
        ensure!(roles.len() == 1 && roles.contains(known), "{roles:?}");
        Ok(())
    })
    .await?;
    let removed = world.audit().await?;
    assert!(removed.iter().any(|record| record["action"] == "agent.orphan_removed"));
    Ok(())
}

/// A role that `member` belongs to.
async fn first_group(world: &World, member: &str) -> Result<String> {
    let mut superuser = world.orders()?.superuser("postgres").await?;
    let group = sqlx::query_scalar(
        "SELECT quote_ident(g.rolname) FROM pg_auth_members m
         JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member
         WHERE r.rolname = $1",
    )
    .bind(member)
    .fetch_one(&mut superuser)
    .await?;
    Ok(group)
}

async fn restart_agent_to_crash_at(world: &mut World, point: &str) -> Result<()> {
    world.agent.stop().await?;
    world.agent.start_to_crash_at(point)?;
    let adam = world.api(Adam)?;
    world.agent.connected(&adam).await
}

async fn restart_broker_to_crash_at(world: &mut World, point: &str) -> Result<()> {
    world.broker.stop().await?;
    world.broker.start_to_crash_at(point).await?;
    let adam = world.api(Adam)?;
    world.agent.connected(&adam).await
}

/// Waits until a grant is over, once, with nothing left of it.
async fn ended_for_good(world: &World, grant: &str) -> Result<()> {
    world.grant_in_state(grant, "revoked").await?;
    world.agrees_with_its_targets().await?;
    let records = world.audit().await?;
    let ends = records.iter().filter(|record| is(record, grant, "grant.revoked")).count();
    assert_eq!(ends, 1, "ends of {grant}");
    world.audit_is_intact().await
}

fn is(record: &Value, grant: &str, action: &str) -> bool {
    record["grant_id"] == grant && record["action"] == action
}
