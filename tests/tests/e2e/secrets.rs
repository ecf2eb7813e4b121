//! After everything was used once, no password, key or token rests in a log, the store, the agent's
//! journal or PostgreSQL's log; and `ebb` hands psql the password where nobody else sees it.

use std::{fs, os::unix::fs::PermissionsExt as _};

use ebbgate_tests::{
    Context as _,
    Person::{Ana, Ben},
    Result, Value, World, json, places,
    world::{grant_id, text},
};
use sqlx::Connection as _;

const SHOP: &str = "orders/postgres/shop";

/// Stands in front of the real psql: notes what it was given, then becomes it.
const WATCHED_PSQL: &str = r#"#!/bin/sh
umask 077
printf '%s\n' "$@" > "$HOME/psql.arguments"
env > "$HOME/psql.environment"
stat -L -c %a "$PGPASSFILE" > "$HOME/psql.mode"
# Once it was read it is gone, so the real one gets the copy.
cat "$PGPASSFILE" > "$HOME/psql.passfile"
export PGPASSFILE="$HOME/psql.passfile"
PATH=$REAL_PATH exec psql "$@"
"#;

#[tokio::test]
async fn nothing_that_was_handed_out_rests_anywhere() -> Result<()> {
    let mut world = World::builder().aws().start().await?;
    let ana = world.ebb(Ana).await?;

    // Databases: by HTTP, twice, with a wrong password in between; and by `ebb db`.
    let active = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let grant = text(&active, "id")?;
    let login = world.database_login(Ana, grant).await?;
    login.open(world.orders()?).await?.close().await?;
    let second = world.database_login(Ana, grant).await?;
    assert!(login.open(world.orders()?).await.is_err());
    second.open(world.orders()?).await?.close().await?;
    note_password_of_ebb_db(&world, &ana).await?;

    // AWS: by HTTP and by `ebb creds`.
    let wish = ["request", "reports", "--flow", "reports-read", "--for", "30m", "--wait"];
    let request = ana.json(&wish).await?;
    let reports = grant_id(&request)?;
    world.aws_login(Ana, reports).await?;
    let document: Value = serde_json::from_str(&ana.run(&["creds", reports]).await?.success()?)?;
    world.handed_out.note("the secret key of ebb creds", text(&document, "SecretAccessKey")?);
    world.handed_out.note("the session token of ebb creds", text(&document, "SessionToken")?);

    // Tokens where they don't belong, a refusal of each kind, and a restart of everything.
    let stranger = world.handed_out.note("a wrong token", "ebu_".to_owned() + &"5".repeat(64));
    let nobody = world.broker.api()?.with_token(&stranger);
    nobody.get("whoami").await?.refused(401, "unauthenticated")?;
    let mistaken = world.handed_out.note("a password sent by mistake", "correct horse battery");
    let wrong = json!({"scram_verifier": mistaken});
    let path = format!("grants/{grant}/credentials");
    world.api(Ana)?.post(&path, wrong).await?.refused(422, "verifier_invalid")?;
    let ben = world.ebb(Ben).await?;
    ben.run(&["grants"]).await?.success()?;
    world.broker.stop().await?;
    world.agent.stop().await?;
    world.broker.start().await?;
    world.agent.start()?;
    world.api(Ana)?.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
    world.grant_in_state(grant, "revoked").await?;

    let places = world.places_without_secrets()?;
    let places: Vec<_> = places.iter().map(|place| place.as_path()).collect();
    assert!(world.handed_out.count() > 15, "the list of secrets is complete");
    let found = world.handed_out.found_in(&places)?;
    assert!(found.is_empty(), "secrets at rest: {found:#?}");
    // That the search looks at the right files: ids, which are no secrets, are in all of them.
    let markers = ebbgate_tests::secrets::HandedOut::default();
    markers.note("the grant's id", grant);
    markers.note("the request's id", text(&active, "request_id")?);
    let server = world.orders()?.log().to_owned();
    let broker = &world.broker;
    for place in [broker.data(), broker.log(), world.agent.dir(), world.agent.log(), server] {
        let found = markers.found_in(&[&place])?;
        assert!(!found.is_empty(), "{} tells nothing of the grant", place.display());
    }
    Ok(())
}

/// Runs `ebb db` with a psql that notes what it gets; checks that and notes the password.
async fn note_password_of_ebb_db(world: &World, ana: &ebbgate_tests::ebb::Ebb) -> Result<()> {
    let bin = ana.home().join("bin");
    let watched = bin.join("psql");
    ebbgate_tests::settings::write(&watched, WATCHED_PSQL)?;
    fs::set_permissions(&watched, fs::Permissions::from_mode(0o755))?;
    let real = places::search_path_for_children()?;
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(&real);
    let said = ana
        .launch(places::program("ebb")?)?
        .env("PATH", path)
        .env("REAL_PATH", real)
        .args(["db", "shop", "--", "-At", "-c", "SELECT 41 + 1"])
        .output("")
        .await?
        .success()?;
    assert_eq!(said, "42\n");

    let read = |name: &str| {
        fs::read_to_string(ana.home().join(name)).with_context(|| format!("read {name}"))
    };
    let line = read("psql.passfile")?;
    let password = line.trim_end().rsplit(':').next().context("a password in the file")?;
    assert!(password.len() >= 43, "256 bits take 43 characters of base64 or 64 of hex");
    assert!(!read("psql.arguments")?.contains(password), "the password is an argument of psql");
    assert!(!read("psql.environment")?.contains(password), "it is in psql's environment");
    assert_eq!(read("psql.mode")?.trim(), "600");
    let file = read("psql.environment")?;
    let file = file.lines().find_map(|line| line.strip_prefix("PGPASSFILE="));
    let file = file.context("PGPASSFILE of psql")?;
    assert!(!std::path::Path::new(file).exists(), "{file} is left behind");
    world.handed_out.note("the password of ebb db", password);
    Ok(())
}
