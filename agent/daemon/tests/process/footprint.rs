//! What an agent beside a database has no use for is not inside.

use std::process::Command;

#[test]
fn no_aws_sdk_is_inside() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--package", "ebbgate-agent-daemon"])
        .args(["--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        // A build that shares features in the workspace would show all of it.
        .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("ebbgate-agent-core"), "{tree}");
    let sdk: Vec<&str> = tree
        .lines()
        .filter(|line| {
            ["aws-sdk-", "aws-config", "aws-smithy-", "aws-sigv4", "ebbgate-connector-aws"]
                .iter()
                .any(|name| line.starts_with(name))
        })
        .collect();
    assert!(sdk.is_empty(), "{sdk:?}");
}
