//! The main job, told through the HTTP API: request, decision, approval, grant, use, deadline,
//! teardown, proof.

use ebbgate_tests::{
    Person::{Ana, Ben},
    Result, World,
    api::Api,
    aws::{BUCKET, REPORT},
    clock::now,
    ensure, eventually, json,
    world::{deadline, grant_id, text},
};
use sqlx::Connection as _;

const SHOP: &str = "orders/postgres/shop";
const REPORTS: &str = "prod/s3/reports";

#[tokio::test]
async fn a_database_grant_from_request_to_proof() -> Result<()> {
    let world = World::start().await?;
    let (ana, ben) = (world.api(Ana)?, world.api(Ben)?);

    // Ana sees what she may ask for, and whose word it takes.
    let offers = ana.list("resources").await?;
    let shop = offers.iter().find(|resource| resource["id"] == SHOP);
    let offer = shop
        .and_then(|shop| shop["offers"].as_array()?.iter().find(|o| o["flow"] == "shop-select"))
        .cloned()
        .unwrap_or_default();
    assert_eq!(offer["permission"], "select", "{offers:?}");
    assert!(text(&offer, "approval")?.contains("DBAs"), "{offer}");

    // She asks; it waits for a database administrator.
    let wish = json!({
        "resources": [{"id": SHOP, "permission": "select"}],
        "flow": "shop-select",
        "duration": "10s",
        "reason": "count the orders of March",
    });
    let request = ana.post("requests", wish).await?.status(201)?;
    let (id, grant) = (text(&request, "id")?, grant_id(&request)?);
    assert_eq!(request["state"], "pending");
    assert_eq!(request["waiting_for"][0]["group"], "DBAs", "{request}");
    assert!(world.orders()?.grant_roles().await?.is_empty(), "nothing is made before the approval");

    // Ben finds it and approves; the grant becomes active.
    let inbox = ben.list("requests?waiting_for_me=true").await?;
    assert_eq!(inbox.iter().map(|r| &r["id"]).collect::<Vec<_>>(), [id]);
    let approve = format!("requests/{id}/approve");
    ben.post(&approve, json!({"comment": "until noon"})).await?.status(200)?;
    let active = world.grant_in_state(grant, "active").await?;
    let deadline = deadline(&active)?;

    // Her own password, of which the broker only sees the verifier, opens a session.
    let login = world.database_login(Ana, grant).await?;
    let mut session = login.open(world.orders()?).await?;
    let orders: i64 =
        sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&mut session).await?;
    assert_eq!(orders, 100);
    let written = sqlx::query("DELETE FROM orders").execute(&mut session).await;
    assert!(written.is_err(), "select is no permission to write");

    // At the deadline, and not before, her session is cut and a new one refused.
    eventually("her session being cut", async || {
        ensure!(session.ping().await.is_err(), "it lives");
        Ok(())
    })
    .await?;
    assert!(now() >= deadline, "cut before its time");
    eventually("a new session being refused", async || {
        ensure!(login.open(world.orders()?).await.is_err(), "it was opened");
        Ok(())
    })
    .await?;

    // The proof: what was found on the target, and the whole story in the audit log.
    let over = world.grant_in_state(grant, "revoked").await?;
    assert_eq!(over["end_reason"], "expired");
    assert_eq!(over["finding"]["sessions_ended"], 1, "{over}");
    assert!(text(&over["finding"], "checked_at")?.parse::<jiff::Timestamp>()? >= deadline);
    assert!(world.orders()?.grant_roles().await?.is_empty());
    let ended = request_in_state(&ana, id, "ended").await?;
    assert_eq!(ended["end_reason"], "expired");
    assert_eq!(
        actions_of(&world, id).await?,
        [
            "request.created",
            "request.reviewed",
            "request.approved",
            "grant.provisioning",
            "grant.active",
            "credential.requested",
            "credential.issued",
            "grant.revoking",
            "grant.revoked",
            "request.ended",
        ]
    );
    world.audit_is_intact().await
}

#[tokio::test]
async fn access_to_a_bucket_ends_at_the_deadline() -> Result<()> {
    let world = World::builder().aws().start().await?;
    let active = world.active(Ana, "reports-read", REPORTS, "10s").await?;
    let (grant, deadline) = (text(&active, "id")?, deadline(&active)?);

    // AWS hands out nothing shorter than 15 minutes; the end is told, and enforced, all the same.
    let path = format!("grants/{grant}/credentials");
    let answer = world.api(Ana)?.post(&path, json!({})).await?;
    assert_eq!(answer.headers.get("cache-control").map(|v| v.as_bytes()), Some(&b"no-store"[..]));
    let expiration: jiff::Timestamp = text(&answer.status(200)?, "expiration")?.parse()?;
    assert!(expiration <= deadline, "{expiration} is after {deadline}");

    let ana = world.aws_login(Ana, grant).await?;
    assert_eq!(ana.get_object(BUCKET, REPORT.0).await?.success()?, REPORT.1);
    ana.put_object(BUCKET, "mine.txt", "graffiti").await?.refused("AccessDenied")?;
    let identity = ana.sts("GetCallerIdentity", &[]).await?.success()?;
    assert!(identity.contains(grant), "CloudTrail would show the grant: {identity}");

    eventually("AWS refusing her", async || {
        ana.get_object(BUCKET, REPORT.0).await?.refused("AccessDenied")
    })
    .await?;
    // AWS compares whole seconds.
    let second = jiff::SignedDuration::from_secs(1);
    assert!(now() + second >= deadline, "refused before its time");
    let over = world.grant_in_state(grant, "revoked").await?;
    assert_eq!(over["end_reason"], "expired");
    assert!(over["finding"]["summary"].is_string(), "{over}");
    ana.get_object(BUCKET, REPORT.0).await?.refused("AccessDenied")
}

#[tokio::test]
async fn a_released_bucket_session_ends_and_its_neighbour_lives_on() -> Result<()> {
    let world = World::builder().aws().start().await?;
    let first = world.active(Ana, "reports-read", REPORTS, "10m").await?;
    let second = world.active(Ana, "reports-read", REPORTS, "10m").await?;
    let (first, second) = (text(&first, "id")?, text(&second, "id")?);
    let early = world.aws_login(Ana, first).await?;
    let other = world.aws_login(Ana, second).await?;
    early.get_object(BUCKET, REPORT.0).await?.success()?;

    world.api(Ana)?.post(&format!("grants/{first}/release"), json!({})).await?.status(200)?;
    let over = world.grant_in_state(first, "revoked").await?;
    assert_eq!(over["end_reason"], "released");
    early.get_object(BUCKET, REPORT.0).await?.refused("AccessDenied")?;
    // Both are sessions of one role: only hers of this grant is denied.
    other.get_object(BUCKET, REPORT.0).await?.success()?;
    Ok(())
}

#[tokio::test]
async fn a_released_database_grant_ends_at_once() -> Result<()> {
    let world = World::start().await?;
    let active = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let grant = text(&active, "id")?;
    let login = world.database_login(Ana, grant).await?;
    let mut session = login.open(world.orders()?).await?;
    world.api(Ana)?.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
    let over = world.grant_in_state(grant, "revoked").await?;
    assert_eq!(over["end_reason"], "released");
    assert!(session.ping().await.is_err(), "her session outlived its grant");
    assert!(login.open(world.orders()?).await.is_err(), "a new session was opened");
    world.all_roles_are_gone().await
}

#[tokio::test]
async fn an_administrator_takes_a_grant_away() -> Result<()> {
    use ebbgate_tests::Person::Adam;

    let world = World::start().await?;
    let active = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let grant = text(&active, "id")?;
    let path = format!("grants/{grant}/revoke");
    world.api(Adam)?.post(&path, json!({"comment": "wrong database"})).await?.status(200)?;
    let over = world.grant_in_state(grant, "revoked").await?;
    assert_eq!(over["end_reason"], "revoked");
    world.all_roles_are_gone().await
}

#[tokio::test]
async fn what_a_grant_made_is_gone_or_harmless_afterwards() -> Result<()> {
    let world = World::start().await?;
    let active = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let grant = text(&active, "id")?;
    let login = world.database_login(Ana, grant).await?;
    let mut session = login.open(world.orders()?).await?;
    // What outlives sessions and roles elsewhere: a prepared transaction and a temporary table.
    sqlx::raw_sql("CREATE TEMPORARY TABLE notes (note text)").execute(&mut session).await?;
    let mut second = login.open(world.orders()?).await?;
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM orders; PREPARE TRANSACTION 'sleeper'")
        .execute(&mut second)
        .await?;

    world.api(Ana)?.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
    world.grant_in_state(grant, "revoked").await?;
    let mut superuser = world.orders()?.superuser("shop").await?;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_prepared_xacts")
        .fetch_one(&mut superuser)
        .await?;
    assert_eq!(left, 0, "a prepared transaction was left");
    world.all_roles_are_gone().await
}

/// Waits until a request is in a state, and gives it.
async fn request_in_state(api: &Api, id: &str, state: &str) -> Result<ebbgate_tests::Value> {
    eventually(&format!("request {id} being {state}"), async || {
        let request = api.get(&format!("requests/{id}")).await?.status(200)?;
        ensure!(request["state"] == state, "{request}");
        Ok(request)
    })
    .await
}

/// What the audit log tells of a request, in order.
async fn actions_of(world: &World, request: &str) -> Result<Vec<String>> {
    let records = world.audit().await?;
    Ok(records
        .iter()
        .filter(|record| record["request_id"] == request)
        .filter_map(|record| record["action"].as_str().map(str::to_owned))
        .collect())
}
