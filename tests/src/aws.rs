//! A small client for AWS's wire protocols: signs with SigV4 and gives the raw answer. It sets the
//! account up, and looks through a person's credentials at what they can still do.

use anyhow::{Context as _, Result, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

use crate::clock::now;

/// Where all of the account's regional things are.
pub const REGION: &str = "eu-west-1";

/// An access key, with a session token when it is temporary.
#[derive(Clone)]
pub struct Keys {
    /// The access key's id.
    pub access_key_id: String,
    /// The secret that requests are signed with.
    pub secret_access_key: String,
    /// The session's token.
    pub session_token: Option<String>,
}

impl Keys {
    /// Reads the document that the broker's API gives for an AWS grant.
    ///
    /// # Errors
    /// When a member is missing.
    pub fn from_api(document: &Value) -> Result<Self> {
        let text = |name: &str| {
            let value = document[name].as_str().map(str::to_owned);
            value.with_context(|| format!("the credentials have no {name}"))
        };
        Ok(Self {
            access_key_id: text("access_key_id")?,
            secret_access_key: text("secret_access_key")?,
            session_token: Some(text("session_token")?),
        })
    }
}

/// The account of a world, wherever its endpoint is: a bucket, a role above what is granted, and
/// a user for the broker who may do what the connector needs and nothing else.
#[derive(Clone)]
pub struct Account {
    /// Where STS, IAM and S3 answer.
    pub endpoint: Url,
    /// The ARN of the role that grants are sessions of.
    pub ceiling_role: String,
    /// The name of that role.
    pub ceiling_role_name: &'static str,
    /// What the broker signs with.
    pub connector: Keys,
    /// The account's owner.
    pub root: Aws,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("endpoint", &self.endpoint.as_str()).finish_non_exhaustive()
    }
}

/// The bucket that people may ask for.
pub const BUCKET: &str = "reports";
/// An object in it and what it says.
pub const REPORT: (&str, &str) = ("2026/q1.csv", "region,cents\nnorth,1250\nsouth,990\n");

impl Account {
    /// Furnishes an empty account through AWS's own calls.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn furnish(root: Aws) -> Result<Self> {
        let user = root.iam("CreateUser", &[("UserName", CONNECTOR)]).await?.success()?;
        let user_arn = element(&user, "Arn")?;
        let trust = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"AWS": user_arn},
            "Action": ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"],
        }]});
        let role = [
            ("RoleName", CEILING),
            ("Path", "/ebbgate/"),
            ("AssumeRolePolicyDocument", &trust.to_string()),
            ("MaxSessionDuration", "43200"),
        ];
        let role = root.iam("CreateRole", &role).await?.success()?;
        let ceiling_role = element(&role, "Arn")?;
        let allowed = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Action": "s3:*",
            "Resource": [format!("arn:aws:s3:::{BUCKET}"), format!("arn:aws:s3:::{BUCKET}/*")],
        }]});
        let ceiling = [
            ("RoleName", CEILING),
            ("PolicyName", "ceiling"),
            ("PolicyDocument", &allowed.to_string()),
        ];
        root.iam("PutRolePolicy", &ceiling).await?.success()?;
        let needed = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Action": CONNECTOR_NEEDS,
            "Resource": ceiling_role,
        }]});
        let connector = [
            ("UserName", CONNECTOR),
            ("PolicyName", "connector"),
            ("PolicyDocument", &needed.to_string()),
        ];
        root.iam("PutUserPolicy", &connector).await?.success()?;
        let key = root.iam("CreateAccessKey", &[("UserName", CONNECTOR)]).await?.success()?;
        let connector = Keys {
            access_key_id: element(&key, "AccessKeyId")?,
            secret_access_key: element(&key, "SecretAccessKey")?,
            session_token: None,
        };
        root.create_bucket(BUCKET).await?.success()?;
        root.put_object(BUCKET, REPORT.0, REPORT.1).await?.success()?;
        let endpoint = root.endpoint.clone();
        Ok(Self { endpoint, ceiling_role, ceiling_role_name: CEILING, connector, root })
    }

    /// What the broker finds in its environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ACCESS_KEY_ID", self.connector.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.connector.secret_access_key.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

/// The broker's user.
const CONNECTOR: &str = "ebbgate-connector";
/// The role that all grants are sessions of.
const CEILING: &str = "ceiling";
/// What the connector calls, on the ceiling role alone.
const CONNECTOR_NEEDS: [&str; 8] = [
    "sts:AssumeRole",
    "sts:SetSourceIdentity",
    "sts:TagSession",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListRolePolicies",
    "iam:PutRolePolicy",
    "iam:DeleteRolePolicy",
];

/// The first element of that name in an XML answer; IAM's answers need no more than this.
pub(crate) fn element(xml: &str, name: &str) -> Result<String> {
    let begin = format!("<{name}>");
    let found = xml.split_once(&begin).and_then(|(_, rest)| rest.split_once('<'));
    let (text, _) = found.with_context(|| format!("no <{name}> in {xml}"))?;
    Ok(text.to_owned())
}

/// Somebody's way to AWS.
#[derive(Clone)]
pub struct Aws {
    endpoint: Url,
    keys: Keys,
    http: reqwest::Client,
}

/// What AWS answered.
#[derive(Debug, Clone)]
pub struct AwsAnswer {
    /// The HTTP status.
    pub status: u16,
    /// XML, JSON or an object's content.
    pub body: String,
}

impl AwsAnswer {
    /// Its body, if it is a success.
    ///
    /// # Errors
    /// When AWS refused.
    pub fn success(self) -> Result<String> {
        ensure!((200..300).contains(&self.status), "AWS answered {}: {}", self.status, self.body);
        Ok(self.body)
    }

    /// Fails unless AWS refused with `code`.
    ///
    /// # Errors
    /// When it accepted or refused for another reason.
    pub fn refused(&self, code: &str) -> Result<()> {
        ensure!(
            self.status >= 400 && self.body.contains(&format!("<Code>{code}</Code>")),
            "AWS answered {} instead of refusing with {code}: {}",
            self.status,
            self.body
        );
        Ok(())
    }
}

impl Aws {
    /// Speaks to `endpoint` with `keys`.
    pub fn new(endpoint: Url, keys: Keys) -> Self {
        Self { endpoint, keys, http: reqwest::Client::new() }
    }

    /// The same endpoint with other keys.
    pub fn with_keys(&self, keys: Keys) -> Self {
        Self { keys, ..self.clone() }
    }

    /// A call of IAM's Query protocol (version 2010-05-08).
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn iam(&self, action: &str, parameters: &[(&str, &str)]) -> Result<AwsAnswer> {
        self.query("iam", "us-east-1", "2010-05-08", action, parameters).await
    }

    /// A call of STS's Query protocol (version 2011-06-15).
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn sts(&self, action: &str, parameters: &[(&str, &str)]) -> Result<AwsAnswer> {
        self.query("sts", REGION, "2011-06-15", action, parameters).await
    }

    /// Reads an object.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn get_object(&self, bucket: &str, key: &str) -> Result<AwsAnswer> {
        self.s3(Method::GET, &format!("/{bucket}/{key}"), "").await
    }

    /// Writes an object.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn put_object(&self, bucket: &str, key: &str, content: &str) -> Result<AwsAnswer> {
        self.s3(Method::PUT, &format!("/{bucket}/{key}"), content).await
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn create_bucket(&self, bucket: &str) -> Result<AwsAnswer> {
        let place = format!(
            "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint>\
             </CreateBucketConfiguration>"
        );
        self.s3(Method::PUT, &format!("/{bucket}"), &place).await
    }

    async fn query(
        &self,
        service: &str,
        region: &str,
        version: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<AwsAnswer> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", action)
            .append_pair("Version", version)
            .extend_pairs(parameters)
            .finish();
        let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let url = self.endpoint.join("/").context("make an address")?;
        self.send(Method::POST, url, service, region, &form, body, SigningSettings::default()).await
    }

    async fn s3(&self, method: Method, path: &str, content: &str) -> Result<AwsAnswer> {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let url = self.endpoint.join(path).context("make an address")?;
        self.send(method, url, "s3", REGION, &[], content.to_owned(), settings).await
    }

    #[expect(clippy::too_many_arguments, reason = "SigV4 signs all of them, and only two callers")]
    async fn send(
        &self,
        method: Method,
        url: Url,
        service: &str,
        region: &str,
        headers: &[(&str, &str)],
        body: String,
        settings: SigningSettings,
    ) -> Result<AwsAnswer> {
        let Keys { access_key_id, secret_access_key, session_token } = self.keys.clone();
        let identity =
            Credentials::new(access_key_id, secret_access_key, session_token, None, "tests").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service)
            .time(now().into())
            .settings(settings)
            .build()
            .context("put a signature's parameters together")?
            .into();
        let content = SignableBody::Bytes(body.as_bytes());
        let signable =
            SignableRequest::new(method.as_str(), url.as_str(), headers.iter().copied(), content)
                .context("prepare a request for signing")?;
        let (signature, _) = sign(signable, &parameters).context("sign a request")?.into_parts();
        let mut request = self.http.request(method, url);
        for (name, value) in headers.iter().copied().chain(signature.headers()) {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().await.with_context(|| format!("call {service}"))?;
        let status = answer.status().as_u16();
        let body = answer.text().await.with_context(|| format!("read {service}'s answer"))?;
        Ok(AwsAnswer { status, body })
    }
}
