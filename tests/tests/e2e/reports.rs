//! Reports on real programs: what an auditor hears of flows and approvers after a day's work, and that
//! nobody else does.

use ebbgate_tests::{
    Person::{Ana, Audrey, Ben, Eve},
    Result, Value, World, ensure, json,
    world::text,
};

const SHOP: &str = "orders/postgres/shop";
/// What `ebb` ends with where somebody may not.
const DENIED: i32 = 3;
/// What people wrote; no report tells it.
const WRITTEN: &str = "a-private-word";

/// A flow that was reviewed long ago, whose approvers are gone.
const STALE: &str = "\
kind: AccessFlow
name: shop-stale
requesters: [group:data]
access: [{scope: shop-db, permissions: [select]}]
approval:
  groups:
    - {name: Old hands, of: [user:leo@example.com, group:veterans]}
duration: {default: 30m, max: 1h}
reviewed: {by: grace@example.com, on: 2020-02-29}
";

/// What a report says of something.
fn fact<'a>(report: &'a Value, about: &str) -> Result<&'a str> {
    let items = report["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = items.iter().find(|item| item["about"] == about);
    text(found.ok_or_else(|| ebbgate_tests::anyhow!("no {about} in {report}"))?, "fact")
}

/// Ben says yes to three requests as soon as they come; rules say no to three more.
async fn a_days_work(world: &World) -> Result<()> {
    let (ana, ben, eve) = (world.api(Ana)?, world.api(Ben)?, world.api(Eve)?);
    let wish = |duration: &str| {
        json!({
            "resources": [{"id": SHOP}], "flow": "shop-select", "reason": WRITTEN,
            "duration": duration,
        })
    };
    for _ in 0..3 {
        let request = ana.post("requests", wish("20m")).await?.status(201)?;
        let approve = format!("requests/{}/approve", text(&request, "id")?);
        ben.post(&approve, json!({"comment": WRITTEN})).await?.status(200)?;
    }
    for _ in 0..2 {
        ana.post("requests", wish("3h")).await?.refused(422, "duration_too_long")?;
    }
    eve.post("requests", wish("20m")).await?.refused(403, "not_a_requester")?;
    Ok(())
}

#[tokio::test]
async fn an_auditor_hears_what_needs_attention() -> Result<()> {
    what_needs_attention(&World::builder().flow("stale.yaml", STALE).start().await?).await
}

#[tokio::test]
async fn and_the_same_where_the_store_is_postgresql() -> Result<()> {
    let world = World::builder().postgres_store().flow("stale.yaml", STALE).start().await?;
    what_needs_attention(&world).await
}

async fn what_needs_attention(world: &World) -> Result<()> {
    a_days_work(world).await?;
    let audrey = world.ebb(Audrey).await?;

    let overview = audrey.run(&["admin", "report"]).await?.success()?;
    for name in [
        "review",
        "unused",
        "empty-groups",
        "departed-approvers",
        "rubber-stamps",
        "decision-times",
        "denied",
        "ripe",
    ] {
        let line = overview.lines().find(|line| line.starts_with(name));
        ensure!(line.is_some(), "{name} isn't in\n{overview}");
    }
    ensure!(overview.contains("3 refused by rules, 0 denied by approvers"), "{overview}");

    let report = async |name: &str, more: &[&str]| {
        let arguments: Vec<&str> = ["admin", "report", name].iter().chain(more).copied().collect();
        let report = audrey.json(&arguments).await?;
        ensure!(!report.to_string().contains(WRITTEN), "{report}");
        Ok(report)
    };
    let review = report("review", &[]).await?;
    let stale = fact(&review, "flow shop-stale")?;
    ensure!(stale == "was reviewed last on 2020-02-29, by grace@example.com", "{stale}");
    ensure!(fact(&review, "flow shop-select")? == "was never reviewed", "{review}");
    let empty = report("empty-groups", &[]).await?;
    let veterans = fact(&empty, "group:veterans")?;
    ensure!(veterans == "has no members; approvers of shop-stale", "{veterans}");
    let gone = report("departed-approvers", &[]).await?;
    let leo = fact(&gone, "user:leo@example.com")?;
    ensure!(leo == "is disabled; approver in the flow shop-stale", "{leo}");

    // Three decisions are too few, unless one says so.
    let stamps = report("rubber-stamps", &[]).await?;
    ensure!(stamps["items"] == json!([]), "{stamps}");
    let enough = ["--least", "3", "--fast", "1h", "--share", "100"];
    let stamps = report("rubber-stamps", &enough).await?;
    let ben = fact(&stamps, "user:ben@example.com")?;
    ensure!(ben.ends_with("at the median of 3 approvals"), "{ben}");
    let ripe = report("ripe", &["--least", "3"]).await?;
    fact(&ripe, "flow shop-select")?;
    ensure!(ripe["items"][0]["figures"]["up_to_seconds"] == 1_200, "{ripe}");
    let times = report("decision-times", &[]).await?;
    ensure!(times["items"][0]["figures"]["decisions"] == 3, "{times}");
    let denied = report("denied", &[]).await?;
    let long = fact(&denied, "rule duration_too_long")?;
    ensure!(long == "refused 2 wishes of 1 person; through shop-select (2)", "{long}");

    // Of the last 90 days this broker can't tell; of the last second it can.
    let unused = report("unused", &[]).await?;
    ensure!(text(&unused, "note")?.contains("cannot be told yet"), "{unused}");
    let unused = report("unused", &["--since", "1s"]).await?;
    fact(&unused, "flow shop-stale")?;
    ensure!(fact(&unused, "flow shop-select").is_err(), "access through it goes on: {unused}");
    Ok(())
}

#[tokio::test]
async fn reports_are_for_auditors_and_make_sense() -> Result<()> {
    let world = World::start().await?;
    for path in ["reports", "reports/review"] {
        world.api(Ana)?.get(path).await?.refused(403, "forbidden")?;
    }
    world.ebb(Ana).await?.run(&["admin", "report"]).await?.exit(DENIED)?;
    let audrey = world.api(Audrey)?;
    audrey.get("reports/nothing").await?.refused(404, "not_found")?;
    let wrong = audrey.get("reports?since=soon&fast=0s&share=0&least=0").await?;
    let wrong = wrong.refused(422, "invalid_request")?;
    for field in ["since", "fast", "share", "least"] {
        let errors = wrong["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        ensure!(errors.iter().any(|error| error["field"] == field), "{wrong}");
    }
    audrey.get("reports?until=now").await?.refused(422, "invalid_request")?;
    Ok(())
}
