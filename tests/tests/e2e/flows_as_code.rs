//! Flows as code: warnings and suggestions by `check`, what is in force, what files would change,
//! what scopes select, and cases that need no broker.

use std::path::Path;

use ebbgate_tests::{
    Person::{Adam, Ana, Audrey},
    Result, World, ensure, eventually, places,
    process::{Launch, Output},
    settings::write,
};

const CASES: &str = "\
people:
  - {id: ana@example.com, groups: [data]}
  - {id: ben@example.com, groups: [dba]}
resources:
  - {integration: orders, type: postgres, name: shop, tags: {env: prod}}
cases:
  - {name: Ana waits for Ben, user: ana@example.com, resource: shop, permission: select, flow: shop-select,
     reason: why, expect: pending, approvers: [ben@example.com]}
  - {name: with Ben it is approved, user: ana@example.com, resource: shop, flow: shop-select,
     reason: why, approve: [ben@example.com], expect: approved, duration: 30m}
  - {name: a day is too long, user: ana@example.com, resource: shop, flow: shop-auto, for: 1d,
     expect: refused, code: duration_too_long}
";

/// `ebb` of somebody who has never logged in and knows no broker.
async fn stranger(dir: &Path, arguments: &[&str]) -> Result<Output> {
    Launch::new(places::program("ebb")?)?
        .env("HOME", dir)
        .env("EBB_HOME", dir.join("home"))
        .args(arguments)
        .output("")
        .await
}

/// A folder with the usual flows and these cases.
fn folder(cases: &str) -> Result<tempfile::TempDir> {
    let dir = places::new_world_dir()?;
    for (name, text) in ebbgate_tests::settings::standard_flows(false) {
        write(&dir.path().join("flows").join(name), &text)?;
    }
    write(&dir.path().join("flows/shop.test.yaml"), cases)?;
    Ok(dir)
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().ok_or_else(|| ebbgate_tests::anyhow!("a path in UTF-8"))?.to_owned())
}

#[tokio::test]
async fn cases_hold_without_a_broker() -> Result<()> {
    let dir = folder(CASES)?;
    let flows = text(&dir.path().join("flows"))?;
    let tried = stranger(dir.path(), &["admin", "flows", "test", &flows]).await?;
    ensure!(tried.stderr.contains("3 cases, 0 failed"), "{tried:?}");
    tried.success()?;
    Ok(())
}

#[tokio::test]
async fn a_case_that_fails_tells_what_came_instead() -> Result<()> {
    let dir = folder(&CASES.replacen("approve: [ben@example.com], ", "", 1))?;
    let flows = text(&dir.path().join("flows"))?;
    let tried = stranger(dir.path(), &["admin", "flows", "test", &flows]).await?.exit(1)?;
    let why =
        "expected approved, but it is pending through shop-select: it waits for ben@example.com";
    ensure!(tried.stdout.contains(why), "{}", tried.stdout);
    ensure!(tried.stdout.contains("shop.test.yaml:9"), "{}", tried.stdout);
    Ok(())
}

#[tokio::test]
async fn a_mistake_in_a_flow_is_told_with_its_place_and_a_suggestion() -> Result<()> {
    let dir = folder(CASES)?;
    let shop = dir.path().join("flows/shop.yaml");
    let good = std::fs::read_to_string(&shop)?;
    write(&shop, &good.replacen("scope: shop-db,", "scope: shop-bd,", 1))?;
    let flows = text(&dir.path().join("flows"))?;
    let tried = stranger(dir.path(), &["admin", "flows", "test", &flows]).await?.exit(1)?;
    let told = "shop.yaml:10:18: there is no scope 'shop-bd': did you mean 'shop-db'?";
    ensure!(tried.stderr.contains(told), "{}", tried.stderr);
    Ok(())
}

#[tokio::test]
async fn a_plan_tells_every_field_that_would_change_and_changes_nothing() -> Result<()> {
    let world = World::start().await?;
    let adam = world.ebb(Adam).await?;
    let before = world.api(Adam)?.get("flows").await?;
    let etag = before.headers.get("etag").cloned();
    ensure!(etag.is_some(), "no ETag: {before}");

    let dir = folder(CASES)?;
    let flows = text(&dir.path().join("flows"))?;
    let same = adam.run(&["admin", "flows", "plan", &flows]).await?;
    ensure!(same.stderr.contains("nothing would change"), "{same:?}");

    let shop = dir.path().join("flows/shop.yaml");
    let good = std::fs::read_to_string(&shop)?;
    let changed =
        good.replacen("max: 1h", "max: 2h", 1).replacen("name: shop-dba", "name: shop-own", 1);
    write(&shop, &changed)?;
    let plan = adam.run(&["admin", "flows", "plan", &flows]).await?.success()?;
    for told in ["duration.max: 1h -> 2h", "- removed", "shop-dba", "+ added", "shop-own"] {
        ensure!(plan.contains(told), "{told} isn't in\n{plan}");
    }
    let after = world.api(Adam)?.get("flows").await?;
    ensure!(after.headers.get("etag").cloned() == etag, "a plan changed something: {after}");
    Ok(())
}

#[tokio::test]
async fn flows_in_force_are_shown_as_they_were_written() -> Result<()> {
    let world = World::start().await?;
    let audrey = world.ebb(Audrey).await?;
    let listed = audrey.run(&["admin", "flows", "list"]).await?.success()?;
    ensure!(listed.contains("shop-pii") && listed.contains("group:data"), "{listed}");
    let shown = audrey.run(&["admin", "flows", "show", "shop-pii"]).await?.success()?;
    ensure!(shown.contains("# A database administrator and Security agree"), "{shown}");
    ensure!(shown.starts_with("# flows/shop.yaml:"), "{shown}");
    eventually("the resources being seen", async || {
        let known = world.api(Audrey)?.get("inventory").await?.status(200)?;
        let (first, last) = (&known["items"][0]["first_seen"], &known["items"][0]["last_seen"]);
        ensure!(first.is_string() && last.as_str() >= first.as_str(), "{known}");
        Ok(())
    })
    .await?;
    let inventory = audrey.run(&["admin", "inventory", "list"]).await?.success()?;
    ensure!(
        inventory.contains("orders/postgres/shop") && inventory.contains("env=prod"),
        "{inventory}"
    );
    let ana = world.ebb(Ana).await?.run(&["admin", "flows", "list"]).await?;
    ensure!(ana.code == Some(3), "{ana:?}");
    Ok(())
}

#[tokio::test]
async fn a_preview_tells_what_a_changed_scope_adds_and_drops() -> Result<()> {
    let world = World::builder().database("crm").start().await?;
    let adam = world.ebb(Adam).await?;
    let now = adam.run(&["admin", "scopes", "preview", "shop-db"]).await?.success()?;
    ensure!(now.contains("selected  orders/postgres/shop"), "{now}");
    let dir = places::new_world_dir()?;
    let file = dir.path().join("scopes.yaml");
    write(
        &file,
        "kind: Scope\nname: shop-db\nmatch: {tags: {env: prod}}\nexcept: {integration: orders}\n",
    )?;
    let file = text(&file)?;
    let then = adam.run(&["admin", "scopes", "preview", "--file", &file]).await?.success()?;
    ensure!(then.contains("dropped  orders/postgres/shop"), "{then}");
    ensure!(then.contains("added    crm/postgres/crm"), "{then}");
    Ok(())
}

#[tokio::test]
async fn a_flow_for_everybody_is_warned_of_and_works() -> Result<()> {
    let flow = "\
kind: AccessFlow
name: shop-open
requesters: [everyone]
except: [group:sales]
access: [{integration: orders, scope: everything, permissions: [select]}]
approval: automatic
duration: {default: 10m, max: 1h}
";
    let world = World::builder().flow("open.yaml", flow).start().await?;
    let checked = world.broker.command(&["check"]).await?;
    ensure!(
        checked.stderr.contains("open.yaml:3:14: warning: this flow is for everybody"),
        "{checked:?}"
    );
    checked.success()?;
    let wish = |flow: &str| ebbgate_tests::json!({"resources": [{"id": "orders/postgres/shop"}], "flow": flow});
    world.api(Audrey)?.post("requests", wish("shop-open")).await?.status(201)?;
    let eve = world.api(ebbgate_tests::Person::Eve)?;
    eve.post("requests", wish("shop-open")).await?.refused(403, "not_a_requester")?;
    Ok(())
}
