//! The exit codes that scripts rely on, and the one line that comes with them.

use std::{net::TcpListener, process::Stdio};

use rstest::rstest;

use crate::harness::{Broker, Home, assert_exit, page, stderr, stdout};

#[rstest]
#[case("forbidden", 403, 3)]
#[case("not_a_requester", 403, 3)]
#[case("resource_out_of_scope", 403, 3)]
#[case("permission_not_offered", 403, 3)]
#[case("duration_too_long", 422, 1)]
#[case("conflict", 409, 1)]
#[case("request_lapsed", 409, 5)]
#[case("internal", 500, 1)]
fn a_refusal_is_one_line_with_its_code(#[case] code: &str, #[case] status: u16, #[case] exit: i32) {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.refuse("POST /requests", status, code);
    let output = home.ebb(&["request", "orders/postgres/shop", "--no-wait"]);
    assert_exit(&output, exit);
    assert_eq!(stderr(&output), format!("error: the detail of {code} ({code})\n"));
    assert_eq!(stdout(&output), "");
}

#[test]
fn an_unreachable_broker_is_named_with_the_way_out() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let home = Home::new();
    let mut command = home.command(&["grants"]);
    let url = format!("http://{closed}");
    let output = command.env("EBB_BROKER", &url).env("EBB_TOKEN", "ebu_1").output().unwrap();
    assert_exit(&output, 6);
    let text = stderr(&output);
    assert!(text.starts_with(&format!("error: cannot reach the broker at {url} (")), "{text}");
    assert!(text.contains("ebb login") && text.contains("Connection refused"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn who_is_not_logged_in_is_told_how() {
    let output = Home::new().ebb(&["grants"]);
    assert_exit(&output, 3);
    assert_eq!(stderr(&output), "error: you are not logged in: run `ebb login --broker URL`\n");
}

#[test]
fn a_token_is_not_sent_to_another_broker() {
    let (mine, other) = (Broker::start(), Broker::start());
    let home = Home::at(&mine);
    let output = home.command(&["whoami"]).env("EBB_BROKER", other.url()).output().unwrap();
    assert_exit(&output, 3);
    assert!(other.calls("GET /whoami").is_empty());
}

#[rstest]
#[case(&["nonsense"])]
#[case(&["request"])]
#[case(&["request", "x", "--for", "soon"])]
#[case(&["deny", "req_00000000"])]
#[case(&["release"])]
#[case(&["release", "x", "--all"])]
#[case(&["creds"])]
#[case(&["creds", "grt_0000", "--profile", "x"])]
#[case(&["db", "x", "--print-url", "--", "-c", "select 1"])]
#[case(&["admin", "grants", "revoke", "grt_0000"])]
fn wrong_usage_is_told_apart(#[case] arguments: &[&str]) {
    assert_exit(&Home::new().ebb(arguments), 2);
}

#[test]
fn an_answer_of_something_else_is_no_brokers() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer("GET /grants", 418, serde_json::json!("I'm a teapot"));
    let output = home.ebb(&["grants"]);
    assert_exit(&output, 1);
    assert!(
        stderr(&output).contains("is not one of a broker's API (HTTP 418)"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let home = Home::new();
    let mut command = home.command(&["completions", "bash"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_exit(&output, 0);
    assert_eq!(stderr(&output), "");
}

#[rstest]
#[case("bash")]
#[case("zsh")]
#[case("fish")]
fn completions_know_the_commands(#[case] shell: &str) {
    let output = Home::new().ebb(&["completions", shell]);
    assert_exit(&output, 0);
    assert!(stdout(&output).contains("resources"));
}

#[rstest]
#[case("json", "[]\n")]
#[case("yaml", "[]\n")]
#[case("table", "")]
fn an_empty_list_has_each_form(#[case] form: &str, #[case] expected: &str) {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer("GET /grants", 200, page(&[]));
    let output = home.ebb(&["grants", "--output", form]);
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), expected);
}
