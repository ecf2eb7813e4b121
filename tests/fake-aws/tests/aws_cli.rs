//! The real AWS CLI against the program: what a grant's life looks like from outside.
//!
//! `EBBGATE_AWS_CLI` names the CLI; `aws` is taken from the path otherwise.
#![allow(clippy::unwrap_used, reason = "all of this file is tests: a panic is the report")]

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Long enough for a busy machine: only a hang reaches it.
const HANG: Duration = Duration::from_secs(60);

const ROLE: &str = "ceiling";
const BUCKET: &str = "s3://orders";

/// Access key id, secret, session token.
struct Credentials(String, String, Option<String>);

/// The program, running.
struct Fake {
    child: Child,
    endpoint: String,
    admin: Credentials,
    http: reqwest::Client,
    dir: TempDir,
}

impl Fake {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ready = dir.path().join("ready.json");
        let mut child = Command::new(env!("CARGO_BIN_EXE_fake-aws"))
            .args(["--listen", "127.0.0.1:0", "--ready-file"])
            .arg(&ready)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let line =
            tokio::time::timeout(HANG, stdout.lines().next_line()).await.unwrap().unwrap().unwrap();
        let endpoint = line.strip_prefix("listening on ").unwrap().to_owned();
        let ready = wait_for_json(&ready).await;
        assert_eq!(ready["endpoint"], endpoint);
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self {
            child,
            endpoint,
            admin: Credentials(text("access_key_id"), text("secret_access_key"), None),
            http: reqwest::Client::new(),
            dir,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the CLI, with `who`'s credentials in its environment.
    async fn aws(&self, who: &Credentials, args: &[&str]) -> Output {
        let cli = std::env::var_os("EBBGATE_AWS_CLI").unwrap_or_else(|| "aws".into());
        let mut command = Command::new(cli);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        let Credentials(id, secret, token) = who;
        if let Some(token) = token {
            command.env("AWS_SESSION_TOKEN", token);
        }
        let run = command
            .args(args)
            .env("AWS_ACCESS_KEY_ID", id)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_CONFIG_FILE", self.file("no-config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.file("no-credentials"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_PAGER", "")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        tokio::time::timeout(HANG, run).await.unwrap().unwrap()
    }

    /// Runs the CLI, which must succeed, and gives what it prints.
    async fn ok(&self, who: &Credentials, args: &[&str]) -> String {
        let output = self.aws(who, args).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "aws {args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the CLI, which must fail, and gives its complaint.
    async fn refused(&self, who: &Credentials, args: &[&str]) -> String {
        let output = self.aws(who, args).await;
        assert!(!output.status.success(), "aws {args:?} succeeded");
        String::from_utf8(output.stderr).unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/_fake/{path}", self.endpoint);
        let response = self.http.post(url).json(&body).send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{path}: {answer}");
        answer
    }

    async fn calls(&self) -> String {
        let url = format!("{}/_fake/calls", self.endpoint);
        self.http.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// A bucket, and a role that may use it and that the account trusts.
    async fn with_role(&self) -> &Self {
        let trust = json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Principal": {"AWS": "123456789012"},
            "Action": ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"]}});
        let trust = trust.to_string();
        let create = [
            "iam",
            "create-role",
            "--path",
            "/ebbgate/",
            "--role-name",
            ROLE,
            "--assume-role-policy-document",
            &trust,
        ];
        self.ok(&self.admin, &create).await;
        let allow = json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"});
        self.put_policy("allow", &allow).await;
        self.ok(&self.admin, &["s3", "mb", BUCKET]).await;
        self
    }

    async fn put_policy(&self, name: &str, statement: &Value) {
        let document = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
        let args = [
            "iam",
            "put-role-policy",
            "--role-name",
            ROLE,
            "--policy-name",
            name,
            "--policy-document",
            &document,
        ];
        self.ok(&self.admin, &args).await;
    }

    /// A session of the role; gives its credentials and its `AssumedRoleId`.
    async fn assume(&self, session_name: &str, statements: Value) -> (Credentials, String) {
        let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let args = [
            "sts",
            "assume-role",
            "--role-arn",
            "arn:aws:iam::123456789012:role/ebbgate/ceiling",
            "--role-session-name",
            session_name,
            "--source-identity",
            "maria@example.com",
            "--tags",
            "Key=ebbgate:grant,Value=g1",
            "--transitive-tag-keys",
            "ebbgate:grant",
            "--policy",
            &policy,
        ];
        let answer: Value = serde_json::from_str(&self.ok(&self.admin, &args).await).unwrap();
        assert_eq!(answer["SourceIdentity"], "maria@example.com");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let keys = &answer["Credentials"];
        let credentials = Credentials(
            text(&keys["AccessKeyId"]),
            text(&keys["SecretAccessKey"]),
            Some(text(&keys["SessionToken"])),
        );
        (credentials, text(&answer["AssumedRoleUser"]["AssumedRoleId"]))
    }

    /// Asks it to stop; it must, and with success.
    async fn stop(mut self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        let status = tokio::time::timeout(HANG, self.child.wait()).await.unwrap();
        assert_eq!(status.unwrap().code(), Some(0));
    }
}

/// The file is renamed into its place, so it is whole when it is there.
async fn wait_for_json(path: &Path) -> Value {
    let read = async {
        loop {
            if let Ok(text) = tokio::fs::read_to_string(path).await {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    serde_json::from_str(&tokio::time::timeout(HANG, read).await.unwrap()).unwrap()
}

fn allow_all() -> Value {
    json!({"Effect": "Allow", "Action": "*", "Resource": "*"})
}

#[tokio::test]
async fn a_session_policy_ends_a_session_to_the_second_and_expiry_ends_it_for_good() {
    let fake = Fake::start().await;
    fake.with_role().await;
    let health: Value = fake
        .http
        .get(format!("{}/_fake/health", fake.endpoint))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let now: Timestamp = health["now"].as_str().unwrap().parse().unwrap();
    let end = now + SignedDuration::from_mins(30);
    let deny = json!({"Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": {"DateGreaterThanEquals": {"aws:CurrentTime": end.to_string()}}});
    let (session, _) = fake.assume("grant-1", json!([allow_all(), deny])).await;

    let (up, down) = (fake.file("up"), fake.file("down"));
    let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&up, &content).unwrap();
    let object = format!("{BUCKET}/reports/with space.bin");
    fake.ok(&session, &["s3", "cp", up.to_str().unwrap(), &object]).await;
    fake.ok(&session, &["s3", "cp", &object, down.to_str().unwrap()]).await;
    assert_eq!(std::fs::read(&down).unwrap(), content);
    let listed = fake.ok(&session, &["s3", "ls", BUCKET]).await;
    assert!(listed.contains("PRE reports/"), "{listed}");
    let listed = fake.ok(&session, &["s3", "ls", "--recursive", BUCKET]).await;
    assert!(listed.contains("400000 reports/with space.bin"), "{listed}");

    fake.post("clock", json!({"set": end.to_string()})).await;
    let complaint = fake.refused(&session, &["s3", "ls", BUCKET]).await;
    assert!(complaint.contains("(AccessDenied)"), "{complaint}");
    assert!(
        complaint.contains(
            "User: arn:aws:sts::123456789012:assumed-role/ceiling/grant-1 is not authorized to \
             perform: s3:ListBucket on resource: \"arn:aws:s3:::orders\" with an explicit deny in \
             a session policy"
        ),
        "{complaint}"
    );

    fake.post("clock", json!({"advance_seconds": 1_800})).await;
    let complaint = fake.refused(&session, &["s3", "ls", BUCKET]).await;
    assert!(complaint.contains("(ExpiredToken)"), "{complaint}");
    let complaint = fake.refused(&session, &["sts", "get-caller-identity"]).await;
    assert!(complaint.contains("(ExpiredToken)"), "{complaint}");
    fake.stop().await;
}

#[tokio::test]
async fn a_deny_on_one_session_leaves_the_other_alone() {
    let fake = Fake::start().await;
    fake.with_role().await;
    let (first, first_id) = fake.assume("grant-1", json!([allow_all()])).await;
    let (second, _) = fake.assume("grant-2", json!([allow_all()])).await;
    fake.ok(&first, &["s3", "ls", BUCKET]).await;

    let deny = json!({"Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": {"StringEquals": {"aws:userid": first_id}}});
    fake.put_policy("revoked", &deny).await;
    let complaint = fake.refused(&first, &["s3", "ls", BUCKET]).await;
    assert!(complaint.contains("with an explicit deny in an identity-based policy"), "{complaint}");
    fake.ok(&second, &["s3", "ls", BUCKET]).await;
    let who = fake.ok(&first, &["sts", "get-caller-identity"]).await;
    assert!(who.contains(&first_id), "{who}");
    fake.stop().await;
}

#[tokio::test]
async fn faults_are_met_by_the_cli_and_logged_without_secrets() {
    let fake = Fake::start().await;
    fake.with_role().await;
    fake.post("faults", json!({"throttle_next": 1, "action": "AssumeRole"})).await;
    let (session, _) = fake.assume("grant-1", json!([allow_all()])).await;
    fake.post("faults", json!({"fail_next_5xx": 1, "action": "s3:ListObjectsV2"})).await;
    fake.ok(&session, &["s3", "ls", BUCKET]).await;

    let calls = fake.calls().await;
    let Credentials(_, secret, token) = &session;
    for hidden in [secret, token.as_ref().unwrap(), &fake.admin.1] {
        assert!(!calls.contains(hidden.as_str()), "a secret is in the log");
    }
    let calls: Vec<Value> = serde_json::from_str(&calls).unwrap();
    let outcomes = |action: &str| -> Vec<&str> {
        calls
            .iter()
            .filter(|call| call["action"] == action)
            .map(|call| call["outcome"].as_str().unwrap())
            .collect()
    };
    assert_eq!(outcomes("AssumeRole"), ["Throttling", "allowed"]);
    assert_eq!(outcomes("ListObjectsV2"), ["InternalError", "allowed"]);
    let last = calls.last().unwrap();
    assert_eq!(last["session_name"], "grant-1");
    assert_eq!(last["source_identity"], "maria@example.com");
    assert_eq!(last["resource"], "arn:aws:s3:::orders");

    fake.post("reset", json!({})).await;
    let complaint = fake.refused(&session, &["sts", "get-caller-identity"]).await;
    assert!(complaint.contains("(InvalidClientTokenId)"), "{complaint}");
    let who = fake.ok(&fake.admin, &["sts", "get-caller-identity"]).await;
    assert!(who.contains("user/admin"), "{who}");
    fake.stop().await;
}
