//! Ana's minute with the bucket of reports, by the real AWS CLI.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use ebbgate_tests::{
    Value, World,
    aws::{BUCKET, Keys, REPORT},
    clock::now,
    ebb::Ebb,
    waiting::within,
    world::{grant_id, text},
};

use crate::{
    End, FOR,
    narrator::{Narrator, shell},
};

const REPORTS: &str = "prod/s3/reports";

pub(crate) async fn play(narrator: &Narrator, world: &World, ana: &Ebb) -> Result<End> {
    let ask = ["request", REPORTS, "--flow", "reports-read", "--for", FOR, "--wait"];
    narrator.typed("Ana", &format!("ebb {}", shell(&ask)));
    let request = ana.json(&ask).await?;
    let grant = grant_id(&request)?;
    narrator.event(&format!("{grant} is active at once: its flow needs no approval"));

    narrator.run("Ana", ana, &["aws", "configure"]).await?;
    let config = fs::read_to_string(ana.aws_config()).context("read the AWS settings")?;
    let profile = config
        .lines()
        .find_map(|line| line.strip_prefix("[profile ")?.strip_suffix(']'))
        .context("find a profile in the AWS settings")?;
    let object = format!("s3://{BUCKET}/{}", REPORT.0);
    let copy = ["s3", "cp", object.as_str(), "-"];
    let typed = |arguments: &[&str]| format!("aws --profile {profile} {}", shell(arguments));
    let report = narrator.exchange("Ana", &typed(&copy), ana.aws(profile, &copy)).await?;
    ensure!(report.success()? == REPORT.1, "the report isn't what it should be");
    let steal = ["s3", "rm", object.as_str()];
    let refused = narrator.exchange("Ana", &typed(&steal), ana.aws(profile, &steal)).await?;
    ensure!(refused.code != Some(0), "read-only was enough to delete");

    // The CLI takes half a second to start; the same keys, used directly, tell the moment.
    let document = ana.run(&["creds", grant]).await?.success()?;
    let keys = keys_of(&document)?;
    let direct = world.account()?.root.with_keys(keys);
    within(Duration::from_secs(120), "AWS refusing her", async || {
        direct.get_object(BUCKET, REPORT.0).await?.refused("AccessDenied")
    })
    .await?;
    let seen = now();
    narrator.event("the deadline: AWS refuses Ana's keys, which STS made for 15 minutes");
    let refused = narrator.exchange("Ana", &typed(&copy), ana.aws(profile, &copy)).await?;
    ensure!(refused.code != Some(0), "the AWS CLI still reads the report");

    let over = world.grant_in_state(grant, "revoked").await?;
    narrator.event(&format!("the broker's finding: {}", text(&over["finding"], "summary")?));
    End::of("bucket", &over, seen)
}

/// Reads what a credential_process prints.
fn keys_of(document: &str) -> Result<Keys> {
    let document: Value = serde_json::from_str(document).context("read the credentials")?;
    Ok(Keys {
        access_key_id: text(&document, "AccessKeyId")?.to_owned(),
        secret_access_key: text(&document, "SecretAccessKey")?.to_owned(),
        session_token: Some(text(&document, "SessionToken")?.to_owned()),
    })
}
