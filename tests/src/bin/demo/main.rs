//! The story, told aloud: Ana asks for a database and a bucket for a minute each, Ben approves, she
//! uses both with her own tools, and at the deadline both are gone, with proof.
//!
//! Everything is real but AWS: PostgreSQL, broker, agent, `ebb`, psql and the AWS CLI.

mod bucket;
mod database;
mod narrator;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use ebbgate_tests::{Person, World, aws::REGION, places};
use jiff::{SignedDuration, Timestamp};
use narrator::Narrator;
use tokio::signal::unix::{SignalKind, signal};

/// How long each access lasts.
const FOR: &str = "60s";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let keep = match arguments.as_slice() {
        [] => false,
        [only] if only == "--keep" => true,
        _ => {
            eprintln!("usage: ebbgate-demo [--keep]");
            return ExitCode::from(2);
        }
    };
    let narrator = Narrator::begin();
    let played = tokio::select! {
        played = play(&narrator) => played,
        signal = interrupted() => signal,
    };
    let kept = match played {
        Ok(world) if keep => stay(&narrator, &world).await,
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    match kept {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            narrator.failed(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Waits for Ctrl-C or SIGTERM, so that everything is stopped in order. Never succeeds.
async fn interrupted<T>() -> Result<T> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        caught = tokio::signal::ctrl_c() => caught.context("listen for Ctrl-C")?,
        _ = terminate.recv() => {}
    }
    bail!("interrupted")
}

async fn play(narrator: &Narrator) -> Result<World> {
    narrator.chapter("A small world");
    let mut world = World::builder().aws().start().await?;
    let orders = world.orders()?;
    narrator.fact("PostgreSQL", &format!("127.0.0.1:{}, database shop, 100 orders", orders.port()));
    let endpoint = world.account()?.endpoint.as_str();
    narrator.fact("AWS", &format!("{endpoint} (fake-aws: STS, IAM and S3, bucket reports)"));
    narrator.fact("broker", &format!("{}, store in SQLite", world.broker.url()));
    narrator.fact("agent", &format!("{}, beside the database, connected", world.agent.name()));

    narrator.chapter("What Ana may ask for");
    let ana = world.ebb(Person::Ana).await?;
    narrator.run("Ana", &ana, &["resources"]).await?;

    narrator.chapter(&format!("Two accesses for {FOR} each"));
    let (database, bucket) =
        tokio::join!(database::play(narrator, &world, &ana), bucket::play(narrator, &world, &ana));
    let ends = [database.context("the database")?, bucket.context("the bucket")?];

    narrator.chapter("The proof");
    let audrey = world.ebb(Person::Audrey).await?;
    narrator.run("Audrey", &audrey, &["admin", "audit", "verify"]).await?;
    ensure!(orders.grant_roles().await?.is_empty(), "a role of a grant is left in PostgreSQL");
    for end in &ends {
        narrator.fact(end.what, &end.lateness());
    }
    narrator.chapter("Done: nothing stands that nobody asked for");
    world.keep_logs_to_itself();
    Ok(world)
}

/// How an access ended.
struct End {
    what: &'static str,
    deadline: Timestamp,
    /// When its user saw it: the connection cut, a request refused.
    seen: Timestamp,
    /// When the broker's finding says that nothing was left.
    verified: Timestamp,
}

impl End {
    /// Reads deadline and finding of a grant that is over.
    fn of(what: &'static str, grant: &ebbgate_tests::Value, seen: Timestamp) -> Result<Self> {
        let deadline = ebbgate_tests::world::deadline(grant)?;
        let verified = ebbgate_tests::world::text(&grant["finding"], "checked_at")?.parse();
        let verified = verified.context("when the finding was made")?;
        // AWS compares whole seconds, so there an end may be early by a part of one.
        if seen.duration_since(deadline) <= SignedDuration::from_secs(-1) {
            bail!("{what}: it ended at {seen}, before its deadline {deadline}");
        }
        Ok(Self { what, deadline, seen, verified })
    }

    fn lateness(&self) -> String {
        let after = |moment: Timestamp| moment.duration_since(self.deadline).as_millis();
        format!(
            "ended {:+} ms from its deadline as its user saw it; verified gone at {:+} ms",
            after(self.seen),
            after(self.verified)
        )
    }
}

/// Leaves everything running until Ctrl-C.
async fn stay(narrator: &Narrator, world: &World) -> Result<()> {
    narrator.chapter("Everything goes on until Ctrl-C");
    let ebb = places::program("ebb")?;
    for person in Person::ALL.into_iter().filter(|person| !person.disabled()) {
        let home = world.ebb(person).await?;
        let home = home.home().display().to_string();
        let say = format!("EBB_HOME={home} {} whoami", ebb.display());
        narrator.fact(&format!("{} ({})", person.name(), person.group()), &say);
    }
    narrator.fact("API", &format!("{}/api/v1/openapi.json", world.broker.url()));
    narrator.fact("its CA", &world.broker.ca_file().display().to_string());
    narrator.fact("settings", &world.broker.settings().display().to_string());
    let endpoint = world.account()?.endpoint.as_str();
    narrator.fact(
        "AWS CLI",
        &format!("AWS_ENDPOINT_URL={endpoint} AWS_REGION={REGION} AWS_CONFIG_FILE=…"),
    );
    let Err(end) = interrupted::<()>().await else {
        return Ok(());
    };
    narrator.chapter(&format!("{end}: everything stops"));
    Ok(())
}
