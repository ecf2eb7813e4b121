//! Deciding on requests, giving access back, and what administrators do.

use serde_json::{Value, json};

use crate::harness::{
    Broker, Home, assert_exit, grant, grant_id, in_an_hour, page, request, request_id, stderr,
    stdout, with,
};

#[test]
fn a_request_is_approved_by_the_beginning_of_its_id() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let evil = json!({"reason": "see \u{1b}]8;;http://evil\u{7}here"});
    broker.answer("GET /requests", 200, page(&[with(request(1, "pending", &[]), evil)]));
    let inbox = home.ebb(&["inbox"]);
    assert_exit(&inbox, 0);
    assert!(stdout(&inbox).contains(&request_id(1)) && !stdout(&inbox).contains('\u{1b}'));
    assert_eq!(broker.calls("GET /requests")[0].path, "/requests?waiting_for_me=true&limit=200");

    let approve = format!("POST /requests/{}/approve", request_id(1));
    broker.answer(&approve, 200, request(1, "approved", &[]));
    let output = home.ebb(&["approve", "req_00000000", "--comment", "go"]);
    assert_exit(&output, 0);
    assert_eq!(broker.calls(&approve)[0].body, json!({"comment": "go"}));
    assert_eq!(stderr(&output), "orders/postgres/shop (select) for ana@example.com: approved\n");
}

#[test]
fn ones_own_request_is_denied_to_oneself() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.refuse(&format!("POST /requests/{}/approve", request_id(1)), 403, "own_request");
    assert_exit(&home.ebb(&["approve", &request_id(1)]), 3);
}

#[test]
fn a_list_is_read_to_its_end() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer_with("GET /grants", |call| {
        let (n, next) =
            if call.path.contains("cursor=a%2Fb") { (2, Value::Null) } else { (1, json!("a/b")) };
        (200, json!({"items": [grant(n, "prod/s3/reports", "read-only")], "next_cursor": next}))
    });
    let output = home.ebb(&["grants", "list", "--all", "--output", "json"]);
    let shown: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&shown[0]["id"], &shown[1]["id"]), (&json!(grant_id(1)), &json!(grant_id(2))));
    assert!(broker.calls("GET /grants")[0].path.contains("state=all"));
}

#[test]
fn access_is_given_back_by_its_resource() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let live =
        [grant(1, "prod/s3/reports", "read-only"), grant(2, "orders/postgres/shop", "select")];
    broker.answer("GET /grants", 200, page(&live));
    for n in [1, 2] {
        let ending =
            with(live[n - 1].clone(), json!({"state": "revoking", "end_reason": "released"}));
        broker.answer(
            &format!("POST /grants/{}/release", grant_id(u32::try_from(n).unwrap())),
            200,
            ending,
        );
    }
    let credentials = json!({
        "kind": "aws", "access_key_id": "ASIA", "secret_access_key": "s", "session_token": "t",
        "expiration": in_an_hour(), "region": "r", "endpoint": null,
    });
    let call = format!("POST /grants/{}/credentials", grant_id(1));
    broker.answer(&call, 200, credentials);
    assert_exit(&home.ebb(&["creds", &grant_id(1)]), 0);
    assert_exit(&home.ebb(&["release", "reports"]), 0);
    assert_eq!(broker.calls(&format!("POST /grants/{}/release", grant_id(1))).len(), 1);
    broker.refuse(&call, 409, "grant_not_active");
    assert_exit(&home.ebb(&["creds", &grant_id(1)]), 1);

    assert_exit(&home.ebb(&["release", "nothing"]), 1);
    assert_exit(&home.ebb(&["release", "--all"]), 0);
    assert_eq!(broker.calls(&format!("POST /grants/{}/release", grant_id(2))).len(), 1);
}

#[test]
fn an_agents_token_stands_alone_on_stdout() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let made = json!({"token_id": "tok_1", "token": "ebt_hush", "agent": "db-eu", "expires_at": in_an_hour()});
    broker.answer("POST /agents/tokens", 201, made);
    let output = home.ebb(&["admin", "agents", "token", "db-eu", "--valid-for", "15m"]);
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "ebt_hush\n");
    assert!(!stderr(&output).contains("ebt_hush"));
    assert_eq!(
        broker.calls("POST /agents/tokens")[0].body,
        json!({"agent": "db-eu", "valid_for": "15m"})
    );
    let output = home.ebb(&["admin", "agents", "token", "db-eu", "--output", "json"]);
    let shown: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(shown["token"], "ebt_hush");
}

#[test]
fn a_grant_of_somebody_else_is_revoked_with_a_reason() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let theirs =
        with(grant(7, "prod/s3/reports", "read-only"), json!({"principal": "joe@example.com"}));
    broker.answer("GET /grants", 200, page(std::slice::from_ref(&theirs)));
    let revoke = format!("POST /grants/{}/revoke", grant_id(7));
    broker.answer(
        &revoke,
        200,
        with(theirs, json!({"state": "revoking", "end_reason": "revoked"})),
    );
    let output = home.ebb(&["admin", "grants", "revoke", "grt_0000", "--comment", "laptop lost"]);
    assert_exit(&output, 0);
    assert_eq!(broker.calls(&revoke)[0].body, json!({"comment": "laptop lost"}));
    assert!(broker.calls("GET /grants")[0].path.contains("of=everyone"));
}

#[test]
fn a_broken_audit_log_is_an_error() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let good = json!({"intact": true, "records": 3, "head_hash": "ab", "broken": null});
    broker.answer("GET /audit/verify", 200, good);
    assert_exit(&home.ebb(&["admin", "audit", "verify"]), 0);
    let bad = json!({"intact": false, "records": 3, "head_hash": "ab", "broken": {"seq": 2, "reason": "hash differs"}});
    broker.answer("GET /audit/verify", 200, bad);
    let output = home.ebb(&["admin", "audit", "verify"]);
    assert_exit(&output, 1);
    assert!(stdout(&output).contains("record 2: hash differs"), "{}", stdout(&output));
}

#[test]
fn the_newest_audit_records_are_shown() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer(
        "GET /audit/verify",
        200,
        json!({"intact": true, "records": 5, "head_hash": "h", "broken": null}),
    );
    broker.answer_with("GET /audit", |call| {
        let after: u64 = call.path.split("after=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
        let record = |seq| {
            json!({"seq": seq, "hash": "h", "prev_hash": "p", "at": "2026-03-04T14:00:00Z",
                "action": "grant.active", "actor": "broker", "request_id": null, "grant_id": "grt_1", "details": {}})
        };
        (200, page(&(after + 1..=5).map(record).collect::<Vec<_>>()))
    });
    let output = home.ebb(&["admin", "audit", "tail", "-n", "2", "--output", "json"]);
    let shown: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let seqs: Vec<_> =
        shown.as_array().unwrap().iter().map(|record| record["seq"].clone()).collect();
    assert_eq!(seqs, [4, 5]);
}

#[test]
fn resources_are_listed_by_the_ways_to_ask() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let shop = json!({
        "id": "orders/postgres/shop", "integration": "orders", "type": "postgres", "name": "shop",
        "tags": {"env": "prod"}, "offers": [{
            "permission": "select", "flow": "data-shop", "approval": "automatic",
            "default_duration": "30m", "max_duration": "1h", "justification_required": true,
            "ticket_pattern": "^OPS-",
        }],
    });
    broker.answer("GET /resources", 200, page(&[shop]));
    let output = home.ebb(&["resources", "--type", "postgres", "--search", "sh op"]);
    assert_exit(&output, 0);
    assert_eq!(
        stdout(&output),
        "RESOURCE              PERMISSION  FLOW       APPROVAL   FOR              NEEDS\n\
         orders/postgres/shop  select      data-shop  automatic  30m, at most 1h  reason, ticket ^OPS-\n"
    );
    assert!(broker.calls("GET /resources")[0].path.contains("type=postgres&search=sh+op"));
}

#[test]
fn a_request_is_claimed_and_its_sheet_tells_who_comes_next() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let more = json!({
        "claims": [{"by": "bo@example.com", "at": "2026-03-04T14:01:00Z", "until": "2099-03-04T14:16:00Z", "looking": true}],
        "told": [
            {"who": "bo@example.com", "at": "2026-03-04T14:00:00Z", "group": "DBAs", "step": 0},
            {"who": "zoe@example.com", "at": "2026-03-04T14:00:00Z", "group": "DBAs", "step": 1,
             "in_place_of": "joe@example.com", "withdrawn_at": "2026-03-04T14:02:00Z"},
        ],
        "waiting_for": [{
            "group": "DBAs", "need": "2", "satisfied": false, "approved_by": [],
            "waiting_for": ["bo@example.com"],
            "escalates_at": "2099-03-04T15:00:00Z", "escalates_to": ["group:leads"],
        }],
    });
    let claimed = with(request(1, "pending", &[]), more);
    let claim = format!("POST /requests/{}/claim", request_id(1));
    broker.answer(&claim, 200, claimed.clone());
    let output = home.ebb(&["claim", &request_id(1)]);
    assert_exit(&output, 0);
    assert!(stderr(&output).contains("escalation waits for you until"), "{}", stderr(&output));

    broker.answer(&format!("GET /requests/{}", request_id(1)), 200, claimed);
    let output = home.ebb(&["requests", "show", &request_id(1)]);
    let shown = stdout(&output);
    for part in [
        "DBAs (2 of bo@example.com)",
        "DBAs: group:leads at",
        "bo@example.com until",
        "DBAs, step 1, for joe@example.com",
        "not needed since",
    ] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
}

#[test]
fn a_substitute_is_named_listed_and_ended() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let id = format!("dlg_{:032x}", 7);
    let made = json!({
        "id": id, "from": "ana@example.com", "to": "bo@example.com", "since": "2026-03-04T14:00:00Z",
        "until": in_an_hour(), "ended_at": null,
    });
    broker.answer("POST /delegations", 201, made.clone());
    let until = "2099-12-27T09:00:00Z";
    let output = home.ebb(&["delegate", "--to", "bo@example.com", "--until", until]);
    assert_exit(&output, 0);
    let sent = json!({"to": "bo@example.com", "until": until});
    assert_eq!(broker.calls("POST /delegations")[0].body, sent);

    broker.answer("GET /delegations", 200, page(std::slice::from_ref(&made)));
    assert!(stdout(&home.ebb(&["delegate", "list"])).contains("bo@example.com"));
    let end = format!("POST /delegations/{id}/end");
    broker.answer(&end, 200, made);
    assert_exit(&home.ebb(&["delegate", "end", "dlg_00000000"]), 0);
    assert_eq!(broker.calls(&end).len(), 1);
    assert_exit(&home.ebb(&["delegate", "--to", "bo@example.com"]), 2);
    assert_exit(&home.ebb(&["delegate", "--to", "bo@example.com", "--until", "soon"]), 2);
}
