//! Rules above all flows: whoever asks, approves or begins is stopped, at the moment that it would
//! become true.

use ebbgate_tests::{
    Person::{Ana, Ben},
    Result, World, ensure, eventually, json,
    settings::{LIFE_FLOWS, write},
    world::text,
};

const SHOP: &str = "orders/postgres/shop";

const RULES: &str = r#"
@id("half-an-hour")
@advice("nobody gets production for more than half an hour: ask again")
forbid (principal, action, resource)
when {
    resource.hasTag("env") && resource.getTag("env") == "prod" &&
    context.duration > duration("30m")
};

@id("bea-sees-it")
forbid (principal, action, resource)
when { context.flow == "shop-select" && context.stage == "approve" }
unless { context.approved_by.contains(Ebbgate::User::"bea@example.com") };
"#;

const SHUT: &str = r#"
@id("frozen")
@advice("nothing begins during the release")
forbid (principal, action, resource) when { context.stage == "activate" };
"#;

/// Puts other guardrails in force.
fn change(world: &World, rules: &str) -> Result<()> {
    write(&world.broker.folder().join("guardrails/rules.cedar"), rules)?;
    world.broker.reload()
}

/// Whether Ana could have the shop's database for so long at once, as the broker explains it.
async fn is_open(world: &World, duration: &str) -> Result<bool> {
    let path = format!("explain?resource={SHOP}&permission=select&duration={duration}");
    let explained = world.api(Ana)?.get(&path).await?.status(200)?;
    let flows = explained["flows"].as_array().into_iter().flatten();
    let auto = flows.into_iter().find(|flow| flow["flow"] == "shop-auto");
    Ok(auto.is_some_and(|flow| flow["ways"][0]["open"] == true))
}

#[tokio::test]
async fn no_flow_gives_what_they_forbid() -> Result<()> {
    let world = World::builder().guardrails(RULES).start().await?;
    let (ana, ben) = (world.api(Ana)?, world.api(Ben)?);
    let wish = |flow: &str, duration: &str| {
        json!({
            "flow": flow, "resources": [{"id": SHOP}], "duration": duration, "reason": "order 17",
        })
    };
    let refused = ana.post("requests", wish("shop-auto", "31m")).await?;
    let refused = refused.refused(403, "forbidden_by_guardrail")?;
    let detail = text(&refused, "detail")?;
    ensure!(detail.contains("'half-an-hour'") && detail.contains("ask again"), "{detail}");
    ensure!(!is_open(&world, "31m").await?, "what is refused isn't explained as open");
    world.active(Ana, "shop-auto", SHOP, "30m").await?;

    // One approver is enough for the flow, not for the guardrail.
    let request = ana.post("requests", wish("shop-select", "10m")).await?.status(201)?;
    let request = text(&request, "id")?;
    let approve = format!("requests/{request}/approve");
    let refused = ben.post(&approve, json!({})).await?;
    refused.refused(403, "forbidden_by_guardrail")?;
    let shown = ana.get(&format!("requests/{request}")).await?.status(200)?;
    ensure!(shown["state"] == "pending" && shown["grants"] == json!([]), "{shown}");

    let audit = world.audit().await?;
    let refused = audit.iter().filter(|record| record["action"] == "request.refused");
    let codes: Vec<_> = refused.map(|record| record["details"]["code"].clone()).collect();
    ensure!(codes == ["forbidden_by_guardrail", "forbidden_by_guardrail"], "{audit:?}");

    // A file with a mistake changes nothing; a better one takes effect for what waits, too.
    change(&world, "forbid (principal, action, resource) when { context.nonsense };")?;
    let ebb = world.ebb(Ana).await?;
    let said = ebb.run(&["request", SHOP, "--flow", "shop-auto", "--for", "31m"]).await?;
    ensure!(said.stderr.contains("half-an-hour"), "{}", said.stderr);
    change(
        &world,
        "forbid (principal, action, resource) when { context.permission == \"admin\" };",
    )?;
    eventually("the other guardrails", async || {
        ensure!(is_open(&world, "31m").await?, "still the old ones");
        Ok(())
    })
    .await?;
    ben.post(&approve, json!({})).await?.status(200)?;
    world.audit_is_intact().await
}

#[tokio::test]
async fn what_was_approved_before_does_not_begin() -> Result<()> {
    let world = World::builder().flow("life.yaml", LIFE_FLOWS).guardrails(RULES).start().await?;
    let (ana, ben) = (world.api(Ana)?, world.api(Ben)?);
    let wish = |flow: &str| json!({"flow": flow, "resources": [{"id": SHOP}], "duration": "5m"});
    let waiting = ana.post("requests", wish("shop-later")).await?.status(201)?;
    let waiting = text(&waiting, "id")?;
    ben.post(&format!("requests/{waiting}/approve"), json!({})).await?.status(200)?;
    let live = ana.post(
        "requests",
        json!({
            "flow": "shop-longer", "resources": [{"id": SHOP}], "duration": "1m",
        }),
    );
    let live = live.await?.status(201)?;

    change(&world, SHUT)?;
    eventually("the freeze", async || {
        ensure!(!is_open(&world, "10m").await?, "still the old ones");
        Ok(())
    })
    .await?;
    let activate = format!("requests/{waiting}/activate");
    ana.post(&activate, json!({})).await?.refused(403, "forbidden_by_guardrail")?;
    let more = format!("requests/{}/extend", text(&live, "id")?);
    let refused = ana.post(&more, json!({"duration": "1m"})).await?;
    refused.refused(403, "forbidden_by_guardrail")?;
    ensure!(world.orders()?.grant_roles().await?.len() <= 1, "only what had begun before");

    change(&world, RULES)?;
    eventually("the thaw", async || {
        ana.post(&activate, json!({})).await?.status(200)?;
        Ok(())
    })
    .await?;
    world.audit_is_intact().await
}
