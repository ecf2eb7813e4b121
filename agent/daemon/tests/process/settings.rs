//! What `run` says of settings that can't be used.

use std::fs;

use crate::agent::{command, stderr};

#[test]
fn mistakes_are_told_with_file_line_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.yaml");
    fs::write(&file, "broker: https://127.0.0.1:7400\ndir: .\nintegration: []\n").unwrap();
    let output = command().args(["run", "--config"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    let place = |line, column| format!("{}:{line}:{column}: ", file.display());
    assert!(error.contains(&(place(3, 1) + "unknown key 'integration'")), "{error}");
    assert!(error.contains(&(place(1, 1) + "the key 'integrations' is missing")), "{error}");
}

#[test]
fn an_agent_that_was_never_enrolled_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.yaml");
    fs::write(&file, "broker: https://127.0.0.1:7400\ndir: .\nintegrations: []\n").unwrap();
    let output = command().args(["run", "--config"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("ebbgate-agent enroll"), "{}", stderr(&output));
}
