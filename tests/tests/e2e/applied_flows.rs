//! Flows that an administrator applies: all at once or not at all, against what they were planned on,
//! kept over restarts and crashes, followed by every broker of the store, and never what somebody
//! wrote into the database.

use std::path::{Path, PathBuf};

use ebbgate_tests::{
    Context as _,
    Person::{Adam, Ana, Audrey, Ben},
    Result, Value, World,
    api::Answer,
    broker::Broker,
    ensure, eventually, json,
    network::Port,
    places,
    settings::{standard_flows, with_applied_flows, write},
    world::{grant_id, text},
};
use rstest::rstest;

const SHOP: &str = "orders/postgres/shop";

/// A folder with flows as their author has them, and a case beside them.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Result<Self> {
        let folder = Self(places::new_world_dir()?);
        for (name, text) in standard_flows(false) {
            write(&folder.path().join(name), &text)?;
        }
        write(&folder.path().join("shop.test.yaml"), "cases: []\n")?;
        Ok(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("flows")
    }

    fn text(&self) -> Result<String> {
        Ok(self.path().to_str().context("a path in UTF-8")?.to_owned())
    }

    fn edit(&self, old: &str, new: &str) -> Result<()> {
        let shop = self.path().join("shop.yaml");
        let text = std::fs::read_to_string(&shop)?;
        ensure!(text.contains(old), "no {old} in {text}");
        write(&shop, &text.replacen(old, new, 1))
    }
}

async fn ask(world: &World, flow: &str) -> Result<Answer> {
    let wish = json!({"flow": flow, "resources": [{"id": SHOP}], "reason": "why"});
    world.api(Ana)?.post("requests", wish).await
}

/// The ETag of what is in force, and its files.
async fn in_force(world: &World) -> Result<(String, Value)> {
    let answer = world.api(Adam)?.get("flows").await?;
    let tag = answer.headers.get("etag").context("an ETag")?.to_str()?.to_owned();
    Ok((tag, answer.status(200)?["files"].clone()))
}

fn edited(files: &Value, old: &str, new: &str) -> Result<Value> {
    let shop = text(&files[0], "text")?;
    Ok(json!([{"name": "shop.yaml", "text": shop.replacen(old, new, 1)}]))
}

async fn numbers(world: &World) -> Result<Vec<u64>> {
    let sets = world.api(Audrey)?.list("flows/versions?limit=2").await?;
    Ok(sets.iter().filter_map(|set| set["number"].as_u64()).collect())
}

async fn restart(world: &mut World) -> Result<()> {
    world.broker.stop().await?;
    world.broker.start().await
}

#[tokio::test]
async fn files_are_not_applied_over_and_an_empty_store_gives_nothing() -> Result<()> {
    let mut world = World::start().await?;
    let (adam, folder) = (world.ebb(Adam).await?, Folder::new()?);
    let apply = ["admin", "flows", "apply", &folder.text()?, "--yes"];
    let refused = adam.run(&apply).await?.exit(1)?;
    ensure!(refused.stderr.contains("flows_in_files"), "{refused:?}");
    let (tag, files) = in_force(&world).await?;
    let put = world.api(Adam)?.apply(&tag, &files).await?;
    let told = put.refused(409, "flows_in_files")?;
    ensure!(text(&told, "detail")?.contains("flows: applied"), "{told}");

    let file = world.broker.settings();
    write(&file, &with_applied_flows(&std::fs::read_to_string(&file)?))?;
    world.broker.reload()?;
    let log = || std::fs::read_to_string(world.broker.log());
    eventually("the reload being refused", async || {
        ensure!(log()?.contains("`flows` comes from elsewhere now"), "nothing yet");
        Ok(())
    })
    .await?;
    ask(&world, "shop-auto").await?.status(201)?;
    restart(&mut world).await?;
    let log = std::fs::read_to_string(world.broker.log())?;
    ensure!(log.contains("ebb admin flows apply"), "{log}");
    ask(&world, "shop-auto").await?.refused(404, "not_found")?;
    let listed = adam.run(&["admin", "flows", "list", "--versions"]).await?;
    ensure!(listed.stderr.contains("no flows were ever applied"), "{listed:?}");

    let unasked = adam.run(&apply[..4]).await?.exit(2)?;
    ensure!(unasked.stderr.contains("--yes"), "{unasked:?}");
    let plan = adam.run(&apply).await?;
    ensure!(plan.stdout.contains("+ added"), "{plan:?}");
    ensure!(plan.stderr.contains("version 1 is in force"), "{plan:?}");
    plan.success()?;
    ask(&world, "shop-auto").await?.status(201)?;
    let again = adam.run(&apply).await?;
    ensure!(again.stderr.contains("nothing to apply: this is version 1"), "{again:?}");
    again.success()?;
    assert_eq!(numbers(&world).await?, [1]);
    Ok(())
}

#[tokio::test]
async fn a_new_version_takes_the_place_of_the_old_one() -> Result<()> {
    let mut world = World::builder().applied_flows().start().await?;
    let (adam, folder) = (world.ebb(Adam).await?, Folder::new()?);
    let pending = ask(&world, "shop-select").await?.status(201)?;
    let live = world.active(Ana, "shop-auto", SHOP, "10m").await?;
    let (before, files) = in_force(&world).await?;

    folder.edit("name: shop-auto", "name: shop-quick")?;
    folder.edit("max: 1h", "max: 2h")?;
    let applied =
        adam.run(&["admin", "flows", "apply", &folder.text()?, "--yes"]).await?.success()?;
    for told in ["duration.max: 1h -> 2h", "- removed", "shop-auto", "+ added", "shop-quick"] {
        ensure!(applied.contains(told), "{told} isn't in\n{applied}");
    }
    ask(&world, "shop-auto").await?.refused(404, "not_found")?;
    // Her request is as it was; what she had through a flow that is gone ends.
    let path = format!("requests/{}", text(&pending, "id")?);
    let now = world.api(Ana)?.get(&path).await?.status(200)?;
    assert_eq!(
        (&now["flow_version"], &now["state"]),
        (&pending["flow_version"], &json!("pending"))
    );
    let gone = world.grant_in_state(text(&live, "id")?, "revoked").await?;
    ensure!(gone["end_reason"] == "flow-removed", "{gone}");
    let records = world.audit().await?;
    let told = records.iter().rfind(|record| record["action"] == "flows.applied");
    let told = told.context("a record of it")?;
    let expected = json!({
        "number": 2, "before": before.trim_matches('"'), "version": told["details"]["version"],
        "added": ["AccessFlow shop-quick"], "changed": ["AccessFlow shop-select"],
        "removed": ["AccessFlow shop-auto"],
    });
    assert_eq!((&told["details"], &told["actor"]), (&expected, &json!("user:adam@example.com")));

    // Somebody who planned against the first version changes nothing.
    let late = world.api(Adam)?.apply(&before, &edited(&files, "max: 1h", "max: 3h")?).await?;
    let late = late.refused(412, "flows_changed")?;
    let detail = text(&late, "detail")?;
    ensure!(detail.starts_with("adam@example.com applied flows at "), "{detail}");
    ensure!(detail.contains("(number 2)") && detail.contains("plan again"), "{detail}");
    // Neither does a mistake that only the broker can know.
    let (tag, files) = in_force(&world).await?;
    let wrong = edited(&files, "integration: orders", "integration: order")?;
    let wrong = world.api(Adam)?.apply(&tag, &wrong).await?.refused(422, "flows_invalid")?;
    let place = text(&wrong["errors"][0], "field")?;
    ensure!(place == "shop.yaml:4:22", "{wrong}");
    ensure!(text(&wrong["errors"][0], "message")?.contains("did you mean 'orders'?"), "{wrong}");
    world
        .api(Adam)?
        .send(reqwest::Method::PUT, "flows", Some(json!({"files": []})), None)
        .await?
        .refused(428, "precondition_required")?;

    restart(&mut world).await?;
    ask(&world, "shop-quick").await?.status(201)?;
    assert_eq!(in_force(&world).await?, (tag, files));
    assert_eq!(numbers(&world).await?, [2, 1]);
    let audrey = world.ebb(Audrey).await?;
    let show = async |arguments: &[&str]| -> Result<String> {
        let all = [&["admin", "flows", "show"], arguments].concat();
        audrey.run(&all).await?.success()
    };
    ensure!(show(&["shop-quick"]).await?.contains("# Nobody needs to agree."), "comments");
    ensure!(
        show(&["shop-auto", "--version", "1"]).await?.contains("name: shop-auto"),
        "the old one"
    );
    let versions = audrey.run(&["admin", "flows", "list", "--versions"]).await?.success()?;
    ensure!(versions.contains("adam@example.com"), "{versions}");
    world.audit_is_intact().await
}

#[rstest]
#[case("broker.flows.before_commit", 1)]
#[case("broker.flows.after_commit", 2)]
#[tokio::test]
async fn a_broker_that_dies_has_applied_all_or_nothing(
    #[case] point: &str,
    #[case] number: u64,
) -> Result<()> {
    let mut world = World::builder().applied_flows().start().await?;
    world.broker.stop().await?;
    world.broker.start_to_crash_at(point).await?;
    let (tag, files) = in_force(&world).await?;
    let files = edited(&files, "name: shop-auto", "name: shop-quick")?;
    let _lost = world.api(Adam)?.apply(&tag, &files).await;
    world.broker.crashed().await?;
    world.broker.start().await?;

    let records = world.audit().await?;
    let applied = records.iter().filter(|record| record["action"] == "flows.applied").count();
    assert_eq!(applied as u64, number);
    assert_eq!(numbers(&world).await?.first(), Some(&number));
    let flow = if number == 1 { "shop-auto" } else { "shop-quick" };
    ask(&world, flow).await?.status(201)?;
    // Whoever asks again, as they would without an answer, gets what they wanted.
    let again = world.api(Adam)?.apply(&tag, &files).await?.status(200)?;
    assert_eq!((&again["number"], &again["applied"]), (&json!(2), &json!(number == 1)));
    ask(&world, "shop-quick").await?.status(201)?;
    world.audit_is_intact().await
}

#[rstest]
#[case::sqlite(World::builder())]
#[case::postgresql(World::builder().postgres_store())]
#[tokio::test]
async fn flows_that_somebody_writes_into_the_database_are_not_in_force(
    #[case] builder: ebbgate_tests::world::Builder,
) -> Result<()> {
    let mut world = builder.applied_flows().start().await?;
    let (tag, files) = in_force(&world).await?;
    let second = edited(&files, "name: shop-auto", "name: shop-quick")?;
    world.api(Adam)?.apply(&tag, &second).await?.status(200)?;
    let pending = ask(&world, "shop-select").await?.status(201)?;
    let live = world.active(Ana, "shop-quick", SHOP, "20s").await?;
    let id = |number: u64| format!("{number:020}");
    let (one, two, three) = (id(1), id(2), id(3));

    // The first set, with shop-auto, comes back under a number of its own, and a made-up one on top.
    world
        .by_hand(&format!(
            "CREATE TABLE kept AS SELECT * FROM flow_sets;
             INSERT INTO flow_sets SELECT '{three}', document, seal FROM kept WHERE id = '{one}';
             INSERT INTO flow_sets SELECT '9{three}',
                 replace(document, 'group:dba', 'group:data'), seal FROM kept WHERE id = '{two}'"
        ))
        .await?;
    for _ in 0..2 {
        ask(&world, "shop-auto").await?.refused(404, "not_found")?;
        ask(&world, "shop-quick").await?.status(201)?;
        assert_eq!(numbers(&world).await?, [2, 1]);
        restart(&mut world).await?;
    }
    // The second set is made to say something else, or is taken away so that the first one is the last.
    for tamper in [
        format!(
            "UPDATE flow_sets SET document = replace(document, 'group:dba', 'group:data')
             WHERE id = '{two}'"
        ),
        "DELETE FROM flow_sets WHERE id <> '00000000000000000001'".to_owned(),
    ] {
        // What is put back as it was is in force with the next reload.
        world.by_hand("DELETE FROM flow_sets; INSERT INTO flow_sets SELECT * FROM kept").await?;
        world.broker.reload()?;
        eventually("the flows being known", async || {
            ask(&world, "shop-quick").await?.status(201).map(drop)
        })
        .await?;
        world.by_hand(&tamper).await?;
        ask(&world, "shop-quick").await?.status(201)?;
        restart(&mut world).await?;
        for flow in ["shop-auto", "shop-quick", "shop-select"] {
            ask(&world, flow).await?.refused(503, "flows_unknown")?;
        }
        let flows = world.api(Adam)?.get("flows").await?.status(200)?;
        ensure!(flows["known"] == false && flows["files"] == json!([]), "{flows}");
    }
    let log = std::fs::read_to_string(world.broker.log())?;
    ensure!(log.contains("flows-unknown") && log.contains("seal-broken"), "{log}");
    // What was asked for before goes by its own copy of the flow, and what was given ends on time.
    let path = format!("requests/{}/approve", text(&pending, "id")?);
    world.api(Ben)?.post(&path, json!({})).await?.status(200)?;
    world.grant_in_state(grant_id(&pending)?, "active").await?;
    let ended = world.grant_in_state(text(&live, "id")?, "revoked").await?;
    ensure!(ended["end_reason"] == "expired", "{ended}");

    let (tag, _) = in_force(&world).await?;
    let third = world.api(Adam)?.apply(&tag, &second).await?.status(200)?;
    assert_eq!(third["number"], 3);
    ask(&world, "shop-quick").await?.status(201)?;
    restart(&mut world).await?;
    ask(&world, "shop-quick").await?.status(201)?;
    world.audit_is_intact().await
}

/// Another broker of the same store, with the same keys.
fn second_broker(world: &World) -> Result<Broker> {
    let (folder, port) = (world.dir().join("broker-2"), Port::reserve()?);
    let copy = |from: &Path, to: &Path| -> Result<()> {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        Ok(())
    };
    copy(world.broker.folder(), &folder)?;
    copy(&world.broker.data(), &folder.join("data"))?;
    let settings = std::fs::read_to_string(world.broker.settings())?;
    let first = world.broker.folder().to_str().context("a path in UTF-8")?;
    let second = folder.to_str().context("a path in UTF-8")?;
    let settings = settings
        .replace(first, second)
        .replace(&world.broker.port().to_string(), &port.number().to_string());
    write(&folder.join("ebbgate.yaml"), &settings)?;
    Ok(Broker::new(folder, port, Vec::new()))
}

#[tokio::test]
async fn every_broker_of_a_store_follows() -> Result<()> {
    let world = World::builder().postgres_store().applied_flows().start().await?;
    let mut second = second_broker(&world)?;
    second.start().await?;
    let there = second.api()?.with_token(world.token(Adam)?);
    let (tag, files) = in_force(&world).await?;
    assert_eq!(there.get("flows").await?.status(200)?["files"], files);

    let changed = edited(&files, "name: shop-auto", "name: shop-quick")?;
    there.apply(&tag, &changed).await?.status(200)?;
    eventually("the other broker following", async || {
        let (_, files) = in_force(&world).await?;
        ensure!(files == changed, "not yet");
        Ok(())
    })
    .await?;
    ask(&world, "shop-quick").await?.status(201)?;
    ask(&world, "shop-auto").await?.refused(404, "not_found")?;
    // Two at once, one on each: one of them was first.
    let (tag, _) = in_force(&world).await?;
    let here = world.api(Adam)?;
    let (one, two) = (json!([{"name": "a", "text": "# 1"}]), json!([{"name": "a", "text": "# 2"}]));
    let (one, two) = tokio::join!(here.apply(&tag, &one), there.apply(&tag, &two));
    let mut answers = [one?.status, two?.status];
    answers.sort_unstable();
    assert_eq!(answers, [200, 412]);
    assert_eq!(numbers(&world).await?, [3, 2, 1]);
    second.stop().await?;
    world.audit_is_intact().await
}
