//! Somebody who can write to the broker's database, and to nothing else, gets no access by it: what
//! they write is not believed, is told of, and keeps nobody else's access from being made or ended.

use ebbgate_tests::{
    Context as _,
    Person::{Adam, Ana, Ben},
    Result, Value, World, ensure, eventually, json,
    world::{grant_id, text},
};

const SHOP: &str = "orders/postgres/shop";

#[tokio::test]
async fn whoever_writes_to_an_sqlite_store_gets_nothing() -> Result<()> {
    forge_everything(World::start().await?).await
}

#[tokio::test]
async fn whoever_writes_to_a_postgresql_store_gets_nothing() -> Result<()> {
    forge_everything(World::builder().postgres_store().start().await?).await
}

async fn forge_everything(mut world: World) -> Result<()> {
    let forgery = Forgery::prepare(&world).await?;
    forgery.write(&world).await?;
    forgery.gave_nothing(&world).await?;
    world.broker.stop().await?;
    world.broker.start().await?;
    forgery.gave_nothing(&world).await?;
    forgery.the_others_end(&mut world).await?;
    world.audit_is_intact().await?;
    a_token_for_another_agent_enrols_nobody(&mut world).await
}

/// What somebody would like to have, and what is there that they can copy from.
struct Forgery {
    /// A request that waits, and the grant that it would become.
    waiting: (String, String),
    /// Another one that waits, for other people's word.
    other: (String, String),
    /// A grant that was taken away.
    revoked: String,
    /// Two that are active, for a while yet.
    active: [String; 2],
    /// An agent that nobody enrolled.
    agent: String,
}

impl Forgery {
    async fn prepare(world: &World) -> Result<Self> {
        let ask = async |flow| -> Result<(String, String)> {
            let wish = json!({"flow": flow, "resources": [{"id": SHOP}], "reason": "x", "ticket": "OPS-1"});
            let request = world.api(Ana)?.post("requests", wish).await?.status(201)?;
            Ok((text(&request, "id")?.to_owned(), grant_id(&request)?.to_owned()))
        };
        let (waiting, other) = (ask("shop-select").await?, ask("shop-pii").await?);
        let active = async |duration| -> Result<String> {
            let grant = world.active(Ana, "shop-auto", SHOP, duration).await?;
            Ok(text(&grant, "id")?.to_owned())
        };
        let revoked = active("10m").await?;
        world.by_hand("CREATE TABLE kept AS SELECT * FROM grants").await?;
        let adam = world.api(Adam)?;
        let why = json!({"comment": "no more"});
        adam.post(&format!("grants/{revoked}/revoke"), why).await?.status(200)?;
        world.grant_in_state(&revoked, "revoked").await?;
        let active = [active("60s").await?, active("60s").await?];
        let token = adam.post("agents/tokens", json!({"agent": "other"})).await?.status(201)?;
        world.handed_out.note("a token for another agent", text(&token, "token")?);
        let agent = format!("agt_{}", "0198f3a0000070008000000000000007");
        Ok(Self { waiting, other, revoked, active, agent })
    }

    /// In SQL alone, as somebody with the database's password would.
    async fn write(&self, world: &World) -> Result<()> {
        let Self { waiting: (request, grant), other: (other, _), revoked, active, agent } = self;
        let [tampered, _] = active;
        let sql = format!(
            // Approved by nobody, with a grant that is due at once: a real one's, seal and all.
            r#"UPDATE requests SET state = 'approved', document =
                   replace(document, '"state":{{"state":"pending"}}', '"state":{{"state":"approved"}}')
                   WHERE id = '{request}';
               CREATE TABLE forged AS SELECT * FROM kept WHERE id = '{revoked}';
               UPDATE forged SET id = '{grant}', request_id = '{request}', state = 'planned',
                   due_at_ns = 1, version = 1,
                   document = replace(replace(document, '{revoked}', '{grant}'),
                       '"state":{{"state":"active"}}', '"state":{{"state":"planned"}}');
               INSERT INTO grants SELECT * FROM forged;
               UPDATE requests SET document =
                   replace(document, '"ben@example.com"', '"ana@example.com"') WHERE id = '{other}';
               UPDATE requests SET document = replace(document, '"dba"', '"data"')
                   WHERE id = '{other}';
               UPDATE requests SET document = replace(document, 'group:dba', 'group:data')
                   WHERE id = '{other}';
               DELETE FROM grants WHERE id = '{revoked}';
               INSERT INTO grants SELECT * FROM kept WHERE id = '{revoked}';
               UPDATE grants SET due_at_ns = due_at_ns + 3600000000000,
                   document = replace(document, '"deadline":"20', '"deadline":"29')
                   WHERE id = '{tampered}';
               CREATE TABLE forged_agent AS SELECT * FROM agents;
               UPDATE forged_agent SET document = replace(document, id, '{agent}'), name = 'forged';
               UPDATE forged_agent SET id = '{agent}';
               INSERT INTO agents SELECT * FROM forged_agent;
               UPDATE enrolment_tokens SET agent = 'db-eu' WHERE agent = 'other'"#
        );
        world.by_hand(&sql).await
    }

    /// Whatever the broker had to do until now it has done: a grant that was asked for since is
    /// there and gone again.
    async fn gave_nothing(&self, world: &World) -> Result<()> {
        let real = world.active(Ana, "shop-auto", SHOP, "10m").await?;
        let real = text(&real, "id")?;
        let [tampered, good] = &self.active;
        let roles = world.orders()?.grant_roles().await?;
        let expected = [real, tampered, good];
        let known = |role: &String| expected.iter().any(|id| role.ends_with(*id));
        ensure!(roles.iter().all(known), "{roles:?} where {expected:?} was given");
        let adam = world.api(Adam)?;
        adam.post(&format!("grants/{real}/revoke"), json!({"comment": "x"})).await?.status(200)?;
        world.grant_in_state(real, "revoked").await?;

        let (waiting, wanted) = &self.waiting;
        let (other, _) = &self.other;
        let ben = world.api(Ben)?;
        for request in [waiting, other] {
            let path = format!("requests/{request}");
            not_believed(&adam.get(&path).await?.refused(500, "record_not_believed")?, request)?;
            let approved = ben.post(&format!("{path}/approve"), json!({})).await?;
            not_believed(&approved.refused(500, "record_not_believed")?, request)?;
        }
        for grant in [wanted, &self.revoked, tampered] {
            let path = format!("grants/{grant}");
            not_believed(&adam.get(&path).await?.refused(500, "record_not_believed")?, grant)?;
            let credentials = format!("{path}/credentials");
            let verifier = json!({"scram_verifier": ebbgate_tests::secrets::scram_verifier("x")});
            let answer = world.api(Ana)?.post(&credentials, verifier).await?;
            not_believed(&answer.refused(500, "record_not_believed")?, grant)?;
        }
        let agents = adam.list("agents").await?;
        ensure!(agents.iter().all(|one| one["id"] != self.agent.as_str()), "{agents:?}");
        for id in [waiting, other, wanted, &self.revoked, tampered, &self.agent] {
            told(world, id)?;
        }
        let metrics = world.broker.api()?.get("/metrics").await?.status(200)?;
        let metrics = metrics.as_str().context("metrics are text")?;
        ensure!(metrics.contains("ebbgate_records_not_believed 6"), "{metrics}");
        Ok(())
    }

    /// The good one by the broker's order or its agent's timer; the one whose deadline was moved by
    /// its agent's, which goes by the order that it was given.
    async fn the_others_end(&self, world: &mut World) -> Result<()> {
        let [tampered, good] = &self.active;
        world.grant_in_state(good, "revoked").await?;
        world.all_roles_are_gone().await?;
        let log = std::fs::read_to_string(world.broker.log()).context("read the broker's log")?;
        ensure!(
            !log.lines().any(|line| line.contains("seal-broken") && line.contains(good)),
            "{good}"
        );
        let seen = |record: &Value| {
            record["grant_id"] == tampered.as_str()
                && record["details"]["code"] == "record_not_believed"
                && record["details"]["finding"].is_string()
        };
        eventually("what its agent found being in the audit log", async || {
            let audit = world.audit().await?;
            ensure!(audit.iter().any(seen), "{audit:?}");
            Ok(())
        })
        .await
    }
}

fn not_believed(problem: &Value, id: &str) -> Result<()> {
    let detail = problem["detail"].as_str().context("a problem's detail")?;
    ensure!(detail.contains(id), "{detail} does not name {id}");
    Ok(())
}

/// The log names what is not believed.
fn told(world: &World, id: &str) -> Result<()> {
    let log = std::fs::read_to_string(world.broker.log()).context("read the broker's log")?;
    let alarm = |line: &str| line.contains("seal-broken") && line.contains(id);
    ensure!(log.lines().any(alarm), "the log does not tell of {id}");
    Ok(())
}

async fn a_token_for_another_agent_enrols_nobody(world: &mut World) -> Result<()> {
    let adam = world.api(Adam)?;
    let made = adam.post("agents/tokens", json!({"agent": "third"})).await?.status(201)?;
    let token = text(&made, "token")?;
    world.handed_out.note("a token for a third agent", token);
    world.by_hand("UPDATE enrolment_tokens SET agent = 'db-eu' WHERE agent = 'third'").await?;
    world.agent.stop().await?;
    std::fs::remove_dir_all(world.agent.dir())?;
    let url = world.broker.url();
    let said = eventually("an answer", async || world.agent.enroll_with(&url, token).await).await?;
    ensure!(said.code != Some(0), "{said:?}");
    told(world, text(&made, "token_id")?)
}
