//! `ebb creds`: one call for many processes, nothing but the document on stdout.

use std::{fs, process::Stdio};

use serde_json::{Value, json};

use crate::harness::{
    Broker, Home, assert_exit, grant, grant_id, in_an_hour, mode, page, stderr, stdout, with,
};

fn credentials(key: &str) -> Value {
    json!({
        "kind": "aws", "access_key_id": key, "secret_access_key": "hush/+=", "session_token": "hush too",
        "expiration": in_an_hour(), "region": "eu-west-1", "endpoint": null,
    })
}

fn call(n: u32) -> String {
    format!("POST /grants/{}/credentials", grant_id(n))
}

fn profile(home: &Home, n: u32) {
    fs::create_dir_all(home.path(".aws")).unwrap();
    let text = format!(
        "[default]\nregion = x\n[profile reports]\nregion = x\nebb_grant = {}\n",
        grant_id(n)
    );
    fs::write(home.path(".aws/config"), text).unwrap();
}

#[test]
fn twenty_processes_make_one_call() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer(&call(1), 200, credentials("ASIA1"));
    broker.hold();
    let spawn = |_| {
        let mut command = home.command(&["creds", &grant_id(1)]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..20).map(spawn).collect();
    broker.open();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_exit(&output, 0);
        let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(document["AccessKeyId"], "ASIA1");
        assert_eq!(stderr(&output), "");
    }
    let calls = broker.calls(&call(1));
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].body, json!({}));
    assert!(calls[0].key.is_some(), "a POST has an idempotency key");
}

#[test]
fn the_document_is_the_one_of_credential_process() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let sent = credentials("ASIA1");
    broker.answer(&call(1), 200, sent.clone());
    let document: Value =
        serde_json::from_str(&stdout(&home.ebb(&["creds", &grant_id(1)]))).unwrap();
    let expected = json!({
        "Version": 1, "AccessKeyId": "ASIA1", "SecretAccessKey": "hush/+=",
        "SessionToken": "hush too", "Expiration": sent["expiration"],
    });
    assert_eq!(document, expected);
}

#[test]
fn what_is_kept_is_private_and_served_without_a_broker() {
    let mut broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer(&call(1), 200, credentials("ASIA1"));
    let first = home.ebb(&["creds", &grant_id(1)]);
    broker.stop();
    let second = home.ebb(&["creds", &grant_id(1)]);
    assert_exit(&second, 0);
    assert_eq!(first.stdout, second.stdout);

    let folder = home.path("ebb/cache/creds");
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!files.is_empty() && files.iter().all(|file| mode(file) == 0o600), "{files:?}");

    // Another person in the same home gets nothing of it.
    let other =
        home.command(&["creds", &grant_id(1)]).env("EBB_TOKEN", "ebu_other").output().unwrap();
    assert_exit(&other, 6);
    assert_exit(&home.ebb(&["logout"]), 0);
    assert!(!folder.exists(), "and logging out forgets it");
}

#[test]
fn a_damaged_cache_is_got_anew() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer(&call(1), 200, credentials("ASIA1"));
    home.ebb(&["creds", &grant_id(1)]);
    for file in fs::read_dir(home.path("ebb/cache/creds")).unwrap() {
        fs::write(file.unwrap().path(), "{\"half\":").unwrap();
    }
    assert_exit(&home.ebb(&["creds", &grant_id(1)]), 0);
    assert_eq!(broker.calls(&call(1)).len(), 2);
}

#[test]
fn an_ended_grant_is_explained_on_one_line() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.refuse(&call(1), 410, "grant_expired");
    let ended = json!({"state": "revoked", "end_reason": "expired", "deadline": "2026-03-04T14:30:00Z", "ended_at": "2026-03-04T14:30:02Z"});
    broker.answer(
        &format!("GET /grants/{}", grant_id(1)),
        200,
        with(grant(1, "prod/s3/reports", "read-only"), ended),
    );
    let output = home.ebb(&["creds", &grant_id(1)]);
    assert_exit(&output, 5);
    assert_eq!(stdout(&output), "");
    assert_eq!(
        stderr(&output),
        "error: prod/s3/reports: access ended at 2026-03-04 14:30:00Z (expired); ask again with \
         `ebb request prod/s3/reports --permission read-only`\n"
    );
}

#[test]
fn a_profile_follows_a_newer_grant_of_the_same_access() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    profile(&home, 1);
    broker.refuse(&call(1), 410, "grant_expired");
    broker.answer(&call(2), 200, credentials("ASIA2"));
    let ended = json!({"state": "revoked", "end_reason": "expired"});
    broker.answer(
        &format!("GET /grants/{}", grant_id(1)),
        200,
        with(grant(1, "prod/s3/reports", "read-only"), ended),
    );
    let live = [grant(3, "prod/s3/reports", "full"), grant(2, "prod/s3/reports", "read-only")];
    broker.answer("GET /grants", 200, page(&live));
    for _ in 0..3 {
        let output = home.ebb(&["creds", "--profile", "reports"]);
        assert_exit(&output, 0);
        assert!(stdout(&output).contains("ASIA2"));
    }
    assert_eq!(broker.calls(&call(2)).len(), 1, "it is kept for the profile");
    // Who names the ended grant itself means that one.
    let output = home.ebb(&["creds", &grant_id(1)]);
    assert_exit(&output, 5);
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_profile_without_a_grant_says_what_to_do() {
    let home = Home::at(&Broker::start());
    let output = home.ebb(&["creds", "--profile", "default"]);
    assert_exit(&output, 1);
    assert!(stderr(&output).contains(".aws/config has no profile 'default' with an ebb_grant"));
}

#[test]
fn a_grant_may_be_named_by_the_beginning_of_its_id() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer("GET /grants", 200, page(&[grant(1, "prod/s3/reports", "read-only")]));
    broker.answer(&call(1), 200, credentials("ASIA1"));
    assert_exit(&home.ebb(&["creds", "grt_00000"]), 0);
}

#[test]
fn a_database_grant_is_sent_elsewhere() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.refuse(&call(1), 422, "verifier_invalid");
    broker.answer(
        &format!("GET /grants/{}", grant_id(1)),
        200,
        grant(1, "orders/postgres/shop", "select"),
    );
    let output = home.ebb(&["creds", &grant_id(1)]);
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("use `ebb db`"), "{}", stderr(&output));
}

#[test]
fn an_answer_that_is_not_understood_gives_no_secret_away() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    broker.answer(
        &call(1),
        200,
        with(credentials("ASIA1"), json!({"session_token": {"value": "hush"}})),
    );
    let output = home.ebb(&["creds", &grant_id(1)]);
    assert_exit(&output, 1);
    assert!(!stderr(&output).contains("hush"), "{}", stderr(&output));
}
