//! `ebb request`: asking once, waiting through whatever happens to the broker.

use serde_json::{Value, json};

use crate::harness::{
    Broker, Home, Running, assert_exit, grant, request, request_id, stderr, stdout, with,
};

fn shop() -> Value {
    grant(1, "orders/postgres/shop", "select")
}

fn get() -> String {
    format!("GET /requests/{}", request_id(1))
}

#[test]
fn without_waiting_it_says_that_it_waits_for_approval() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer("POST /requests", 201, request(1, "pending", &[]));
    let output = home.ebb(&[
        "request",
        "orders/postgres/shop",
        "--permission",
        "select",
        "--for",
        "1h 30m",
        "--reason",
        "check invoices",
        "--ticket",
        "OPS-1",
        "--flow",
        "data-shop",
        "--output",
        "json",
    ]);
    assert_exit(&output, 4);
    let shown: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&shown["id"], &shown["state"]), (&json!(request_id(1)), &json!("pending")));
    assert!(stderr(&output).contains("waits for DBAs (any of bo@example.com, zoe@example.com)"));
    let calls = broker.calls("POST /requests");
    let expected = json!({
        "resources": [{"id": "orders/postgres/shop", "permission": "select"}], "flow": "data-shop",
        "duration": "1h30m", "reason": "check invoices", "ticket": "OPS-1",
    });
    assert_eq!(calls[0].body, expected);
}

#[test]
fn what_is_approved_at_once_is_done() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer("POST /requests", 201, request(1, "active", &[shop()]));
    let output = home.ebb(&["request", "shop"]);
    assert_exit(&output, 0);
    assert!(
        stderr(&output).ends_with("use it: ebb db orders/postgres/shop\n"),
        "{}",
        stderr(&output)
    );
    assert!(stdout(&output).contains("orders/postgres/shop"));
}

#[test]
fn a_call_that_is_sent_again_has_the_same_key() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let mut times = 0;
    broker.answer_with("POST /requests", move |_| {
        times += 1;
        if times == 1 { (503, json!("a proxy")) } else { (201, request(1, "active", &[shop()])) }
    });
    assert_exit(&home.ebb(&["request", "shop"]), 0);
    assert_exit(&home.ebb(&["request", "shop"]), 0);
    let keys: Vec<_> =
        broker.calls("POST /requests").into_iter().map(|call| call.key.unwrap()).collect();
    assert_eq!(keys.len(), 3);
    assert_eq!(keys[0], keys[1], "the repeat");
    assert_ne!(keys[1], keys[2], "another wish");
}

#[test]
fn waiting_outlives_a_restart_of_the_broker() {
    let mut broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer("POST /requests", 201, request(1, "pending", &[]));
    broker.answer(&get(), 200, request(1, "pending", &[]));
    let mut ebb = Running::start(home.command(&["request", "shop", "--wait"]));
    ebb.wait_for("waits for DBAs (any of bo@example.com, zoe@example.com)");
    broker.stop();
    ebb.wait_for("still trying, the request stays");
    let setting_up = with(shop(), json!({"state": "provisioning", "connect": null}));
    let mut looks = 0;
    broker.answer_with(&get(), move |_| {
        looks += 1;
        let state = if looks == 1 { ("approved", setting_up.clone()) } else { ("active", shop()) };
        (200, request(1, state.0, &[state.1]))
    });
    broker.resume();
    ebb.wait_for("the broker is back");
    ebb.wait_for("access is being set up on orders/postgres/shop");
    let (status, text) = ebb.end();
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(text.ends_with("use it: ebb db orders/postgres/shop\n"), "{text}");
    assert_eq!(broker.calls("POST /requests").len(), 1);
}

#[test]
fn a_denial_ends_the_wait() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer("POST /requests", 201, request(1, "pending", &[]));
    let review = json!({"by": "bo@example.com", "verdict": "deny", "comment": "use the replica\u{1b}[31m", "at": "2026-03-04T14:01:00Z"});
    broker.answer(&get(), 200, with(request(1, "denied", &[]), json!({ "reviews": [review] })));
    let output = home.ebb(&["request", "shop", "--wait"]);
    assert_exit(&output, 3);
    assert!(stderr(&output).contains("was denied by bo@example.com: use the replica\u{fffd}[31m"));
}

#[test]
fn a_wait_has_its_limit_and_an_interrupt_leaves_the_request() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer("POST /requests", 201, request(1, "pending", &[]));
    broker.answer(&get(), 200, request(1, "pending", &[]));
    assert_exit(&home.ebb(&["request", "shop", "--timeout", "1s"]), 4);

    let mut ebb = Running::start(home.command(&["request", "shop", "--wait"]));
    ebb.wait_for("waits for DBAs");
    let id = nix::unistd::Pid::from_raw(ebb.child.id().try_into().unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
    let (status, text) = ebb.end();
    assert_eq!(status.code(), Some(4), "{text}");
    assert!(text.contains(&format!("ebb requests cancel {}", request_id(1))), "{text}");
    assert!(broker.calls(&format!("POST /requests/{}/cancel", request_id(1))).is_empty());
}

#[test]
fn an_aws_grant_says_how_it_is_used() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let reports = grant(1, "prod/s3/reports", "read-only");
    broker.answer("POST /requests", 201, request(1, "active", std::slice::from_ref(&reports)));
    broker.answer("GET /grants", 200, crate::harness::page(&[reports]));
    let output = home.ebb(&["request", "reports"]);
    assert_exit(&output, 0);
    let hint =
        "use it: ebb aws configure && AWS_PROFILE=ebb-reports-read-only aws s3 ls s3://reports\n";
    assert!(stderr(&output).ends_with(hint), "{}", stderr(&output));
}
