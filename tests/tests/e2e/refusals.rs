//! Every way in which the rules say no: its own status and code, a problem document that says why,
//! and nothing changes.

use ebbgate_tests::{
    Person::{Adam, Ana, Bea, Ben, Carla, Eve, Leo},
    Result, Value, World,
    api::Answer,
    json,
    world::{grant_id, text},
};

const SHOP: &str = "orders/postgres/shop";
const REPORTS: &str = "prod/s3/reports";

/// Flows for refusals that the usual ones can't give.
const MORE_FLOWS: &str = "\
kind: AccessFlow
name: reports-both
requesters: [group:data]
access: [{scope: reports-bucket, permissions: [read-only, read-write]}]
approval: automatic
duration: {default: 30m, max: 1h}
---
kind: AccessFlow
name: shop-alone
requesters: [group:security, group:data]
access: [{scope: shop-db, permissions: [select]}]
approval:
  groups:
    - {name: Security, of: [group:security]}
  request_timeout: 2s
duration: {default: 30m, max: 1h}
";

/// What must stay as it was when somebody is refused: all requests and grants.
async fn everything(world: &World) -> Result<(Vec<Value>, Vec<Value>)> {
    let adam = world.api(Adam)?;
    Ok((
        adam.list("requests?state=all&of=everyone").await?,
        adam.list("grants?state=all&of=everyone").await?,
    ))
}

#[tokio::test]
async fn wishes_that_the_rules_refuse() -> Result<()> {
    let world = World::builder().aws().flow("more.yaml", MORE_FLOWS).start().await?;
    let shop = |more: Value| {
        let mut wish = json!({"resources": [{"id": SHOP}], "flow": "shop-select", "reason": "why"});
        for (name, value) in more.as_object().into_iter().flatten() {
            wish[name] = value.clone();
        }
        wish
    };
    let reports = |permission: Option<&str>, flow: &str| {
        let mut item = json!({"id": REPORTS});
        if let Some(permission) = permission {
            item["permission"] = permission.into();
        }
        json!({"resources": [item], "flow": flow})
    };
    let cases = [
        // Somebody outside the flow.
        (Eve, shop(json!({})), 403, "not_a_requester"),
        // No flow or too many, where none is named.
        (Eve, json!({"resources": [{"id": SHOP}]}), 403, "not_a_requester"),
        (Ana, json!({"resources": [{"id": SHOP}]}), 422, "flow_ambiguous"),
        // What the flow doesn't have.
        (Ana, reports(None, "shop-auto"), 403, "resource_out_of_scope"),
        (Ana, reports(Some("read-write"), "reports-read"), 403, "permission_not_offered"),
        (Ana, reports(None, "reports-both"), 422, "permission_ambiguous"),
        // How long and why.
        (Ana, shop(json!({"duration": "61m"})), 422, "duration_too_long"),
        (Ana, shop(json!({"reason": null})), 422, "reason_required"),
        (Ana, shop(json!({"reason": "  "})), 422, "reason_required"),
        (Ana, shop(json!({"flow": "shop-pii"})), 422, "ticket_required"),
        (Ana, shop(json!({"flow": "shop-pii", "ticket": "OPS1"})), 422, "ticket_mismatch"),
        // Carla is the only one who could approve, and nobody approves their own request.
        (Carla, shop(json!({"flow": "shop-alone"})), 422, "approval_unsatisfiable"),
        // What makes no sense.
        (Ana, json!({"flow": "shop-auto"}), 422, "invalid_request"),
        (Ana, json!({"flow": "shop-auto", "resources": []}), 422, "invalid_request"),
        (Ana, shop(json!({"duration": "soon"})), 422, "invalid_request"),
        (Ana, shop(json!({"duration": "40d"})), 422, "invalid_request"),
        (Ana, shop(json!({"urgent": true})), 422, "invalid_request"),
    ];
    for (person, wish, status, code) in cases {
        let answer = world.api(person)?.post("requests", wish.clone()).await?;
        let problem = answer.refused(status, code)?;
        if code == "invalid_request" {
            assert!(problem["errors"][0]["field"].is_string(), "which field? {problem}");
            assert!(problem["errors"][0]["message"].is_string(), "{problem}");
        }
    }
    assert_eq!(everything(&world).await?, (vec![], vec![]));
    let records = world.audit().await?;
    let refused = records.iter().filter(|record| record["action"] == "request.refused");
    let codes: Vec<_> = refused.filter_map(|record| record["details"]["code"].as_str()).collect();
    assert!(
        codes.contains(&"not_a_requester") && codes.contains(&"duration_too_long"),
        "{codes:?}"
    );
    Ok(())
}

#[tokio::test]
async fn reviews_that_the_rules_refuse() -> Result<()> {
    let world = World::start().await?;
    let (ana, ben, bea) = (world.api(Ana)?, world.api(Ben)?, world.api(Bea)?);
    let ask = async |api: &ebbgate_tests::api::Api, flow: &str| -> Result<String> {
        let wish = json!({
            "resources": [{"id": SHOP}], "flow": flow, "reason": "why", "ticket": "OPS-1",
        });
        let request = api.post("requests", wish).await?.status(201)?;
        Ok(format!("requests/{}", text(&request, "id")?))
    };

    // Before any decision.
    let request = ask(&ana, "shop-pii").await?;
    let own = ask(&ben, "shop-dba").await?;
    let before = everything(&world).await?;
    let say = async |person, path: &str, verb: &str, body: Value| -> Result<Answer> {
        world.api(person)?.post(&format!("{path}/{verb}"), body).await
    };
    say(Ben, &own, "approve", json!({})).await?.refused(403, "own_request")?;
    say(Ben, &own, "deny", json!({"comment": "no"})).await?.refused(403, "own_request")?;
    say(Eve, &request, "approve", json!({})).await?.refused(403, "not_an_approver")?;
    say(Adam, &request, "approve", json!({})).await?.refused(403, "not_an_approver")?;
    say(Ana, &request, "approve", json!({})).await?.refused(403, "own_request")?;
    say(Ben, &request, "deny", json!({})).await?.refused(422, "comment_required")?;
    say(Ben, &request, "deny", json!({"comment": " "})).await?.refused(422, "comment_required")?;
    say(Ben, &request, "cancel", json!({})).await?.refused(403, "not_the_requester")?;
    assert_eq!(everything(&world).await?, before);

    // After Ben's word, Security's is still missing; his own counts once.
    say(Ben, &request, "approve", json!({})).await?.status(200)?;
    let before = everything(&world).await?;
    say(Ben, &request, "approve", json!({})).await?.refused(409, "already_reviewed")?;
    let late = json!({"comment": "after all"});
    say(Ben, &request, "deny", late.clone()).await?.refused(409, "already_reviewed")?;
    assert_eq!(everything(&world).await?, before);
    let mine = ana.get(&request).await?.status(200)?;
    assert_eq!(mine["state"], "pending", "{mine}");

    // After the decision.
    say(Carla, &request, "deny", json!({"comment": "not in March"})).await?.status(200)?;
    bea.post(&format!("{request}/approve"), json!({})).await?.refused(409, "already_decided")?;
    ana.post(&format!("{request}/cancel"), json!({})).await?.refused(409, "already_decided")?;
    let mine = ana.get(&request).await?.status(200)?;
    assert_eq!(mine["state"], "denied", "{mine}");
    assert_eq!(mine["grants"], json!([]), "a denied request has no grant");
    Ok(())
}

#[tokio::test]
async fn a_request_that_nobody_decides_on_lapses() -> Result<()> {
    let world = World::builder().aws().flow("more.yaml", MORE_FLOWS).start().await?;
    let ana = world.api(Ana)?;
    let wish = json!({"resources": [{"id": SHOP}], "flow": "shop-alone"});
    let request = ana.post("requests", wish).await?.status(201)?;
    let path = format!("requests/{}", text(&request, "id")?);
    ebbgate_tests::eventually("the request lapsing", async || {
        let request = ana.get(&path).await?.status(200)?;
        ebbgate_tests::ensure!(request["state"] == "lapsed", "{request}");
        Ok(())
    })
    .await?;
    let late = world.api(Carla)?.post(&format!("{path}/approve"), json!({})).await?;
    late.refused(409, "already_decided")?;
    assert!(world.orders()?.grant_roles().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn credentials_that_are_refused() -> Result<()> {
    let mut world = World::start().await?;
    let active = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let grant = text(&active, "id")?;
    let path = format!("grants/{grant}/credentials");
    let login = world.database_login(Ana, grant).await?;

    // A verifier ends up in SQL: what isn't one goes nowhere.
    let good = ebbgate_tests::secrets::scram_verifier("not used");
    let (_, tail) = good.split_once("4096").ok_or_else(|| anyhow::anyhow!("{good}"))?;
    for verifier in [
        "hunter2".to_owned(),
        String::new(),
        format!("SCRAM-SHA-256$1{tail}"),
        format!("SCRAM-SHA-256$4095{tail}"),
        format!("SCRAM-SHA-256$99999999999{tail}"),
        format!("md5{}", "0".repeat(32)),
        format!("{good}'; DROP TABLE orders; --"),
        format!("{good}\n"),
        format!("{good}="),
        format!(" {good}"),
        good.replace(':', "::"),
    ] {
        let answer = world.api(Ana)?.post(&path, json!({"scram_verifier": verifier})).await?;
        let problem = answer.refused(422, "verifier_invalid")?;
        assert!(
            !problem.to_string().contains("hunter2"),
            "it repeats what it was given: {problem}"
        );
    }
    world.api(Ana)?.post(&path, json!({})).await?.status(422)?;
    // Only their owner gets credentials, administrators included.
    let theirs = json!({"scram_verifier": good});
    world.api(Adam)?.post(&path, theirs.clone()).await?.refused(403, "not_the_requester")?;
    let stranger = world.api(Eve)?.post(&path, theirs.clone()).await?;
    assert!(matches!(stranger.status, 403 | 404), "{stranger}");
    login.open(world.orders()?).await?;

    // With the target or the agent away there is none, and it says which.
    world.orders_mut()?.stop()?;
    let away = world.api(Ana)?.post(&path, theirs.clone()).await?;
    away.refused(503, "target_unavailable")?;
    world.orders_mut()?.resume()?;
    world.agent.stop().await?;
    let away = world.api(Ana)?.post(&path, theirs.clone()).await?;
    away.refused(503, "agent_unavailable")?;
    world.agent.start()?;
    world.agent.connected(&world.api(Adam)?).await?;
    login.open(world.orders()?).await?;

    // After its end there is none either.
    let release = format!("grants/{grant}/release");
    let eve = world.api(Eve)?.post(&release, json!({})).await?;
    assert!(matches!(eve.status, 403 | 404), "{eve}");
    world.api(Ana)?.post(&release, json!({})).await?.status(200)?;
    world.grant_in_state(grant, "revoked").await?;
    let late = world.api(Ana)?.post(&path, theirs.clone()).await?;
    late.refused(409, "grant_not_active")?;
    world.api(Ana)?.post(&release, json!({})).await?.refused(409, "grant_not_active")?;
    let expired = world.active(Ana, "shop-auto", SHOP, "2s").await?;
    let expired = text(&expired, "id")?;
    world.grant_in_state(expired, "revoked").await?;
    let late = world.api(Ana)?.post(&format!("grants/{expired}/credentials"), theirs).await?;
    late.refused(410, "grant_expired")?;
    Ok(())
}

#[tokio::test]
async fn people_who_may_not_in() -> Result<()> {
    let world = World::start().await?;
    let wish = json!({"resources": [{"id": SHOP}], "flow": "shop-select", "reason": "why"});
    let request = world.api(Ana)?.post("requests", wish.clone()).await?.status(201)?;
    let path = format!("requests/{}", text(&request, "id")?);
    for token in ["", "ebu_", "ebu_1234", "Bearer", &"x".repeat(5_000)] {
        let nobody = world.broker.api()?.with_token(token);
        nobody.get("whoami").await?.refused(401, "unauthenticated")?;
        nobody.post("requests", wish.clone()).await?.refused(401, "unauthenticated")?;
    }
    // Leo left: his token is good, his account is disabled.
    world.api(Leo)?.get("whoami").await?.refused(401, "unauthenticated")?;
    world.api(Leo)?.post("requests", wish).await?.refused(401, "unauthenticated")?;
    // What isn't theirs isn't there for them.
    let hidden = world.api(Eve)?.get(&path).await?;
    assert!(matches!(hidden.status, 403 | 404), "{hidden}");
    assert!(world.api(Eve)?.list("requests?state=all").await?.is_empty());
    let forbidden = world.api(Eve)?.get("requests?of=everyone").await?;
    forbidden.refused(403, "forbidden")?;
    assert!(world.api(Eve)?.list("resources").await?.is_empty());
    // What was never there.
    let nothing = format!("requests/req_{}", "0".repeat(32));
    world.api(Ana)?.get(&nothing).await?.refused(404, "not_found")?;
    world.api(Ana)?.get("requests/nonsense").await?.refused(404, "not_found")?;
    world.api(Ana)?.get("no-such-thing").await?.refused(404, "not_found")?;
    Ok(())
}

#[tokio::test]
async fn an_answer_to_an_order_that_is_no_longer_the_newest_changes_nothing() -> Result<()> {
    let mut world = World::start().await?;
    // The agent dies with the role made and the broker not told of it.
    world.agent.stop().await?;
    world.agent.start_to_crash_at("agent.provision.after_record")?;
    world.agent.connected(&world.api(Adam)?).await?;
    let wish = json!({"resources": [{"id": SHOP}], "flow": "shop-auto", "duration": "10m"});
    let request = world.api(Ana)?.post("requests", wish).await?.status(201)?;
    let grant = grant_id(&request)?;
    world.agent.crashed().await?;
    // Meanwhile the grant is given back: the newest order is to tear down.
    world.api(Ana)?.post(&format!("grants/{grant}/release"), json!({})).await?.status(200)?;
    world.agent.start()?;
    world.grant_in_state(grant, "revoked").await?;
    world.all_roles_are_gone().await?;
    let records = world.audit().await?;
    let active = records.iter().filter(|r| r["action"] == "grant.active" && r["grant_id"] == grant);
    assert_eq!(active.count(), 0, "a late answer made it active");
    Ok(())
}
