//! `ebb aws configure`: our block comes and goes, everything else stays.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use crate::harness::{Broker, Home, assert_exit, grant, grant_id, mode, page, stderr, with};

fn live(broker: &Broker, grants: &[Value]) {
    broker.answer("GET /grants", 200, page(grants));
}

fn config(home: &Home) -> String {
    fs::read_to_string(home.path(".aws/config")).unwrap()
}

#[test]
fn a_profile_calls_this_very_program() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let emulated = json!({"connect": {"kind": "aws", "region": "eu-west-1", "endpoint": "http://127.0.0.1:4566", "account": "1"}});
    live(
        &broker,
        &[
            with(grant(1, "prod/s3/reports", "read-only"), emulated),
            grant(2, "orders/postgres/shop", "select"),
        ],
    );
    assert_exit(&home.ebb(&["aws", "configure"]), 0);
    let text = config(&home);
    let expected = format!(
        "[profile ebb-reports-read-only]\ncredential_process = {} creds --profile ebb-reports-read-only\n\
         region = eu-west-1\nendpoint_url = http://127.0.0.1:4566\nebb_grant = {}\n",
        env!("CARGO_BIN_EXE_ebb"),
        grant_id(1)
    );
    assert!(text.contains(&expected), "{text}");
    assert_eq!(text.matches("[profile").count(), 1, "a database needs no profile");
    assert_eq!(mode(&home.path(".aws/config")), 0o600);
}

#[test]
fn what_is_there_stays_and_a_second_run_changes_nothing() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let mine = b"# mine \xff\r\n[default]\r\nregion = x\n\n[profile other]\nsso_session = y\n";
    fs::create_dir(home.path(".aws")).unwrap();
    fs::write(home.path(".aws/config"), mine).unwrap();
    fs::set_permissions(home.path(".aws/config"), fs::Permissions::from_mode(0o644)).unwrap();

    live(&broker, &[grant(1, "prod/s3/reports", "read-only")]);
    assert_exit(&home.ebb(&["aws", "configure"]), 0);
    let first = fs::read(home.path(".aws/config")).unwrap();
    assert!(first.starts_with(mine));
    assert_eq!(mode(&home.path(".aws/config")), 0o644);
    assert_exit(&home.ebb(&["aws", "configure", "--prune"]), 0);
    assert_eq!(fs::read(home.path(".aws/config")).unwrap(), first);

    live(&broker, &[]);
    assert_exit(&home.ebb(&["aws", "configure"]), 0);
    assert_eq!(fs::read(home.path(".aws/config")).unwrap(), first, "only --prune removes");
    assert_exit(&home.ebb(&["aws", "configure", "--prune"]), 0);
    assert_eq!(fs::read(home.path(".aws/config")).unwrap(), mine);
    assert_eq!(fs::read_dir(home.path(".aws")).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_profile_of_ones_own_is_not_overwritten() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    let mine = "[profile ebb-reports-read-only]\nregion = mine\n";
    fs::create_dir(home.path(".aws")).unwrap();
    fs::write(home.path(".aws/config"), mine).unwrap();
    live(&broker, &[grant(1, "prod/s3/reports", "read-only")]);
    let output = home.ebb(&["aws", "configure"]);
    assert_exit(&output, 1);
    assert!(
        stderr(&output).contains(".aws/config is left as it is: line 1 has a profile"),
        "{}",
        stderr(&output)
    );
    assert_eq!(config(&home), mine);
}

#[test]
fn a_link_stays_a_link() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    fs::create_dir(home.path(".aws")).unwrap();
    fs::write(home.path("dotfiles-config"), "[default]\n").unwrap();
    std::os::unix::fs::symlink(home.path("dotfiles-config"), home.path(".aws/config")).unwrap();
    live(&broker, &[grant(1, "prod/s3/reports", "read-only")]);
    assert_exit(&home.ebb(&["aws", "configure"]), 0);
    assert!(fs::symlink_metadata(home.path(".aws/config")).unwrap().is_symlink());
    assert!(
        fs::read_to_string(home.path("dotfiles-config")).unwrap().contains("ebb-reports-read-only")
    );
}

#[test]
fn the_file_may_be_elsewhere() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    live(&broker, &[grant(1, "prod/s3/reports", "read-only")]);
    let mut command = home.command(&["aws", "configure"]);
    let output = command.env("AWS_CONFIG_FILE", home.path("else/where")).output().unwrap();
    assert_exit(&output, 0);
    assert!(fs::read_to_string(home.path("else/where")).unwrap().contains("ebb-reports-read-only"));
    assert!(!home.path(".aws").exists());
}
