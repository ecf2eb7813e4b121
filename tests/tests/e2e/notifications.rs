//! Who is told what: signed webhooks and e-mail, whatever fails on the way.

use std::collections::{BTreeMap, BTreeSet};

use ebbgate_tests::{
    Person::{Adam, Ana, Audrey, Ben},
    Result, World, ensure, eventually, json,
    mail::MailServer,
    places,
    receiver::{Call, NO_ANSWER, Receiver},
    settings::write,
    world::{grant_id, text},
};

const SHOP: &str = "orders/postgres/shop";

/// Ana asks for the shop's database; gives the request's id.
async fn ask(world: &World) -> Result<String> {
    let wish = json!({
        "flow": "shop-select",
        "resources": [{"id": SHOP}],
        "duration": "10m",
        "reason": "look at order 17",
    });
    let request = world.api(Ana)?.post("requests", wish).await?.status(201)?;
    Ok(text(&request, "id")?.to_owned())
}

/// What was delivered of each event, in the order of the first delivery.
fn story(calls: &[Call]) -> Result<Vec<String>> {
    let mut seen = BTreeSet::new();
    calls
        .iter()
        .filter(|call| call.answered == 204 && seen.insert(call.id().to_owned()))
        .map(Call::event)
        .collect()
}

#[tokio::test]
async fn a_receiver_hears_the_whole_story_in_order_although_it_and_the_broker_fail() -> Result<()> {
    let receiver = Receiver::start().await?;
    let secrets = places::new_world_dir()?;
    let secret = secrets.path().join("secret");
    write(&secret, &receiver.secret())?;
    let channels = receiver.settings("siem", &secret.display().to_string());
    let mut world = World::builder().channels(&channels).start().await?;

    receiver.answer(503);
    let request = ask(&world).await?;
    eventually("two attempts", async || {
        let calls = receiver.calls().await;
        ensure!(calls.len() >= 2, "{}", calls.len());
        Ok(())
    })
    .await?;
    let approved = world.api(Ben)?.post(&format!("requests/{request}/approve"), json!({})).await?;
    let grant = grant_id(&approved.status(200)?)?.to_owned();
    world.grant_in_state(&grant, "active").await?;
    world.broker.kill()?;
    world.broker.start().await?;
    receiver.answer(204);
    world.agent.connected(&world.api(Adam)?).await?;
    world.api(Ana)?.post(&format!("grants/{grant}/release"), json!({})).await?.success()?;
    world.grant_in_state(&grant, "revoked").await?;

    let expected = [
        "request.created",
        "request.approved",
        "request.withdrawn",
        "grant.active",
        "grant.revoked",
    ];
    eventually("the whole story", async || {
        let told = story(&receiver.calls().await)?;
        ensure!(told == expected, "{told:?}");
        Ok(())
    })
    .await?;
    let mut bodies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for call in receiver.calls().await {
        receiver.verify(&call)?;
        bodies.entry(call.id().to_owned()).or_default().insert(call.body.clone());
    }
    assert_eq!(bodies.len(), expected.len(), "an id for each notice: {bodies:?}");
    assert!(bodies.values().all(|texts| texts.len() == 1), "the same at each attempt: {bodies:?}");
    world.audit_is_intact().await
}

#[tokio::test]
async fn people_get_mail_although_another_channel_is_stuck() -> Result<()> {
    let (dir, receiver) = (places::new_world_dir()?, Receiver::start().await?);
    let server = MailServer::start(dir.path()).await?;
    let secret = dir.path().join("secret");
    write(&secret, &receiver.secret())?;
    let mut channels = receiver.settings("siem", &secret.display().to_string());
    channels.push_str(&server.settings("mail"));
    receiver.answer(NO_ANSWER);
    let world = World::builder().channels(&channels).start().await?;

    let request = ask(&world).await?;
    let mail = server.message("ben@example.com", "asks for").await?;
    assert!(mail.text.contains(&format!("ebb approve {request}")), "{mail:?}");
    assert!(mail.text.contains("look at order 17"), "{mail:?}");
    let other = server.message("bea@example.com", "asks for").await?;
    assert_ne!(mail.header("Message-ID"), other.header("Message-ID"));
    assert_eq!(mail.header("In-Reply-To"), other.header("In-Reply-To"), "one conversation");
    let approved = world.api(Ben)?.post(&format!("requests/{request}/approve"), json!({})).await?;
    approved.status(200)?;
    server.message("ana@example.com", "approved").await?;

    let channels = world.api(Audrey)?.get("channels").await?.status(200)?;
    let stuck = channels["items"].as_array().into_iter().flatten();
    let stuck = stuck.into_iter().find(|channel| channel["name"] == "siem").cloned();
    let stuck = stuck.unwrap_or_default();
    assert!(stuck["waiting"].as_u64() >= Some(2), "{channels}");
    world.api(Ana)?.get("channels").await?.refused(403, "forbidden")?;
    world.api(Audrey)?.post("channels/siem/replay", json!({})).await?.refused(403, "forbidden")?;
    let replayed = world.api(Adam)?.post("channels/siem/replay", json!({})).await?.status(200)?;
    assert_eq!(replayed["notices"], 0, "nothing is set aside yet");
    world.api(Adam)?.post("channels/pigeon/replay", json!({})).await?.refused(404, "not_found")?;
    let said = world.ebb(Adam).await?.run(&["admin", "channels", "list"]).await?.success()?;
    assert!(said.contains("siem") && said.contains("mail"), "{said}");
    Ok(())
}

#[tokio::test]
async fn mail_waits_for_its_server() -> Result<()> {
    let dir = places::new_world_dir()?;
    let server = MailServer::start(dir.path()).await?;
    let world = World::builder().channels(&server.settings("mail")).start().await?;
    server.pause()?;
    let request = ask(&world).await?;
    eventually("a failed attempt", async || {
        let channels = world.api(Audrey)?.get("channels").await?.status(200)?;
        ensure!(channels["items"][0]["last_error"].is_string(), "{channels}");
        Ok(())
    })
    .await?;
    server.resume()?;
    let mail = server.message("ben@example.com", "asks for").await?;
    assert!(mail.text.contains(&request), "{mail:?}");
    Ok(())
}
