//! More time for a live grant, on PostgreSQL: VALID UNTIL moves, the session lives on past the old
//! end and is cut at the new one; with the agent cut off it ends at the old one.

use ebbgate_tests::{
    Context as _,
    Person::{Ana, Ben},
    Result, Value, World,
    aws::{BUCKET, REPORT},
    clock::now,
    ensure, eventually, json,
    settings::LIFE_FLOWS,
    waiting::within,
    world::{deadline, grant_id, text},
};
use jiff::Timestamp;
use sqlx::Connection as _;
use std::time::Duration;

const SHOP: &str = "orders/postgres/shop";

/// Until when the grant's only role may log in by password, as the server has it.
async fn valid_until(world: &World) -> Result<Timestamp> {
    let roles = world.orders()?.grant_roles().await?;
    let role = roles.first().context("the grant's role")?;
    let mut superuser = world.orders()?.superuser("postgres").await?;
    let text: String = sqlx::query_scalar(
        "SELECT to_char(rolvaliduntil AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
         FROM pg_roles WHERE rolname = $1",
    )
    .bind(role)
    .fetch_one(&mut superuser)
    .await?;
    Ok(text.parse()?)
}

async fn active(world: &World, flow: &str, lasts: &str) -> Result<(String, Value)> {
    let wish = json!({"flow": flow, "resources": [{"id": SHOP}], "duration": lasts});
    let request = world.api(Ana)?.post("requests", wish).await?.status(201)?;
    if request["state"] == "pending" {
        let path = format!("requests/{}/approve", text(&request, "id")?);
        world.api(Ben)?.post(&path, json!({})).await?.status(200)?;
    }
    let grant = world.grant_in_state(grant_id(&request)?, "active").await?;
    Ok((text(&request, "id")?.to_owned(), grant))
}

async fn passed(moment: Timestamp) -> Result<()> {
    within(Duration::from_secs(60), "a moment passing", async || {
        ensure!(now() > moment, "it is {}", now());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn her_session_lives_past_the_old_end_and_is_cut_at_the_new_one() -> Result<()> {
    let world = World::builder().flow("life.yaml", LIFE_FLOWS).start().await?;
    let (ana, ben) = (world.ebb(Ana).await?, world.ebb(Ben).await?);
    let (id, before) = active(&world, "shop-agreed", "15s").await?;
    let grant = text(&before, "id")?;
    let login = world.database_login(Ana, grant).await?;
    let mut session = login.open(world.orders()?).await?;
    let old = deadline(&before)?;
    assert_eq!(valid_until(&world).await?.as_second(), old.as_second());

    // The same approval as before.
    let more = ["requests", "extend", &id, "--for", "20s", "--reason", "not done yet"];
    let asked = ana.run(&more).await?.exit(4)?;
    assert!(asked.stderr.contains("ben@example.com"), "{asked:?}");
    let inbox = ben.run(&["inbox"]).await?.success()?;
    assert!(inbox.contains(&id), "{inbox}");
    ben.run(&["approve", &id, "--comment", "finish it"]).await?.success()?;

    let wanted = |grant: &Value| {
        grant["confirmed_deadline"].is_null() && deadline(grant).is_ok_and(|end| end > old)
    };
    let longer = world.grant_until(grant, "its agent knowing of the new end", wanted).await?;
    let new = deadline(&longer)?;
    assert_eq!(new.duration_since(old).as_secs(), 20);
    assert_eq!(valid_until(&world).await?.as_second(), new.as_second(), "the server knows it too");
    assert_eq!(longer["active_since"], before["active_since"]);

    passed(old).await?;
    session.ping().await.context("her session past the old end")?;
    login.open(world.orders()?).await.context("a new log-in past the old end")?.close().await?;
    within(Duration::from_secs(60), "her session being cut", async || {
        ensure!(session.ping().await.is_err(), "it lives");
        Ok(())
    })
    .await?;
    assert!(now() >= new, "cut before its new end");
    let over = world.grant_in_state(grant, "revoked").await?;
    assert_eq!(over["end_reason"], "expired");
    world.all_roles_are_gone().await?;
    let told: Vec<_> =
        world.audit().await?.into_iter().map(|record| record["action"].clone()).collect();
    for action in [
        "request.extension_asked",
        "request.extension_approved",
        "grant.extending",
        "grant.extended",
    ] {
        assert_eq!(told.iter().filter(|told| *told == action).count(), 1, "{action}");
    }
    world.audit_is_intact().await
}

#[tokio::test]
async fn an_agent_that_never_got_the_order_ends_at_the_old_end() -> Result<()> {
    let world = World::builder().flow("life.yaml", LIFE_FLOWS).link().start().await?;
    let (id, before) = active(&world, "shop-longer", "12s").await?;
    let grant = text(&before, "id")?;
    let login = world.database_login(Ana, grant).await?;
    let mut session = login.open(world.orders()?).await?;
    let old = deadline(&before)?;
    // The broker believes in the connection, and the order goes nowhere.
    world.link()?.freeze();
    let more = json!({"duration": "15s"});
    let ana = world.api(Ana)?;
    let extended = ana.post(&format!("requests/{id}/extend"), more).await?.status(200)?;
    assert_eq!(extended["extensions"][0]["state"], "approved");
    let told = ana.get(&format!("grants/{grant}")).await?.status(200)?;
    assert!(deadline(&told)? > old);
    let certain: Timestamp = text(&told, "confirmed_deadline")?.parse()?;
    assert_eq!(certain, old, "what is certain is the old end");

    within(Duration::from_secs(60), "her session being cut", async || {
        ensure!(session.ping().await.is_err(), "it lives");
        Ok(())
    })
    .await?;
    assert!(now() >= old, "cut before the old end");
    world.all_roles_are_gone().await?;
    world.link()?.thaw();
    let over = within(Duration::from_secs(120), "the broker hearing of it", async || {
        let over = ana.get(&format!("grants/{grant}")).await?.status(200)?;
        ensure!(over["state"] == "revoked", "{over}");
        Ok(over)
    })
    .await?;
    assert_eq!(over["end_reason"], "expired");
    let closed: Timestamp = text(&over["finding"], "closed_at")?.parse()?;
    assert!(closed < deadline(&told)?, "closed at {closed}");
    world.all_roles_are_gone().await
}

#[tokio::test]
async fn a_broker_that_dies_between_the_decision_and_the_order_sends_it_again() -> Result<()> {
    let mut world = World::builder().flow("life.yaml", LIFE_FLOWS).start().await?;
    for point in ["broker.provision.before_intent", "broker.provision.after_intent"] {
        let (id, before) = active(&world, "shop-longer", "15s").await?;
        let grant = text(&before, "id")?.to_owned();
        world.broker.stop().await?;
        world.broker.start_to_crash_at(point).await?;
        let ana = world.api(Ana)?;
        let (path, more) = (format!("requests/{id}/extend"), json!({"duration": "15s"}));
        let _lost = ana.post_once(&path, point, more.clone()).await;
        world.broker.crashed().await?;
        world.broker.start().await?;
        ana.post_once(&path, point, more).await?.status(200)?;
        let old = deadline(&before)?;
        let wanted = |grant: &Value| {
            grant["confirmed_deadline"].is_null() && deadline(grant).is_ok_and(|end| end > old)
        };
        let longer = world.grant_until(&grant, "the new end being known", wanted).await?;
        assert_eq!(deadline(&longer)?.duration_since(old).as_secs(), 15, "once: {point}");
        ana.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
        world.grant_in_state(&grant, "revoked").await?;
    }
    world.all_roles_are_gone().await?;
    world.audit_is_intact().await
}

#[tokio::test]
async fn the_end_of_one_grant_leaves_the_other_of_the_same_person_usable() -> Result<()> {
    let world = World::builder().flow("life.yaml", LIFE_FLOWS).start().await?;
    let (_, one) = active(&world, "shop-longer", "30s").await?;
    let two = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let (one, two) = (text(&one, "id")?, text(&two, "id")?);
    let first = world.database_login(Ana, one).await?;
    let second = world.database_login(Ana, two).await?;
    assert_ne!(first.user, second.user, "each grant has a role of its own");
    let mut cut = first.open(world.orders()?).await?;
    let mut kept = second.open(world.orders()?).await?;

    world.api(Ana)?.post(&format!("grants/{one}/release"), json!({})).await?.status(200)?;
    world.grant_in_state(one, "revoked").await?;
    eventually("the first session being cut", async || {
        ensure!(cut.ping().await.is_err(), "it lives");
        Ok(())
    })
    .await?;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&mut kept).await?;
    assert_eq!(rows, 100, "the other one works on");
    assert!(first.open(world.orders()?).await.is_err());
    second.open(world.orders()?).await?.close().await?;
    world.api(Ana)?.post(&format!("grants/{two}/release"), json!({})).await?.status(200)?;
    world.all_roles_are_gone().await
}

#[tokio::test]
async fn refusals_of_more_time_tell_why() -> Result<()> {
    let world = World::builder().flow("life.yaml", LIFE_FLOWS).start().await?;
    let (id, before) = active(&world, "shop-agreed", "20s").await?;
    let (ana, ben) = (world.api(Ana)?, world.api(Ben)?);
    let path = format!("requests/{id}/extend");
    let more = |by: &str| json!({"duration": by});
    ana.post(&path, more("1h")).await?.refused(422, "extension_too_long")?;
    ana.post(&path, more("soon")).await?.refused(422, "invalid_request")?;
    ben.post(&path, more("1s")).await?.refused(403, "not_the_requester")?;
    let asked = ana.post(&path, more("30s")).await?.status(200)?;
    assert_eq!(asked["extensions"][0]["state"], "pending");
    ana.post(&path, more("1s")).await?.refused(409, "extension_not_possible")?;
    let denied = ben.post(&format!("requests/{id}/deny"), json!({"comment": "enough"})).await?;
    let denied = denied.status(200)?;
    assert_eq!(
        (&denied["state"], &denied["extensions"][0]["state"]),
        (&json!("active"), &json!("denied"))
    );
    let grant = text(&before, "id")?;
    ana.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
    world.grant_in_state(grant, "revoked").await?;
    eventually("the request being over", async || {
        let refused = ana.post(&path, more("1s")).await?;
        refused.refused(409, "extension_not_possible").map(drop)
    })
    .await?;
    let fixed = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let path = format!("requests/{}/extend", text(&fixed, "request_id")?);
    ana.post(&path, more("1m")).await?.refused(409, "extension_not_possible")?;
    Ok(())
}

#[tokio::test]
async fn aws_credentials_fetched_anew_carry_the_new_end_and_the_old_ones_the_old() -> Result<()> {
    let flow = "\
kind: AccessFlow
name: reports-longer
requesters: [group:data]
access: [{scope: reports-bucket, permissions: [read-only]}]
approval: automatic
duration: {default: 12s, max: 5m, extend: true, warn: off}
";
    let world = World::builder().aws().flow("longer.yaml", flow).start().await?;
    let before = world.active(Ana, "reports-longer", "prod/s3/reports", "12s").await?;
    let (grant, id) = (text(&before, "id")?, text(&before, "request_id")?);
    let first = world.aws_login(Ana, grant).await?;
    let path = format!("requests/{id}/extend");
    world.api(Ana)?.post(&path, json!({"duration": "20s"})).await?.status(200)?;
    let old = deadline(&before)?;
    let known = |grant: &Value| {
        grant["confirmed_deadline"].is_null() && deadline(grant).is_ok_and(|end| end > old)
    };
    let longer = world.grant_until(grant, "the connector knowing of the new end", known).await?;
    let second = world.aws_login(Ana, grant).await?;
    passed(old).await?;
    first.get_object(BUCKET, REPORT.0).await?.refused("AccessDenied")?;
    second.get_object(BUCKET, REPORT.0).await?.success()?;
    passed(deadline(&longer)?).await?;
    second.get_object(BUCKET, REPORT.0).await?.refused("AccessDenied")?;
    let over = world.grant_in_state(grant, "revoked").await?;
    assert_eq!(over["end_reason"], "expired");
    world.agrees_with_its_targets().await
}
