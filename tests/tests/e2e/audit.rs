//! The audit log shows when somebody changed it behind our back.

use ebbgate_tests::{
    Context as _,
    Person::{Ana, Audrey},
    Result, World, json,
};
use rstest::rstest;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

const SHOP: &str = "orders/postgres/shop";

#[rstest]
#[case::a_changed_record(
    "UPDATE {table} SET body = replace(body, 'curious', 'diligent') WHERE seq = {seq}"
)]
#[case::a_removed_record("DELETE FROM {table} WHERE seq = {seq}")]
#[case::a_changed_hash("UPDATE {table} SET hash = prev_hash WHERE seq = {seq}")]
#[case::a_cut_tail("DELETE FROM {table} WHERE seq >= {seq}")]
#[tokio::test]
async fn a_record_that_was_tampered_with_is_named(#[case] tampering: &str) -> Result<()> {
    let mut world = World::start().await?;
    let wish = json!({
        "flow": "shop-select", "resources": [{"id": SHOP}], "reason": "I am curious",
    });
    world.api(Ana)?.post("requests", wish).await?.status(201)?;
    let records = world.audit().await?;
    let created = records.iter().find(|record| record["action"] == "request.created");
    let seq = created.and_then(|record| record["seq"].as_u64()).context("the request's record")?;
    world.audit_is_intact().await?;
    world.agent.stop().await?;
    world.broker.stop().await?;
    let whole = world.broker.command(&["audit", "verify"]).await?;
    assert_eq!(whole.code, Some(0), "{whole:?}");

    tamper(&world, tampering, seq).await?;

    let broken = world.broker.command(&["audit", "verify"]).await?;
    assert_eq!(broken.code, Some(1), "{broken:?}");
    let said = broken.stdout + &broken.stderr;
    assert!(said.contains(&format!("record {seq} ")), "{said}");

    // The running broker says so too, and goes on serving.
    world.broker.start().await?;
    let found = world.api(Audrey)?.get("audit/verify").await?.status(200)?;
    assert_eq!(found["intact"], false);
    assert_eq!(found["broken"]["seq"], seq, "{found}");
    Ok(())
}

#[tokio::test]
async fn the_log_is_exported_line_by_line() -> Result<()> {
    let world = World::start().await?;
    let active = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let arguments = ["audit", "export", "--from", "2020-01-01T00:00:00Z", "--format", "jsonl"];
    let lines = world.broker.command(&arguments).await?.success()?;
    let records: Vec<ebbgate_tests::Value> =
        lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(records.len(), world.audit().await?.len());
    let tells = |event: &ebbgate_tests::Value| {
        event["action"] == "grant.active" && event["grant"] == active["id"]
    };
    assert!(records.iter().any(|record| tells(&record["event"])), "{lines}");
    Ok(())
}

/// Changes the store as somebody with the file can: what guards the table is removed first.
async fn tamper(world: &World, statement: &str, seq: u64) -> Result<()> {
    let url = format!("sqlite://{}", world.broker.store().display());
    let mut store = SqliteConnection::connect(&url).await.context("open the store")?;
    let triggers: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            .fetch_all(&mut store)
            .await?;
    for trigger in triggers {
        sqlx::raw_sql(AssertSqlSafe(format!("DROP TRIGGER \"{trigger}\"")))
            .execute(&mut store)
            .await?;
    }
    let table: String = sqlx::query_scalar(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%prev_hash%'",
    )
    .fetch_one(&mut store)
    .await
    .context("find the audit log's table")?;
    let statement = statement.replace("{table}", &table).replace("{seq}", &seq.to_string());
    let changed = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut store).await?;
    assert!(changed.rows_affected() > 0, "nothing was tampered with");
    store.close().await.context("close the store")
}
