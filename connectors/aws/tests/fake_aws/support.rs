//! A double of AWS in its own process, an account in it as an operator would set it up, and a person
//! who uses credentials over plain HTTP.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use ebbgate_connector_api::{AwsCredentials, Clock, Connector as _, Credential, CredentialWish};
use ebbgate_connector_aws::{AwsConnector, AwsSettings};
use ebbgate_domain::{Timestamp, inventory::ResourceKind, order::GrantSpec};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::person::{Answer, Person};

const ROOT_KEY: &str = "AKIAROOTROOTROOTROOT";
const ROOT_SECRET: &str = "root-secret-of-a-double-that-guards-nothing";
pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const CEILING: &str = "arn:aws:iam::123456789012:role/ebbgate/ceiling";
const CEILING_RIGHTS: &str = "arn:aws:iam::123456789012:policy/ceiling-rights";
pub(crate) const CONNECTOR: &str = "arn:aws:iam::123456789012:role/ebbgate-connector";
pub(crate) const OTHER_ROLE: &str = "arn:aws:iam::123456789012:role/elsewhere";

/// What the documentation tells the operator to let the broker do, and no more.
fn broker_rights() -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {
            "Effect": "Allow",
            "Action": ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"],
            "Resource": [CEILING, CONNECTOR],
        },
        {
            "Effect": "Allow",
            "Action": [
                "iam:GetRole", "iam:ListRolePolicies", "iam:PutRolePolicy", "iam:DeleteRolePolicy",
            ],
            // IAM does not know the path of a role that is not there any more.
            "Resource": [CEILING, "arn:aws:iam::123456789012:role/ceiling"],
        },
    ]})
}

fn trust() -> String {
    json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"],
    }})
    .to_string()
}

/// The process. It ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().expect("the double can be ended");
        self.0.wait().expect("the double ends");
    }
}

/// The double and the account in it.
pub(crate) struct Account {
    process: Process,
    pub(crate) endpoint: String,
    http: reqwest::Client,
    pub(crate) iam: aws_sdk_iam::Client,
    broker: Credentials,
    offset_seconds: AtomicI64,
}

/// The double's clock, which a test moves.
impl Clock for Account {
    #[allow(clippy::disallowed_methods, reason = "the adapter of these tests")]
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(self.offset_seconds.load(Ordering::SeqCst))
    }
}

fn program() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("fake-aws");
    BUILT.get_or_init(|| {
        if !program.exists() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let built = Command::new(cargo).args(["build", "-p", "ebbgate-fake-aws"]).status();
            assert!(built.unwrap().success(), "the double of AWS could not be built");
        }
    });
    program
}

fn sdk(endpoint: &str, credentials: Credentials) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

impl Account {
    /// Buckets `reports` and `payroll`, the ceiling role with all rights on S3, a role that anybody
    /// may go on to, and a user for the broker.
    pub(crate) async fn start() -> Self {
        let mut child = Command::new(program())
            .args(["--listen", "127.0.0.1:0"])
            .env("FAKE_AWS_ROOT_KEY", ROOT_KEY)
            .env("FAKE_AWS_ROOT_SECRET", ROOT_SECRET)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let endpoint = line.trim().strip_prefix("listening on ").expect(&line).to_owned();
        let root = Credentials::from_keys(ROOT_KEY, ROOT_SECRET, None);
        let iam = aws_sdk_iam::Client::new(&sdk(&endpoint, root));
        let mut account = Self {
            process: Process(child),
            endpoint,
            http: reqwest::Client::new(),
            iam,
            broker: Credentials::from_keys("none", "yet", None),
            offset_seconds: AtomicI64::new(0),
        };
        account.make_roles().await;
        account.make_broker().await;
        for bucket in ["reports", "payroll"] {
            assert_eq!(account.root().put(bucket, "").await, Answer::Done);
            assert_eq!(account.root().put(&format!("{bucket}/a.csv"), "1,2").await, Answer::Done);
        }
        account
    }

    async fn make_roles(&self) {
        let rights = json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": ["s3:*", "sts:AssumeRole"], "Resource": "*",
        }});
        let made = self.iam.create_policy().policy_name("ceiling-rights");
        let made = made.policy_document(rights.to_string()).send().await.unwrap();
        let rights = made.policy.unwrap().arn.unwrap();
        assert_eq!(rights, CEILING_RIGHTS);
        for name in ["ebbgate-connector", "elsewhere"] {
            let role = self.iam.create_role().role_name(name);
            role.assume_role_policy_document(trust()).send().await.unwrap();
        }
        self.make_ceiling(43_200).await;
        self.put_inline("ebbgate-connector", "broker", &broker_rights()).await;
    }

    /// Makes the ceiling role, whose sessions may last so many seconds.
    pub(crate) async fn make_ceiling(&self, longest_session: i32) {
        let role = self.iam.create_role().path("/ebbgate/").role_name("ceiling");
        let role = role.max_session_duration(longest_session);
        role.assume_role_policy_document(trust()).send().await.unwrap();
        let attach = self.iam.attach_role_policy().role_name("ceiling");
        attach.policy_arn(CEILING_RIGHTS).send().await.unwrap();
    }

    /// Deletes the ceiling role.
    pub(crate) async fn delete_ceiling(&self) {
        let detach = self.iam.detach_role_policy().role_name("ceiling");
        detach.policy_arn(CEILING_RIGHTS).send().await.unwrap();
        self.iam.delete_role().role_name("ceiling").send().await.unwrap();
    }

    async fn make_broker(&mut self) {
        self.iam.create_user().user_name("broker").send().await.unwrap();
        let put = self.iam.put_user_policy().user_name("broker").policy_name("broker");
        put.policy_document(broker_rights().to_string()).send().await.unwrap();
        let key = self.iam.create_access_key().user_name("broker").send().await.unwrap();
        let key = key.access_key.unwrap();
        self.broker = Credentials::from_keys(key.access_key_id, key.secret_access_key, None);
    }

    /// Puts an inline policy on a role.
    pub(crate) async fn put_inline(&self, role: &str, name: &str, policy: &Value) {
        let put = self.iam.put_role_policy().role_name(role).policy_name(name);
        put.policy_document(policy.to_string()).send().await.unwrap();
    }

    /// Takes the ceiling role's rights away, and gives it those instead.
    pub(crate) async fn replace_rights(&self, actions: &[&str]) {
        let arn = "arn:aws:iam::123456789012:policy/ceiling-rights";
        let detach = self.iam.detach_role_policy().role_name("ceiling").policy_arn(arn);
        detach.send().await.unwrap();
        let statement = json!({"Effect": "Allow", "Action": actions, "Resource": "*"});
        let rights = json!({"Version": "2012-10-17", "Statement": statement});
        self.put_inline("ceiling", "rights", &rights).await;
    }

    /// The names of the ceiling role's inline policies.
    pub(crate) async fn inline_policies(&self) -> Vec<String> {
        let list = self.iam.list_role_policies().role_name("ceiling").send().await.unwrap();
        list.policy_names
    }

    /// The connector, with the rights of the broker's user.
    pub(crate) fn connector(&self) -> AwsConnector {
        self.connector_with(|_| {})
    }

    pub(crate) fn connector_with(&self, change: impl FnOnce(&mut AwsSettings)) -> AwsConnector {
        let mut settings = AwsSettings {
            integration: "prod".parse().unwrap(),
            region: REGION.to_owned(),
            ceiling_role: CEILING.parse().unwrap(),
            assume_role: None,
            endpoint: Some(self.endpoint.parse().unwrap()),
        };
        change(&mut settings);
        AwsConnector::new(settings, &sdk("http://not.used.invalid", self.broker.clone())).unwrap()
    }

    /// A grant that ends in so many seconds.
    pub(crate) fn grant(&self, n: u8, permission: &str, seconds: i64) -> GrantSpec {
        GrantSpec {
            grant: ebbgate_domain::ids::GrantId::new(self.now(), [n; 10]),
            request: ebbgate_domain::ids::RequestId::new(self.now(), [n; 10]),
            principal: "ana@example.com".parse().unwrap(),
            integration: "prod".parse().unwrap(),
            resource: "prod/s3/reports".parse().unwrap(),
            kind: ResourceKind::S3,
            native: "reports".to_owned(),
            permission: permission.parse().unwrap(),
            rights: Vec::new(),
            flow: "data-reports".parse().unwrap(),
            ticket: Some("OPS-7, urgent".to_owned()),
            deadline: self.now() + SignedDuration::from_secs(seconds),
            credentials_until: None,
            recorded: false,
        }
    }

    /// Does what the broker does: notes until when the credentials may live, then asks for them.
    pub(crate) async fn credentials(
        &self,
        connector: &AwsConnector,
        grant: &mut GrantSpec,
    ) -> AwsCredentials {
        let seconds = connector.credential_lifetime_seconds(grant, self.now()).unwrap();
        let until = self.now() + SignedDuration::from_secs(seconds.into());
        grant.credentials_until = grant.credentials_until.max(Some(until));
        match connector.credential(grant, CredentialWish::Issue, self.now()).await.unwrap() {
            Credential::Aws(credentials) => credentials,
            Credential::Login { user } => panic!("a log-in as {user} on AWS"),
        }
    }

    /// Somebody who uses those credentials.
    pub(crate) async fn person(&self, connector: &AwsConnector, grant: &mut GrantSpec) -> Person {
        Person::new(&self.endpoint, &self.credentials(connector, grant).await)
    }

    /// Somebody who may do everything.
    pub(crate) fn root(&self) -> Person {
        Person::with_keys(&self.endpoint, Credentials::from_keys(ROOT_KEY, ROOT_SECRET, None))
    }

    /// Moves the double's clock and the tests' on.
    pub(crate) async fn advance(&self, seconds: i64) {
        self.control("clock", &json!({"advance_seconds": seconds})).await;
        self.offset_seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    /// What goes wrong from now on.
    pub(crate) async fn faults(&self, faults: Value) {
        self.control("faults", &faults).await;
    }

    async fn control(&self, what: &str, body: &Value) {
        let url = format!("{}/_fake/{what}", self.endpoint);
        let answer = self.http.post(url).json(body).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
    }

    /// The calls of an operation, oldest first.
    pub(crate) async fn calls(&self, action: &str) -> Vec<Value> {
        let url = format!("{}/_fake/calls", self.endpoint);
        let calls: Vec<Value> = self.http.get(url).send().await.unwrap().json().await.unwrap();
        calls.into_iter().filter(|call| call["action"] == action).collect()
    }

    /// Waits until there were so many calls of an operation.
    pub(crate) async fn calls_reach(&self, action: &str, count: usize) {
        let wait = async {
            while self.calls(action).await.len() < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
        waited.expect("the calls that are waited for");
    }

    /// Ends the double, as if AWS were cut off.
    pub(crate) fn vanish(self) -> impl Clock {
        let clock = Stopped(self.now());
        drop(self.process);
        clock
    }
}

struct Stopped(Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}
