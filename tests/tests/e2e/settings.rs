//! Bad settings and bad flows: every mistake is listed with file, line and column, and nothing
//! starts.

use std::path::Path;

use ebbgate_tests::{
    Result, broker::Broker, ensure, network::Port, places, process::Output, settings::write,
};
use rstest::rstest;

const GOOD_SETTINGS: &str = "\
listen: 127.0.0.1:0
public_url: https://127.0.0.1:7400
data_dir: data
store: sqlite://data/ebbgate.db
identity: {users: users.yaml}
administrators: [group:platform]
auditors: [group:audit]
flows: [flows/*.yaml]
integrations:
  - name: orders
    kind: postgres
    at: agent/db-eu
    address: 127.0.0.1:5432
    resources:
      - {name: shop, tags: {env: prod}}
";

const GOOD_USERS: &str = "\
users:
  - {id: ana@example.com, name: Ana, groups: [data], tokens: [], disabled: false}
";

const GOOD_FLOWS: &str = "\
kind: Scope
name: shop-db
match: {integration: orders}
---
kind: AccessFlow
name: shop-auto
requesters: [group:data]
access:
  - {scope: shop-db, permissions: [select]}
approval: automatic
duration: {default: 30m, max: 1h}
";

/// The broker's folder with these files, `check`ed.
async fn check(settings: &str, users: &str, flows: &[(&str, &str)]) -> Result<Output> {
    let dir = places::new_world_dir()?;
    let broker = lay_out(dir.path(), settings, users, flows)?;
    broker.command(&["check"]).await
}

fn lay_out(dir: &Path, settings: &str, users: &str, flows: &[(&str, &str)]) -> Result<Broker> {
    write(&dir.join("ebbgate.yaml"), settings)?;
    write(&dir.join("users.yaml"), users)?;
    for (name, text) in flows {
        write(&dir.join("flows").join(name), text)?;
    }
    Ok(Broker::new(dir.to_owned(), Port::reserve()?, Vec::new()))
}

/// Fails unless `output` is a refusal that names each of `places` (`file:line:column`).
fn names(output: &Output, places: &[&str]) -> Result<()> {
    ensure!(output.code == Some(1), "{output:?}");
    for place in places {
        ensure!(output.stderr.contains(place), "{place} isn't named in\n{}", output.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn good_settings_are_good() -> Result<()> {
    let checked = check(GOOD_SETTINGS, GOOD_USERS, &[("shop.yaml", GOOD_FLOWS)]).await?;
    checked.success()?;
    Ok(())
}

#[rstest]
#[case::an_unknown_key("auditors:", "auditor:", "ebbgate.yaml:7:1")]
#[case::no_address("listen: 127.0.0.1:0", "listen: somewhere", "ebbgate.yaml:1:9")]
#[case::no_subject("[group:platform]", "[platform]", "ebbgate.yaml:6:18")]
#[case::an_unknown_kind("kind: postgres", "kind: postgresql", "ebbgate.yaml:11:11")]
#[case::no_agent("at: agent/db-eu", "at: db-eu", "ebbgate.yaml:12:9")]
#[tokio::test]
async fn a_mistake_in_the_settings_is_named(
    #[case] good: &str,
    #[case] bad: &str,
    #[case] place: &str,
) -> Result<()> {
    let settings = GOOD_SETTINGS.replacen(good, bad, 1);
    names(&check(&settings, GOOD_USERS, &[("shop.yaml", GOOD_FLOWS)]).await?, &[place])
}

#[rstest]
#[case::an_unknown_key("requesters:", "requestors:", "shop.yaml:7:1")]
#[case::no_duration("default: 30m", "default: soon", "shop.yaml:11:21")]
#[case::default_above_maximum("default: 30m", "default: 2h", "shop.yaml:11")]
#[case::an_unknown_scope("scope: shop-db", "scope: shop-bd", "shop.yaml:9:13")]
#[case::an_unknown_permission("[select]", "[selct]", "shop.yaml:9:36")]
#[case::an_unknown_kind("kind: AccessFlow", "kind: Flow", "shop.yaml:5:7")]
#[case::no_approval("approval: automatic", "approval: maybe", "shop.yaml:10:11")]
#[tokio::test]
async fn a_mistake_in_a_flow_is_named(
    #[case] good: &str,
    #[case] bad: &str,
    #[case] place: &str,
) -> Result<()> {
    let flows = GOOD_FLOWS.replacen(good, bad, 1);
    names(&check(GOOD_SETTINGS, GOOD_USERS, &[("shop.yaml", &flows)]).await?, &[place])
}

#[tokio::test]
async fn all_mistakes_are_listed_at_once() -> Result<()> {
    let settings = GOOD_SETTINGS.replacen("listen: 127.0.0.1:0", "listen: somewhere", 1);
    let users = GOOD_USERS.replacen("tokens: []", "tokens: [\"plain\"]", 1);
    let shop = GOOD_FLOWS.replacen("scope: shop-db", "scope: shop-bd", 1);
    let shop = shop.replacen("permissions: [select]", "permissions: [selct]", 1);
    let same = GOOD_FLOWS.replacen("name: shop-db", "name: shop-db2", 1);
    let regex = "\
kind: AccessFlow
name: tickets
requesters: [group:data]
access: [{scope: shop-db, permissions: [select]}]
approval: automatic
duration: {default: 30m, max: 1h}
justification: {ticket: '([A-Z'}
";
    let flows = [("a.yaml", &*shop), ("b.yaml", &*same), ("c.yaml", regex)];
    let checked = check(&settings, &users, &flows).await?;
    names(
        &checked,
        &[
            "ebbgate.yaml:1:9",
            "users.yaml:2:63",
            "a.yaml:9:13",
            "a.yaml:9:36",
            "b.yaml:5:1",
            "c.yaml:7:25",
        ],
    )
}

#[tokio::test]
async fn a_broker_with_bad_settings_does_not_start() -> Result<()> {
    let dir = places::new_world_dir()?;
    let settings = GOOD_SETTINGS.replacen("auditors:", "auditor:", 1);
    let broker = lay_out(dir.path(), &settings, GOOD_USERS, &[("shop.yaml", GOOD_FLOWS)])?;
    names(&broker.command(&["run"]).await?, &["ebbgate.yaml:7:1"])?;
    ensure!(!broker.store().exists(), "it made a store all the same");
    Ok(())
}

#[tokio::test]
async fn settings_that_are_missing_are_named() -> Result<()> {
    let dir = places::new_world_dir()?;
    let broker = Broker::new(dir.path().to_owned(), Port::reserve()?, Vec::new());
    let checked = broker.command(&["check"]).await?;
    ensure!(checked.code == Some(1), "{checked:?}");
    ensure!(checked.stderr.contains("ebbgate.yaml"), "{checked:?}");
    Ok(())
}

#[tokio::test]
async fn an_agent_refuses_a_password_in_its_settings() -> Result<()> {
    use ebbgate_tests::process::Launch;

    let dir = places::new_world_dir()?;
    let text = format!(
        "broker: https://127.0.0.1:7400
dir: {}
integrations:
  - {{name: orders, kind: postgres, url: 'postgres://ebbgate@127.0.0.1/postgres', password: hunter2}}
",
        dir.path().display()
    );
    let file = dir.path().join("agent.yaml");
    write(&file, &text)?;
    let refused = Launch::new(places::program("ebbgate-agent")?)?
        .args(["run", "--config"])
        .arg(&file)
        .output("")
        .await?;
    ensure!(refused.code == Some(1), "{refused:?}");
    ensure!(refused.stderr.contains("agent.yaml:4:"), "{refused:?}");
    ensure!(refused.stderr.contains("file:"), "it says the way out: {refused:?}");
    ensure!(!refused.stderr.contains("hunter2"), "it repeats the password: {refused:?}");
    Ok(())
}

/// What an operator starts from is whole, with its users and all its flows.
#[tokio::test]
async fn the_examples_are_good() -> Result<()> {
    let dir = places::new_world_dir()?;
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let read = |name: &str| std::fs::read_to_string(example.join(name));
    write(&dir.path().join("ebbgate.yaml"), &read("ebbgate.example.yaml")?)?;
    write(&dir.path().join("users.yaml"), &read("users.yaml")?)?;
    for file in std::fs::read_dir(example.join("flows"))? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(file.path())?;
        write(&dir.path().join("flows").join(name), &text)?;
    }
    let port = Port::reserve()?;
    Broker::new(dir.path().to_owned(), port, Vec::new()).command(&["check"]).await?.success()?;
    Ok(())
}
