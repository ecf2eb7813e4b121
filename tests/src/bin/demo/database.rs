//! Ana's minute in the shop's database.

use anyhow::{Context as _, Result, ensure};
use ebbgate_tests::{
    Person, Value, World,
    clock::now,
    ebb::Ebb,
    world::{grant_id, text},
};

use crate::{End, FOR, narrator::Narrator};

const SHOP: &str = "orders/postgres/shop";
/// What `ebb` ends with when a request waits for somebody.
const WAITS_FOR_APPROVAL: i32 = 4;

pub(crate) async fn play(narrator: &Narrator, world: &World, ana: &Ebb) -> Result<End> {
    let grant = ask_and_approve(narrator, world, ana).await?;

    let question = "SELECT customer, sum(cents) FROM orders GROUP BY 1 ORDER BY 2 DESC LIMIT 3";
    narrator.run("Ana", ana, &["db", "shop", "--", "-c", question]).await?;
    let theft = ["db", "shop", "--", "-c", "DELETE FROM orders"];
    let typed = "ebb db shop -- -c 'DELETE FROM orders'";
    let refused = narrator.exchange("Ana", typed, ana.run(&theft)).await?;
    ensure!(refused.code != Some(0), "select was enough to delete");

    // A session that would outlast its grant by far.
    let sleep = ["db", "shop", "--", "-c", "SELECT pg_sleep(600)"];
    narrator.typed("Ana", "ebb db shop -- -c 'SELECT pg_sleep(600)'");
    let cut = ana.run(&sleep).await?;
    let seen = now();
    narrator.ended("the deadline: Ana's open connection is cut", &cut);
    ensure!(cut.code != Some(0), "her session ended by itself");

    let over = world.grant_in_state(&grant, "revoked").await?;
    let again = ["db", "shop", "--", "-c", "SELECT 1"];
    let refused = narrator.exchange("Ana", "ebb db shop", ana.run(&again)).await?;
    ensure!(refused.code != Some(0), "a new session was opened after the deadline");
    narrator.event(&format!("the agent's finding: {}", text(&over["finding"], "summary")?));
    End::of("database", &over, seen)
}

/// Gives the id of the grant, once it is active.
async fn ask_and_approve(narrator: &Narrator, world: &World, ana: &Ebb) -> Result<String> {
    let ask = [
        "request",
        SHOP,
        "--permission",
        "select",
        "--flow",
        "shop-select",
        "--for",
        FOR,
        "--reason",
        "count the orders of March",
        "--no-wait",
        "--output",
        "json",
    ];
    narrator.typed("Ana", &format!("ebb {}", crate::narrator::shell(&ask[..ask.len() - 3])));
    let asked = ana.run(&ask).await?.exit(WAITS_FOR_APPROVAL)?;
    let request: Value = serde_json::from_str(&asked.stdout).context("the request as JSON")?;
    let (id, grant) = (text(&request, "id")?, grant_id(&request)?);
    narrator.event(&format!("{id} waits for {}", waits_for(&request)));

    let ben = world.ebb(Person::Ben).await?;
    narrator.run("Ben", &ben, &["inbox"]).await?;
    narrator.run("Ben", &ben, &["approve", id, "--comment", "until noon"]).await?;
    let active = world.grant_in_state(grant, "active").await?;
    narrator.event(&format!("{grant} is active until {}", text(&active, "deadline")?));
    Ok(grant.to_owned())
}

fn waits_for(request: &Value) -> String {
    let groups = request["waiting_for"].as_array().into_iter().flatten();
    groups.filter_map(|group| group["group"].as_str()).collect::<Vec<_>>().join(", ")
}
