//! Somebody with credentials and nothing else: signs requests to S3 and STS, and tells what comes
//! back.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use ebbgate_connector_api::AwsCredentials;
use secrecy::ExposeSecret as _;

use crate::support::REGION;

/// What AWS answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    /// An error's code.
    Refused(String),
}

impl Answer {
    pub(crate) fn denied() -> Self {
        Self::Refused("AccessDenied".to_owned())
    }
}

/// Somebody with credentials.
pub(crate) struct Person {
    endpoint: String,
    credentials: Credentials,
    http: reqwest::Client,
}

impl Person {
    pub(crate) fn new(endpoint: &str, credentials: &AwsCredentials) -> Self {
        let keys = Credentials::from_keys(
            &credentials.access_key_id,
            credentials.secret_access_key.expose_secret(),
            Some(credentials.session_token.expose_secret().to_owned()),
        );
        Self::with_keys(endpoint, keys)
    }

    pub(crate) fn with_keys(endpoint: &str, credentials: Credentials) -> Self {
        Self { endpoint: endpoint.to_owned(), credentials, http: reqwest::Client::new() }
    }

    /// Lists a bucket.
    pub(crate) async fn list(&self, bucket: &str) -> Answer {
        self.s3("GET", &format!("{bucket}?list-type=2"), "").await
    }

    /// Reads `bucket/key`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.s3("GET", path, "").await
    }

    /// Writes `bucket/key`, or makes a bucket.
    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        self.s3("PUT", path, body).await
    }

    /// Deletes `bucket/key`.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.s3("DELETE", path, "").await
    }

    /// Lists all buckets of the account.
    pub(crate) async fn list_buckets(&self) -> Answer {
        self.s3("GET", "", "").await
    }

    /// Tries to go on to another role.
    pub(crate) async fn assume(&self, role: &str) -> Answer {
        let body = format!(
            "Action=AssumeRole&Version=2011-06-15&RoleSessionName=other&RoleArn={}",
            role.replace(':', "%3A").replace('/', "%2F")
        );
        self.query("sts", &body).await
    }

    /// Tries to change what IAM holds.
    pub(crate) async fn delete_deny(&self, policy: &str) -> Answer {
        let body = format!(
            "Action=DeleteRolePolicy&Version=2010-05-08&RoleName=ceiling&PolicyName={policy}"
        );
        self.query("iam", &body).await
    }

    async fn query(&self, service: &str, body: &str) -> Answer {
        let form = ("content-type", "application/x-www-form-urlencoded");
        self.send(service, "POST", "", body, &[form]).await
    }

    async fn s3(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send("s3", method, path, body, &[]).await
    }

    #[allow(clippy::disallowed_methods, reason = "a signature is judged by the real time")]
    async fn send(
        &self,
        service: &str,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let url = format!("{}/{path}", self.endpoint);
        let mut settings = SigningSettings::default();
        if service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name(service)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let bytes = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new(method, &url, headers.iter().copied(), bytes).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let mut request = http::Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body.to_owned()).unwrap();
        instructions.apply_to_request_http1x(&mut request);
        let answer = self.http.execute(request.try_into().unwrap()).await.unwrap();
        if answer.status().is_success() {
            return Answer::Done;
        }
        let text = answer.text().await.unwrap();
        let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        Answer::Refused(code.expect(&text).0.to_owned())
    }
}
