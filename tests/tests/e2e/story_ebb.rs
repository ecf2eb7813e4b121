//! The main job as people do it: with `ebb`, with psql that it starts, and with the real AWS CLI that
//! calls it for credentials.

use std::fs;

use ebbgate_tests::{
    Context as _,
    Person::{Ana, Ben},
    Result, Value, World,
    aws::{BUCKET, REPORT},
    clock::now,
    ensure, eventually,
    world::{deadline, grant_id, text},
};

/// What `ebb` ends with when a request waits for somebody.
const WAITS_FOR_APPROVAL: i32 = 4;

#[tokio::test]
async fn ana_asks_ben_approves_and_psql_runs() -> Result<()> {
    let world = World::start().await?;
    let (ana, ben) = (world.ebb(Ana).await?, world.ebb(Ben).await?);
    assert_eq!(ana.json(&["whoami"]).await?["id"], "ana@example.com");
    let offers = ana.run(&["resources"]).await?.success()?;
    assert!(offers.contains("orders/postgres/shop") && offers.contains("shop-select"), "{offers}");

    let asked = ana
        .run(&[
            "request",
            "shop",
            "--permission",
            "select",
            "--flow",
            "shop-select",
            "--for",
            "15s",
            "--reason",
            "count the orders of March",
            "--no-wait",
            "--output",
            "json",
        ])
        .await?
        .exit(WAITS_FOR_APPROVAL)?;
    let request: Value = serde_json::from_str(&asked.stdout).context("the request as JSON")?;
    let (id, grant) = (text(&request, "id")?, grant_id(&request)?);

    let inbox = ben.run(&["inbox"]).await?.success()?;
    assert!(inbox.contains(id) && inbox.contains("ana@example.com"), "{inbox}");
    ben.run(&["approve", id, "--comment", "until noon"]).await?.success()?;
    let active = world.grant_in_state(grant, "active").await?;

    // The password never shows: psql gets it through a private file, and answers on stdout.
    let query = ["db", "shop", "--", "-At", "-c", "SELECT count(*) FROM orders"];
    assert_eq!(ana.run(&query).await?.success()?, "100\n");

    world.grant_in_state(grant, "revoked").await?;
    assert!(now() >= deadline(&active)?);
    let refused = ana.run(&query).await?;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert_eq!(refused.stdout, "");
    assert_eq!(refused.stderr.trim().lines().count(), 1, "one line that says why: {refused:?}");
    world.all_roles_are_gone().await
}

#[tokio::test]
async fn a_psql_session_that_is_open_at_the_deadline_is_cut() -> Result<()> {
    let world = World::start().await?;
    let ana = world.ebb(Ana).await?;
    let wait = ["request", "shop", "--flow", "shop-auto", "--for", "10s", "--wait"];
    ana.run(&wait).await?.success()?;
    // psql sleeps far beyond the deadline; the server ends it, and `ebb` hands its failure on.
    let sleep = ["db", "shop", "--", "-c", "SELECT pg_sleep(100)"];
    let cut = ana.run(&sleep).await?;
    assert_ne!(cut.code, Some(0), "{cut:?}");
    assert!(cut.stderr.contains("terminat"), "{cut:?}");
    world.all_roles_are_gone().await
}

#[tokio::test]
async fn the_real_aws_cli_reads_the_report_until_the_deadline() -> Result<()> {
    let world = World::builder().aws().start().await?;
    let ana = world.ebb(Ana).await?;
    let wish = ["request", "reports", "--flow", "reports-read", "--for", "25s", "--wait"];
    let request = ana.json(&wish).await?;
    let grant = grant_id(&request)?;
    let document: Value = serde_json::from_str(&ana.run(&["creds", grant]).await?.success()?)?;
    assert_eq!(document["Version"], 1);
    assert!(document["SessionToken"].is_string() && document["Expiration"].is_string());

    ana.run(&["aws", "configure"]).await?.success()?;
    let config = fs::read_to_string(ana.aws_config()).context("read what ebb configured")?;
    let profile = config
        .lines()
        .find_map(|line| line.strip_prefix("[profile ")?.strip_suffix(']'))
        .with_context(|| format!("a profile in {config}"))?;
    let object = format!("s3://{BUCKET}/{}", REPORT.0);
    let copy = ["s3", "cp", &object, "-"];
    assert_eq!(ana.aws(profile, &copy).await?.success()?, REPORT.1);
    let listing = ana.aws(profile, &["s3", "ls", &format!("s3://{BUCKET}/2026/")]).await?;
    assert!(listing.success()?.contains("q1.csv"));
    let steal = ana.aws(profile, &["s3", "rm", &object]).await?;
    assert!(steal.stderr.contains("AccessDenied"), "{steal:?}");

    let over = world.grant_in_state(grant, "revoked").await?;
    assert!(now() >= deadline(&over)?);
    let refused = ana.aws(profile, &copy).await?;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert_eq!(refused.stdout, "");
    Ok(())
}

#[tokio::test]
async fn credentials_are_cached_privately_and_fetched_once() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let world = World::builder().aws().start().await?;
    let ana = world.ebb(Ana).await?;
    let wish = ["request", "reports", "--flow", "reports-read", "--for", "30m", "--wait"];
    let request = ana.json(&wish).await?;
    let command = ["creds", grant_id(&request)?];
    // Five at once, as tools do: one asks the broker, all get the same.
    let calls = [(); 5].map(|()| ana.run(&command));
    let [a, b, c, d, e] = calls;
    let (a, b, c, d, e) = tokio::try_join!(a, b, c, d, e)?;
    let documents = [a, b, c, d, e].map(|output| output.success());
    let documents = documents.into_iter().collect::<Result<Vec<_>>>()?;
    assert!(documents.iter().all(|document| *document == documents[0]));
    let issued = world.audit().await?;
    let issued = issued.iter().filter(|record| record["action"] == "credential.issued").count();
    assert_eq!(issued, 1);

    let document: Value = serde_json::from_str(&documents[0]).context("read the credentials")?;
    let secret = text(&document, "SecretAccessKey")?;
    let mut checked = 0;
    let mut folders = vec![ana.home().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read_to_string(&path)?.contains(secret) {
                assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 1, "files with the secret");
    Ok(())
}

#[tokio::test]
async fn a_denied_request_ends_with_the_code_for_denied() -> Result<()> {
    let world = World::start().await?;
    let (ana, ben) = (world.ebb(Ana).await?, world.api(Ben)?);
    let wait = ["request", "shop", "--flow", "shop-select", "--reason", "I am curious", "--wait"];
    let waiting = ana.run(&wait);
    let denying = async {
        let inbox = eventually("the request in Ben's inbox", async || {
            let inbox = ben.list("requests?waiting_for_me=true").await?;
            ensure!(inbox.len() == 1, "{inbox:?}");
            Ok(inbox)
        })
        .await?;
        let deny = format!("requests/{}/deny", text(&inbox[0], "id")?);
        ben.post(&deny, ebbgate_tests::json!({"comment": "no reason"})).await?.status(200)
    };
    let (asked, _) = tokio::try_join!(waiting, denying)?;
    asked.exit(3)?;
    Ok(())
}

#[tokio::test]
async fn a_broker_that_is_gone_has_its_own_exit_code() -> Result<()> {
    let mut world = World::start().await?;
    let ana = world.ebb(Ana).await?;
    world.broker.kill()?;
    let refused = ana.run(&["grants"]).await?.exit(6)?;
    assert_eq!(refused.stderr.trim().lines().count(), 1, "{refused:?}");
    Ok(())
}
