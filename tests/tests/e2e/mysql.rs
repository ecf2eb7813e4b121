//! MariaDB from end to end, with its own client, and what rests where afterwards.

use std::{fs, os::unix::fs::PermissionsExt as _};

use ebbgate_tests::{
    Context as _,
    Person::{Adam, Ana, Ben},
    Result, Value, World,
    clock::now,
    ensure, eventually, json, places,
    secrets::{HandedOut, ed25519_password_key, native_password_hash},
    world::{deadline, grant_id, text},
};

const TILL: &str = "pos/mysql/till";

const FLOWS: &str = "\
kind: Permission
name: stocktaking
type: mysql
rights:
  - {level: select}
  - {role: counting}
---
kind: AccessFlow
name: till-select
requesters: [group:data]
access: [{scope: pos-db, permissions: [select]}]
approval:
  groups:
    - {name: DBAs, need: any, of: [group:dba]}
duration: {default: 30m, max: 1h}
justification: {required: true}
---
kind: AccessFlow
name: till-stocktaking
requesters: [group:data]
access: [{scope: pos-db, permissions: [stocktaking]}]
approval: automatic
duration: {default: 30m, max: 1h}
";

async fn world() -> Result<World> {
    let builder = World::builder().mariadb().flow("till.yaml", FLOWS);
    builder.agent_settings("sweep: {every: 1s, orphan_age: 0s}").start().await
}

/// Asked, approved, used, and cut at the deadline by the agent alone.
#[tokio::test]
async fn the_story_of_a_till() -> Result<()> {
    let mut world = world().await?;
    let (ana, ben) = (world.ebb(Ana).await?, world.ebb(Ben).await?);
    let ask = [
        "request",
        TILL,
        "--flow",
        "till-select",
        "--for",
        "20s",
        "--reason",
        "a complaint",
        "--no-wait",
        "--output",
        "json",
    ];
    let asked = ana.run(&ask).await?.exit(4)?;
    let request: Value = serde_json::from_str(&asked.stdout)?;
    ben.run(&["approve", text(&request, "id")?]).await?.success()?;
    let grant = grant_id(&request)?;
    let active = world.grant_in_state(grant, "active").await?;

    let shown = ana.run(&["grants", "show", grant]).await?.success()?;
    assert!(shown.contains("database till on 127.0.0.1 port"), "it says where it is: {shown}");
    let read =
        ["db", "till", "--", "--batch", "--skip-column-names", "-e", "SELECT item FROM sales"];
    assert_eq!(ana.run(&read).await?.success()?, "tea\n");
    let theft = ana.run(&["db", "till", "--", "-e", "DELETE FROM sales"]).await?;
    assert_ne!(theft.code, Some(0), "select was enough to delete");
    assert!(theft.stderr.contains("DELETE command denied"), "{}", theft.stderr);

    // A session that would outlast its grant by far, and nobody left but the agent.
    let sleep = ["db", "till", "--", "-e", "SELECT sleep(600)"];
    let (cut, killed) = tokio::join!(ana.run(&sleep), async {
        eventually("her session", async || {
            ensure!(world.mariadb()?.grant_sessions().await? == 1, "not yet");
            Ok(())
        })
        .await?;
        world.broker.kill()
    });
    killed?;
    let cut = cut?;
    assert_ne!(cut.code, Some(0), "her session ended by itself");
    assert!(now() >= deadline(&active)?, "before its time: {}", cut.stderr);
    world.all_roles_are_gone().await?;
    assert_eq!(world.mariadb()?.grant_sessions().await?, 0);

    world.broker.start().await?;
    let over = world.grant_in_state(grant, "revoked").await?;
    assert_eq!(over["end_reason"], "expired", "{over}");
    let summary = text(&over["finding"], "summary")?;
    assert!(summary.ends_with("is gone, no session, no right"), "{summary}");
    assert_eq!(over["finding"]["sessions_ended"], 1, "{over}");
    let late = ana.run(&["db", "till"]).await?;
    assert_eq!(late.code, Some(3), "{}", late.stderr);
    assert!(late.stderr.contains("no live grant"), "{}", late.stderr);
    world.audit_is_intact().await
}

#[tokio::test]
async fn sessions_and_drift_of_a_till() -> Result<()> {
    /// A grant that nobody ever made, and the user that it would have.
    const NOBODYS: (&str, &str) =
        ("grt_0190a6f4c1de7000aaaaaaaaaaaaaaaa", "ebb_agikn5gb3zyabkvkvkvkvkvkvi");
    let world = world().await?;
    let (ana, adam) = (world.ebb(Ana).await?, world.ebb(Adam).await?);
    let active = world.active(Ana, "pos-auto", TILL, "10m").await?;
    let grant = text(&active, "id")?;

    // An administrator sees her session and ends it; her grant stays.
    let sleep = ["db", "till", "--", "-e", "SELECT sleep(600)"];
    let (cut, ended) = tokio::join!(ana.run(&sleep), async {
        let session = eventually("her session being seen", async || {
            let found = world.api(Adam)?.get("sessions?integration=pos").await?.status(200)?;
            let working = |session: &&Value| session["state"] == "Query";
            let session = found["items"].as_array().into_iter().flatten().find(working);
            session.cloned().with_context(|| format!("not yet: {found}"))
        })
        .await?;
        assert_eq!(session["grant_id"], grant, "{session}");
        assert_eq!(session["principal"], "ana@example.com", "{session}");
        assert_eq!(session["resource"], TILL, "{session}");
        assert!(text(&session, "client")?.starts_with("127.0.0.1:"), "{session}");
        let which = format!("{grant}/{}", text(&session, "id")?);
        let end = ["admin", "sessions", "end", &which, "--comment", "it holds a lock"];
        adam.run(&end).await?.success()
    });
    ended?;
    assert_ne!(cut?.code, Some(0));
    world.grant_in_state(grant, "active").await?;

    // What bears our mark and is nobody's goes; hers stays.
    let (nobodys, user) = NOBODYS;
    world.mariadb()?.run(&format!("CREATE USER {user} IDENTIFIED BY 'weak'")).await?;
    eventually("the orphan being gone", async || {
        let users = world.mariadb()?.grant_users().await?;
        ensure!(!users.contains(user) && users.len() == 1, "{users:?}");
        Ok(())
    })
    .await?;
    let record = eventually("the audit log telling of it", async || {
        let audit = world.audit().await?;
        let told = audit.into_iter().find(|record| record["action"] == "agent.orphan_removed");
        told.context("not yet")
    })
    .await?;
    assert_eq!(record["grant_id"], nobodys, "{record}");

    // What somebody drops on the server ends with its reason.
    let hers = world.mariadb()?.grant_users().await?;
    let hers = hers.first().context("her user")?;
    world.mariadb()?.run(&format!("DROP USER {hers}")).await?;
    let over = world.grant_in_state(grant, "revoked").await?;
    assert_eq!(over["end_reason"], "missing", "{over}");
    Ok(())
}

#[tokio::test]
async fn a_permission_of_ones_own_on_a_till() -> Result<()> {
    let world = world().await?;
    world
        .mariadb()?
        .run(
            "CREATE ROLE counting;
             CREATE DATABASE stock; CREATE TABLE stock.shelves (n int);
             INSERT INTO stock.shelves VALUES (7);
             GRANT SELECT ON stock.shelves TO counting;
             GRANT counting TO ebbgate WITH ADMIN OPTION",
        )
        .await?;
    let ana = world.ebb(Ana).await?;
    let ask = ["request", TILL, "--flow", "till-stocktaking", "--for", "10m", "--wait"];
    let told = ana.run(&ask).await?.exit(0)?;
    assert!(told.stderr.contains("ebb db pos/mysql/till"), "how to use it: {}", told.stderr);
    let read = "SELECT item FROM sales; SELECT n FROM stock.shelves";
    let said = ana.run(&["db", "till", "--", "--batch", "-N", "-e", read]).await?.success()?;
    assert_eq!(said, "tea\n7\n");
    ana.run(&["release", "--all"]).await?.success()?;
    world.all_roles_are_gone().await
}

/// Stands in front of the real client: notes what it was given, then becomes it.
const WATCHED: &str = r#"#!/bin/sh
umask 077
printf '%s\n' "$@" > "$HOME/mariadb.arguments"
env > "$HOME/mariadb.environment"
file=${1#--defaults-file=}
stat -L -c %a "$file" > "$HOME/mariadb.mode"
# Once it was read it is gone, so the real one gets the copy.
cat "$file" > "$HOME/mariadb.options"
shift
PATH=$REAL_PATH exec mariadb "--defaults-file=$HOME/mariadb.options" "$@"
"#;

#[tokio::test]
async fn no_password_and_no_hash_rests_where_it_should_not() -> Result<()> {
    let mut world = world().await?;
    let ana = world.ebb(Ana).await?;
    let active = world.active(Ana, "pos-auto", TILL, "10m").await?;
    let grant = text(&active, "id")?;
    let bin = ana.home().join("bin");
    ebbgate_tests::settings::write(&bin.join("mariadb"), WATCHED)?;
    fs::set_permissions(bin.join("mariadb"), fs::Permissions::from_mode(0o755))?;
    let real = places::search_path_for_children()?;
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(&real);
    let said = ana
        .launch(places::program("ebb")?)?
        .env("PATH", path)
        .env("REAL_PATH", real)
        .args(["db", "till", "--", "-BN", "-e", "SELECT 41 + 1"])
        .output("")
        .await?
        .success()?;
    assert_eq!(said, "42\n");
    let read = |name: &str| {
        fs::read_to_string(ana.home().join(name)).with_context(|| format!("read {name}"))
    };
    let options = read("mariadb.options")?;
    let password = options.trim_end().rsplit("password=").next().context("a password")?;
    assert_eq!(password.len(), 32);
    let arguments = read("mariadb.arguments")?;
    assert!(!arguments.contains(password) && !read("mariadb.environment")?.contains(password));
    assert_eq!(read("mariadb.mode")?.trim(), "600");
    let file = arguments.lines().next().and_then(|line| line.strip_prefix("--defaults-file="));
    let file = std::path::Path::new(file.context("the option file")?);
    assert!(!file.exists(), "{} is left behind", file.display());

    // A second password replaces the first; a URL holds one that works.
    let url = ana.run(&["db", "till", "--print-url"]).await?.success()?;
    let second = url.trim_end().split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    let second = second.and_then(|(login, _)| login.split_once(':')).context("a URL")?.1;
    for wrong in [
        json!({}),
        json!({"mysql_verifiers": {"native": password, "caching_sha2": "x", "ed25519": "x"}}),
    ] {
        let path = format!("grants/{grant}/credentials");
        world.api(Ana)?.post(&path, wrong).await?.refused(422, "verifier_invalid")?;
    }

    world.broker.stop().await?;
    world.agent.stop().await?;
    world.broker.start().await?;
    world.agent.start()?;
    world.api(Ana)?.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
    world.grant_in_state(grant, "revoked").await?;

    let hashes = HandedOut::default();
    for (name, password) in [("the first", password), ("the second", second)] {
        world.handed_out.note(format!("{name} password"), password);
        hashes.note(format!("{name} native hash"), native_password_hash(password));
        hashes.note(format!("{name} Ed25519 key"), ed25519_password_key(password)?);
    }
    let ours = world.places_without_secrets()?;
    let ours: Vec<_> = ours.iter().map(|place| place.as_path()).collect();
    let statements = world.mariadb()?.statements();
    let log = world.mariadb()?.log();
    let everywhere: Vec<_> =
        ours.iter().copied().chain([statements.as_path(), log.as_path()]).collect();
    let found = world.handed_out.found_in(&everywhere)?;
    assert!(found.is_empty(), "secrets at rest: {found:#?}");
    let found = hashes.found_in(&ours)?;
    assert!(found.is_empty(), "hashes at rest: {found:#?}");
    // That the search looks at the right file, and for the right hashes: the server was told them.
    let told = hashes.found_in(&[&statements])?;
    assert_eq!(told.len(), 2, "one of each password: {told:?}");
    Ok(())
}
