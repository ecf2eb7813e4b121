//! Agents, drift and live sessions, as administrators see and end them.

use serde_json::{Value, json};

use crate::harness::{Broker, Home, assert_exit, grant_id, page, stderr, stdout};

fn agent(name: &str, state: &str) -> Value {
    json!({
        "id": "agt_0192ab34", "name": name, "state": state, "clock": "alarm",
        "clock_offset_ms": -7_200, "held": 3, "integrations": ["orders"],
    })
}

#[test]
fn agents_are_listed_with_their_clocks_and_taken_out_by_name() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let agents =
        [agent("db-eu", "revoked"), json!({"id": "agt_2", "name": "db-eu", "state": "away"})];
    broker.answer("GET /agents", 200, page(&agents));
    let listed = home.ebb(&["admin", "agents", "list"]);
    assert_exit(&listed, 0);
    assert!(stdout(&listed).contains("-7 s") && stdout(&listed).contains("away"));

    broker.answer("POST /agents/agt_2/revoke", 200, agent("db-eu", "revoked"));
    let revoked = home.ebb(&["admin", "agents", "revoke", "db-eu", "--comment", "stolen"]);
    assert_exit(&revoked, 0);
    assert_eq!(broker.calls("POST /agents/agt_2/revoke")[0].body, json!({"comment": "stolen"}));
    assert!(stderr(&revoked).starts_with("revoked the agent db-eu"));
    let unknown = home.ebb(&["admin", "agents", "revoke", "db-us", "--comment", "x"]);
    assert_exit(&unknown, 1);
}

#[test]
fn a_token_can_be_bound_to_integrations() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let made = json!({
        "token_id": "tok_1", "token": "ebt_x.y", "agent": "db-eu",
        "expires_at": "2030-01-01T00:00:00Z",
    });
    broker.answer("POST /agents/tokens", 201, made);
    let token = ["admin", "agents", "token", "db-eu", "--integration", "a", "--integration", "b"];
    assert_exit(&home.ebb(&token), 0);
    let wanted = json!({"agent": "db-eu", "integrations": ["a", "b"]});
    assert_eq!(broker.calls("POST /agents/tokens")[0].body, wanted);
}

#[test]
fn drift_is_shown_by_integration() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let look = json!({
        "integration": "orders", "at": "2026-03-04T14:03:10Z", "by": "db-eu", "marked": 2,
        "orphans": [grant_id(7)], "missing": [],
    });
    broker.answer("GET /drift", 200, page(&[look]));
    let shown = home.ebb(&["admin", "drift"]);
    assert_exit(&shown, 0);
    assert!(stdout(&shown).contains(&grant_id(7)) && stdout(&shown).contains("none"));
}

#[test]
fn a_session_is_ended_as_it_was_listed() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let session = |id: &str| {
        json!({
            "id": id, "grant_id": grant_id(1), "principal": "ana@example.com",
            "resource": "orders/postgres/shop", "integration": "orders", "permission": "select",
            "started_at": "2026-03-04T14:03:10.123456Z", "state": "idle in transaction",
        })
    };
    let away = json!([{"integration": "billing", "reason": "the agent db-us is not connected"}]);
    let sessions = json!({"items": [session("41"), session("4711")], "unavailable": away});
    broker.answer("GET /sessions", 200, sessions);
    let listed = home.ebb(&["admin", "sessions", "list"]);
    assert_exit(&listed, 0);
    assert!(stdout(&listed).contains("idle in transaction"));
    assert!(stderr(&listed).contains("billing could not be asked"), "{}", stderr(&listed));

    broker.answer("POST /sessions/end", 200, json!({"found": true}));
    let name = format!("{}/4711", &grant_id(1)[..12]);
    let ended = home.ebb(&["admin", "sessions", "end", &name, "--comment", "locks"]);
    assert_exit(&ended, 0);
    let wanted = json!({
        "grant_id": grant_id(1), "id": "4711", "started_at": "2026-03-04T14:03:10.123456Z",
        "comment": "locks",
    });
    assert_eq!(broker.calls("POST /sessions/end")[0].body, wanted);
    assert_exit(&home.ebb(&["admin", "sessions", "end", "4711", "--comment", "x"]), 2);
}
