//! Why and why not: the tree of rules, whom a request waits for, and who can reach what.

use ebbgate_tests::{
    Person::{Adam, Ana, Audrey, Ben, Eve},
    Result, Value, World, ensure, json,
    world::text,
};

const SHOP: &str = "orders/postgres/shop";
/// What `ebb explain` ends with where no way is open.
const DENIED: i32 = 3;

/// One flow's part of an explanation.
fn flow<'a>(explained: &'a Value, name: &str) -> Result<&'a Value> {
    let flows = explained["flows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = flows.iter().find(|flow| flow["flow"] == name);
    found.ok_or_else(|| ebbgate_tests::anyhow!("no {name} in {explained}"))
}

#[tokio::test]
async fn it_says_who_could_approve_and_the_same_people_can() -> Result<()> {
    let world = World::start().await?;
    let ana = world.api(Ana)?;
    let explained =
        ana.get(&format!("explain?resource={SHOP}&permission=select")).await?.status(200)?;
    ensure!(explained["open"] == true, "{explained}");
    let way = &flow(&explained, "shop-select")?["ways"][0];
    ensure!(way["open"] == true, "{way}");
    let could = way["groups"][0]["waiting_for"].clone();
    ensure!(could == json!(["bea@example.com", "ben@example.com"]), "{way}");

    let wish = json!({"resources": [{"id": SHOP}], "flow": "shop-select", "reason": "why"});
    let request = ana.post("requests", wish).await?.status(201)?;
    ensure!(request["waiting_for"][0]["waiting_for"] == could, "{request}");

    // Now it tells where that request is stuck, until it is not any more.
    let path = format!("explain?resource={SHOP}");
    let explained = ana.get(&path).await?.status(200)?;
    let under_way = &explained["under_way"][0];
    ensure!(under_way["request_id"] == request["id"], "{under_way}");
    let waits = text(&under_way["waits_for"][0], "fact")?;
    ensure!(waits == "waits for DBAs: bea@example.com, ben@example.com", "{waits}");
    let approve = format!("requests/{}/approve", text(&request, "id")?);
    world.api(Ben)?.post(&approve, json!({})).await?.status(200)?;
    world.grant_in_state(ebbgate_tests::world::grant_id(&request)?, "active").await?;
    let explained = ana.get(&path).await?.status(200)?;
    ensure!(explained["under_way"][0]["waits_for"] == json!([]), "{explained}");
    Ok(())
}

#[tokio::test]
async fn ebb_tells_why_not_rule_by_rule() -> Result<()> {
    let world = World::start().await?;
    let eve = world.ebb(Eve).await?;
    let told = eve.run(&["explain", "shop", "--permission", "select"]).await?.exit(DENIED)?;
    for line in [
        "eve@example.com cannot get access to orders/postgres/shop",
        "no  subject: group:data: eve@example.com is in sales",
        "yes scope: orders/postgres/shop is in the scope shop-db",
        "(not_a_requester)",
    ] {
        ensure!(told.stdout.contains(line), "{line} isn't in\n{}", told.stdout);
    }
    let ana = world.ebb(Ana).await?;
    let told = ana.run(&["explain", SHOP, "--for", "5h"]).await?.exit(DENIED)?;
    ensure!(told.stdout.contains("no  duration: 5h is asked for; at most 1h"), "{}", told.stdout);
    ana.run(&["explain", SHOP]).await?.success()?;
    Ok(())
}

#[tokio::test]
async fn what_is_said_of_others_is_for_auditors() -> Result<()> {
    let world = World::start().await?;
    let about = format!("explain?resource={SHOP}&user=ana@example.com");
    world.api(Eve)?.get(&about).await?.refused(403, "forbidden")?;
    let explained = world.api(Audrey)?.get(&about).await?.status(200)?;
    ensure!(explained["user"] == "ana@example.com" && explained["open"] == true, "{explained}");
    let nobody = format!("explain?resource={SHOP}&user=leo@example.com");
    let explained = world.api(Adam)?.get(&nobody).await?.status(200)?;
    ensure!(explained["person"]["fact"] == "leo@example.com is disabled", "{explained}");
    world.api(Ana)?.get("explain?resource=nothing").await?.refused(422, "invalid_request")?;
    Ok(())
}

#[tokio::test]
async fn the_reverse_lists_who_can_reach_a_resource_with_whose_approval() -> Result<()> {
    let world = World::start().await?;
    let audrey = world.api(Audrey)?;
    let found = audrey.get(&format!("explain/reach?resource={SHOP}")).await?.status(200)?;
    let items = found["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ways: Vec<String> = items
        .iter()
        .map(|item| Ok(format!("{} {}", text(item, "user")?, text(item, "flow")?)))
        .collect::<Result<_>>()?;
    // Ana's group has three flows, the administrators one; neither Eve nor Leo, who left, is there.
    assert_eq!(
        ways,
        [
            "ana@example.com shop-auto",
            "ana@example.com shop-pii",
            "ana@example.com shop-select",
            "bea@example.com shop-dba",
            "ben@example.com shop-dba",
        ]
    );
    let told = world.ebb(Audrey).await?.run(&["explain", SHOP, "--everyone"]).await?.success()?;
    ensure!(told.contains("DBAs (any of ben@example.com)"), "{told}");
    Ok(())
}
