//! Who must approve, one after the other: the article's example, escalation, claims, substitutes,
//! rules. The broker is restarted between the steps.

use ebbgate_tests::{
    Person::{self, Ana, Carlos, Eve, Joao, Maria},
    Result, Value, World, ensure, eventually, json,
    settings::APPROVAL_FLOWS,
    world::{grant_id, text},
};
use jiff::{SignedDuration, Timestamp};

const SHOP: &str = "orders/postgres/shop";
/// What `ebb` ends with when a request waits for somebody.
const WAITS_FOR_APPROVAL: i32 = 4;

async fn world() -> Result<World> {
    World::builder().flow("approval.yaml", APPROVAL_FLOWS).start().await
}

async fn ask(world: &World, flow: &str) -> Result<Value> {
    let wish = json!({"flow": flow, "resources": [{"id": SHOP}]});
    world.api(Eve)?.post("requests", wish).await?.status(201)
}

async fn request(world: &World, id: &str) -> Result<Value> {
    world.api(Eve)?.get(&format!("requests/{id}")).await?.status(200)
}

/// The names in a list of e-mail addresses.
fn names(list: &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    all.map(|id| id.trim_end_matches("@example.com").to_owned()).collect()
}

/// Those who were told and are still needed, or have answered.
fn told(request: &Value) -> Vec<String> {
    let all = request["told"].as_array().into_iter().flatten();
    let needed = all.filter(|told| told["withdrawn_at"].is_null()).map(|told| told["who"].clone());
    names(&needed.collect())
}

fn moment(value: &Value) -> Result<Timestamp> {
    let text = value.as_str().unwrap_or_default();
    text.parse().map_err(|error| ebbgate_tests::anyhow!("{value} is no moment: {error}"))
}

#[tokio::test]
async fn the_pii_example_over_http_with_a_restart_between_the_two() -> Result<()> {
    let mut world = world().await?;
    let asked = ask(&world, "production-rds-pii-access").await?;
    let id = text(&asked, "id")?.to_owned();
    assert_eq!(asked["state"], "pending");
    assert_eq!(told(&asked), ["joao", "maria", "ana", "carlos"]);
    assert_eq!(asked["items"][0]["tags"], json!({"env": "prod"}), "approvers see the resource");
    assert_eq!(names(&asked["waiting_for"][1]["waiting_for"]), ["ana", "carlos"]);

    let approve = |who: Person| {
        let (api, path) = (world.api(who), format!("requests/{id}/approve"));
        async move { api?.post(&path, json!({})).await }
    };
    approve(Eve).await?.refused(403, "own_request")?;
    approve(Person::Ben).await?.refused(403, "not_an_approver")?;
    let half = approve(Maria).await?.status(200)?;
    assert_eq!(half["state"], "pending");
    assert_eq!(told(&half), ["maria", "ana", "carlos"], "Joao is no longer needed");
    assert_eq!(half["waiting_for"][0]["satisfied"], true);
    // Another of the same area does not stand for the other area.
    assert_eq!(approve(Joao).await?.status(200)?["state"], "pending");
    approve(Maria).await?.refused(409, "already_reviewed")?;

    world.broker.kill()?;
    world.broker.start().await?;
    assert_eq!(request(&world, &id).await?["waiting_for"], half["waiting_for"]);
    let path = format!("requests/{id}/approve");
    let approved = world.api(Carlos)?.post(&path, json!({})).await?.status(200)?;
    assert_ne!(approved["state"], "pending");
    world.grant_in_state(grant_id(&approved)?, "active").await?;
    let over = request(&world, &id).await?;
    assert!(!told(&over).contains(&"ana".to_owned()), "{over}");
    world.api(Ana)?.post(&path, json!({})).await?.refused(409, "already_decided")?;
    Ok(())
}

#[tokio::test]
async fn the_pii_example_with_ebb() -> Result<()> {
    let world = world().await?;
    let (eve, joao, ana) = (world.ebb(Eve).await?, world.ebb(Joao).await?, world.ebb(Ana).await?);
    let flow = "production-rds-pii-access";
    let asked = eve.run(&["request", "shop", "--flow", flow, "--no-wait", "-o", "json"]).await?;
    let asked: Value = serde_json::from_str(&asked.exit(WAITS_FOR_APPROVAL)?.stdout)?;
    let id = text(&asked, "id")?;
    assert!(joao.run(&["inbox"]).await?.success()?.contains(id));
    joao.run(&["approve", id]).await?.success()?;
    let shown = eve.run(&["requests", "show", id]).await?.success()?;
    for part in
        ["Security", "ana@example.com", "carlos@example.com", "env=prod", "not needed since"]
    {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
    ana.run(&["deny", id, "--comment", "not for this"]).await?.success()?;
    assert!(eve.run(&["requests", "show", id]).await?.success()?.contains("denied"));
    Ok(())
}

#[tokio::test]
async fn steps_come_in_their_time_whether_the_broker_runs_or_not() -> Result<()> {
    let mut world = world().await?;
    let asked = ask(&world, "in-steps").await?;
    let (id, begin) = (text(&asked, "id")?.to_owned(), moment(&asked["created_at"])?);
    assert_eq!(told(&asked), ["maria"], "who is on call by the override");
    let group = &asked["waiting_for"][0];
    let second = begin + SignedDuration::from_secs(3);
    assert_eq!(moment(&group["escalates_at"])?, second);
    assert_eq!(names(&group["escalates_to"]), ["user:joao"]);
    let path = format!("requests/{id}/approve");
    world.api(Carlos)?.post(&path, json!({})).await?.refused(403, "not_an_approver")?;

    // The first step comes while nobody is there to see it.
    world.broker.kill()?;
    eventually("the second step's time", async || {
        ensure!(ebbgate_tests::clock::now() > second, "not yet");
        Ok(())
    })
    .await?;
    world.broker.start().await?;
    let last = eventually("both steps", async || {
        let now = request(&world, &id).await?;
        ensure!(told(&now).len() == 3, "{now}");
        Ok(now)
    })
    .await?;
    let steps = last["told"].as_array().into_iter().flatten();
    let steps: Vec<_> = steps.map(|told| (told["who"].clone(), told["step"].clone())).collect();
    let expected = ["maria", "joao", "carlos"].iter().zip(0..);
    let expected: Vec<_> =
        expected.map(|(who, step)| (json!(format!("{who}@example.com")), json!(step))).collect();
    assert_eq!(steps, expected);
    for (told, after) in last["told"].as_array().into_iter().flatten().zip([0, 3, 6]) {
        let due = begin + SignedDuration::from_secs(after);
        assert!(moment(&told["at"])? >= due, "before its time: {told}");
    }
    world.broker.kill()?;
    world.broker.start().await?;
    assert_eq!(request(&world, &id).await?["told"], last["told"], "each was told once");
    let approved = world.api(Carlos)?.post(&path, json!({})).await?.status(200)?;
    world.grant_in_state(grant_id(&approved)?, "active").await?;
    Ok(())
}

#[tokio::test]
async fn a_claim_holds_escalation_up_over_a_restart() -> Result<()> {
    let mut world = world().await?;
    let asked = ask(&world, "in-steps").await?;
    let (id, begin) = (text(&asked, "id")?.to_owned(), moment(&asked["created_at"])?);
    let maria = world.ebb(Maria).await?;
    let claimed = maria.run(&["claim", &id]).await?.success();
    claimed?;
    let looking = request(&world, &id).await?;
    assert_eq!(looking["claims"][0]["by"], "maria@example.com");
    let later = moment(&looking["waiting_for"][0]["escalates_at"])?;
    assert_eq!(later, begin + SignedDuration::from_secs(7), "3 s, and 4 s for the claim");
    let again = world.api(Maria)?.post(&format!("requests/{id}/claim"), json!({})).await?;
    again.refused(409, "claimed_before")?;

    world.broker.kill()?;
    world.broker.start().await?;
    let escalated = eventually("the next step", async || {
        let now = request(&world, &id).await?;
        ensure!(told(&now).len() > 1, "{now}");
        Ok(now)
    })
    .await?;
    assert!(moment(&escalated["told"][1]["at"])? >= later, "{escalated}");
    Ok(())
}

#[tokio::test]
async fn a_substitute_decides_in_the_place_of_one_who_is_away() -> Result<()> {
    let mut world = world().await?;
    let flow = "production-rds-pii-access";
    let id = text(&ask(&world, flow).await?, "id")?.to_owned();
    let (ana, adam) = (world.ebb(Ana).await?, world.ebb(Person::Adam).await?);
    assert_eq!(adam.json(&["inbox"]).await?, json!([]));
    let until = (ebbgate_tests::clock::now() + SignedDuration::from_hours(24)).to_string();
    ana.run(&["delegate", "--to", "adam@example.com", "--until", &until]).await?.success()?;
    let back = json!({"to": "ana@example.com", "until": until});
    let refused = world.api(Person::Adam)?.post("delegations", back).await?;
    refused.refused(422, "delegation_refused")?;

    world.broker.kill()?;
    world.broker.start().await?;
    let shown = request(&world, &id).await?;
    let told = shown["told"].as_array().into_iter().flatten();
    let adams = told.clone().find(|told| told["who"] == "adam@example.com").cloned();
    assert_eq!(adams.unwrap_or_default()["in_place_of"], "ana@example.com", "{shown}");
    adam.run(&["approve", &id]).await?.success()?;
    let approved = world.api(Maria)?.post(&format!("requests/{id}/approve"), json!({})).await?;
    let approved = approved.status(200)?;
    assert_ne!(approved["state"], "pending");
    assert_eq!(approved["reviews"][0]["may_speak_for"], json!(["ana@example.com"]));

    let next = text(&ask(&world, flow).await?, "id")?.to_owned();
    let listed = ana.json(&["delegate", "list"]).await?;
    ana.run(&["delegate", "end", text(&listed[0], "id")?]).await?.success()?;
    assert_eq!(ana.json(&["delegate", "list"]).await?, json!([]));
    let late =
        world.api(Person::Adam)?.post(&format!("requests/{next}/approve"), json!({})).await?;
    late.refused(403, "not_an_approver")?;
    Ok(())
}

#[tokio::test]
async fn rules_and_people_that_nobody_knows() -> Result<()> {
    let world = world().await?;
    let eve = world.api(Eve)?;
    let wish = |flow: &str, duration: &str| json!({"flow": flow, "resources": [{"id": SHOP}], "duration": duration});
    let short = eve.post("requests", wish("by-rules", "10m")).await?.status(201)?;
    assert_ne!(short["state"], "pending");
    let long = eve.post("requests", wish("by-rules", "11m")).await?.status(201)?;
    assert_eq!(told(&long), ["carlos"]);
    let refused = eve.post("requests", wish("by-manager", "5m")).await?;
    let refused = refused.refused(422, "approval_unsatisfiable")?;
    let detail = text(&refused, "detail")?;
    assert!(detail.contains("the manager of eve@example.com is not known"), "{detail}");

    // The users file tells who it is.
    let path = world.broker.folder().join("users.yaml");
    let users = std::fs::read_to_string(&path)?;
    std::fs::write(&path, users.replace("name: Eve,", "name: Eve, manager: carlos@example.com,"))?;
    world.broker.reload()?;
    let asked = eventually("the manager being known", async || {
        eve.post("requests", wish("by-manager", "5m")).await?.status(201)
    })
    .await?;
    assert_eq!(told(&asked), ["carlos"]);
    Ok(())
}
