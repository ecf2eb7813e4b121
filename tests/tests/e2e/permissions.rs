//! Levels of access, and permissions that an operator defines.

use ebbgate_tests::{Person::Ana, Result, World, ensure, eventually, postgres::run, world::text};

const SHOP: &str = "orders/postgres/shop";

const FLOWS: &str = "\
kind: Permission
name: reporting
type: postgres
rights:
  - {schema: reports, level: select}
  - {role: warehouse}
---
kind: AccessFlow
name: shop-reporting
requesters: [group:data]
access: [{scope: shop-db, permissions: [reporting]}]
approval: automatic
duration: {default: 30m, max: 1h}
---
kind: AccessFlow
name: shop-change
requesters: [group:data]
access: [{scope: shop-db, permissions: [ddl]}]
approval: automatic
duration: {default: 30m, max: 1h}
";

const TABLES: &str = "
    CREATE SCHEMA reports AUTHORIZATION shopkeeper;
    CREATE TABLE reports.daily (n int); INSERT INTO reports.daily VALUES (7);
    ALTER TABLE reports.daily OWNER TO shopkeeper;
    CREATE TABLE secrets (n int); ALTER TABLE secrets OWNER TO shopkeeper;
    CREATE ROLE warehouse NOLOGIN;
    GRANT warehouse TO ebbgate WITH ADMIN OPTION;
    CREATE TABLE stock (n int); GRANT SELECT ON stock TO warehouse";

#[tokio::test]
async fn a_permission_of_ones_own_gives_its_rights_and_no_others() -> Result<()> {
    let world = World::builder().flow("permissions.yaml", FLOWS).start().await?;
    let mut superuser = world.orders()?.superuser("shop").await?;
    run(&mut superuser, TABLES).await?;
    let active = world.active(Ana, "shop-reporting", SHOP, "10m").await?;
    let login = world.database_login(Ana, text(&active, "id")?).await?;
    let mut session = login.open(world.orders()?).await?;
    run(&mut session, "SELECT n FROM reports.daily; SELECT n FROM stock").await?;
    let refused = run(&mut session, "SELECT n FROM secrets").await.unwrap_err();
    assert!(format!("{refused:#}").contains("permission denied"), "{refused:#}");
    Ok(())
}

#[tokio::test]
async fn what_a_grant_made_outlives_it_without_its_maker() -> Result<()> {
    let world = World::builder().flow("permissions.yaml", FLOWS).start().await?;
    let active = world.active(Ana, "shop-change", SHOP, "10m").await?;
    let grant = text(&active, "id")?;
    let login = world.database_login(Ana, grant).await?;
    let mut session = login.open(world.orders()?).await?;
    run(&mut session, "CREATE TABLE orders_2026 (n int)").await?;
    let path = format!("grants/{grant}/release");
    world.api(Ana)?.post(&path, ebbgate_tests::json!({})).await?.status(200)?;
    world.grant_in_state(grant, "revoked").await?;
    world.all_roles_are_gone().await?;
    let mut superuser = world.orders()?.superuser("shop").await?;
    let owner: String = sqlx::query_scalar(
        "SELECT tableowner::text FROM pg_tables WHERE tablename = 'orders_2026'",
    )
    .fetch_one(&mut superuser)
    .await?;
    ensure!(!owner.starts_with("ebb_"), "its owner is {owner}");
    eventually("her session being cut", async || {
        ensure!(sqlx::Connection::ping(&mut session).await.is_err(), "it lives");
        Ok(())
    })
    .await
}
