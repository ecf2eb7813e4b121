//! A look at the target with a person's eyes: one signed request to S3, that would show nothing but
//! whether it is allowed. It asks for no keys (`max-keys=0`), and an SDK for S3 would be 50 times
//! its size.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use ebbgate_connector_api::{ConnectorError, ErrorKind};
use http::{HeaderMap, StatusCode};
use reqwest::redirect::Policy;
use url::Url;

use crate::{
    arn::Partition,
    clients::{ATTEMPT_PATIENCE, CONNECT_PATIENCE},
    failure::{answered, kind_of},
    settings::AwsSettings,
};

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Access is open.
    Allowed,
    /// A deny that somebody wrote closes it.
    ExplicitDeny,
    /// It is closed, but S3 does not say that it is by a deny.
    Denied,
    /// There is no such bucket.
    NoBucket,
}

/// Looks at buckets.
#[derive(Debug)]
pub(crate) struct Probe {
    http: reqwest::Client,
    partition: Partition,
    region: String,
    endpoint: Option<Url>,
}

/// An answer, as far as it matters.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    /// Where the bucket really is.
    region: Option<String>,
    body: String,
}

impl Probe {
    /// # Errors
    /// There is no TLS to be had.
    pub(crate) fn new(settings: &AwsSettings) -> Result<Self, ConnectorError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(ATTEMPT_PATIENCE)
            // A redirect must be signed anew, for the region that it leads to.
            .redirect(Policy::none())
            .build()
            .map_err(|error| {
                ConnectorError::new(ErrorKind::Invalid, "set up the look at S3").because(error)
            })?;
        Ok(Self {
            http,
            partition: settings.ceiling_role.partition(),
            region: settings.region.clone(),
            endpoint: settings.endpoint.clone(),
        })
    }

    /// Whether those credentials let one list the bucket.
    ///
    /// # Errors
    /// S3 could not be asked, or its answer says neither yes nor no.
    pub(crate) async fn look(
        &self,
        bucket: &str,
        credentials: &Credentials,
    ) -> Result<Seen, ConnectorError> {
        let mut answer = self.ask(bucket, &self.region, credentials).await?;
        let elsewhere = answer.region.take().filter(|region| *region != self.region);
        if let (Some(region), true) = (elsewhere, misdirected(answer.status)) {
            answer = self.ask(bucket, &region, credentials).await?;
        }
        judge(answer.status, &answer.body)
            .map_err(|(kind, why)| ConnectorError::new(kind, doing(bucket)).because(why))
    }

    async fn ask(
        &self,
        bucket: &str,
        region: &str,
        credentials: &Credentials,
    ) -> Result<Answer, ConnectorError> {
        let url = address(self.endpoint.as_ref(), self.partition, region, bucket);
        let request = signed(&url, region, credentials)
            .map_err(|why| ConnectorError::new(ErrorKind::Invalid, doing(bucket)).because(why))?;
        let unreachable = |error: reqwest::Error| {
            let causes: Vec<String> =
                std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source())
                    .map(ToString::to_string)
                    .collect();
            ConnectorError::new(ErrorKind::Unreachable, doing(bucket)).because(causes.join(": "))
        };
        let response = self.http.execute(request).await.map_err(unreachable)?;
        let status = response.status();
        let region = bucket_region(response.headers());
        let body = response.text().await.map_err(unreachable)?;
        Ok(Answer { status, region, body })
    }
}

fn doing(bucket: &str) -> String {
    format!("look at the bucket {bucket}")
}

/// S3 knows where a bucket is, and says so even to those it refuses.
fn bucket_region(headers: &HeaderMap) -> Option<String> {
    headers.get("x-amz-bucket-region")?.to_str().ok().map(ToOwned::to_owned)
}

fn misdirected(status: StatusCode) -> bool {
    status.is_redirection() || status == StatusCode::BAD_REQUEST
}

/// Virtual-hosted on AWS, but in the path where a certificate or an emulator would not match.
fn address(endpoint: Option<&Url>, partition: Partition, region: &str, bucket: &str) -> String {
    const QUERY: &str = "list-type=2&max-keys=0";
    let suffix = partition.dns_suffix();
    match endpoint {
        Some(endpoint) => format!("{}{bucket}?{QUERY}", endpoint.as_str()),
        None if bucket.contains('.') => format!("https://s3.{region}.{suffix}/{bucket}?{QUERY}"),
        None => format!("https://{bucket}.s3.{region}.{suffix}/?{QUERY}"),
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>
fn signed(url: &str, region: &str, credentials: &Credentials) -> Result<reqwest::Request, String> {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("s3")
        .time(signing_time())
        .settings(settings)
        .build()
        .map_err(|error| error.to_string())?
        .into();
    let signable = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::Bytes(&[]))
        .map_err(|error| error.to_string())?;
    let (instructions, _signature) =
        sign(signable, &params).map_err(|error| error.to_string())?.into_parts();
    let mut request = http::Request::get(url).body("").map_err(|error| error.to_string())?;
    instructions.apply_to_request_http1x(&mut request);
    reqwest::Request::try_from(request).map_err(|error| error.to_string())
}

/// S3 judges a signature by the real time, and so do the SDK's clients, which sign all other calls,
/// whatever the Clock port says.
#[allow(clippy::disallowed_methods, reason = "a signature's time is no decision about a grant")]
fn signing_time() -> SystemTime {
    SystemTime::now()
}

/// What an answer proves. Only a refusal of the *right* counts as closed: one of the credentials or
/// the signature says nothing about the person's.
fn judge(status: StatusCode, body: &str) -> Result<Seen, (ErrorKind, String)> {
    if status.is_success() {
        return Ok(Seen::Allowed);
    }
    let code = element(body, "Code");
    let message = element(body, "Message");
    match (status, code) {
        (StatusCode::FORBIDDEN, Some("AccessDenied")) => {
            let explicit = message.is_some_and(|text| text.contains("explicit deny"));
            Ok(if explicit { Seen::ExplicitDeny } else { Seen::Denied })
        }
        (StatusCode::NOT_FOUND, Some("NoSuchBucket")) => Ok(Seen::NoBucket),
        _ => Err((
            kind_of(code, status.as_u16()),
            format!("{} (status {})", answered(code, message), status.as_u16()),
        )),
    }
}

/// The text of the first element of that name in one of S3's error documents, which are flat.
fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn error(code: &str, message: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        )
    }

    #[rstest]
    #[case::listed(200, "<ListBucketResult/>", Seen::Allowed)]
    #[case::by_a_deny(
        403,
        &error("AccessDenied", "User: arn:aws:sts::123456789012:assumed-role/ceiling/grt_1 is not \
            authorized to perform: s3:ListBucket on resource: \"arn:aws:s3:::reports\" with an \
            explicit deny in a session policy"),
        Seen::ExplicitDeny,
    )]
    #[case::by_no_allow(403, &error("AccessDenied", "Access Denied"), Seen::Denied)]
    #[case::gone(404, &error("NoSuchBucket", "The specified bucket does not exist"), Seen::NoBucket)]
    fn answers_that_prove_something(#[case] status: u16, #[case] body: &str, #[case] seen: Seen) {
        assert_eq!(judge(StatusCode::from_u16(status).unwrap(), body), Ok(seen));
    }

    #[rstest]
    #[case::key_is_not_known_yet(403, &error("InvalidAccessKeyId", "no"), ErrorKind::Refused)]
    #[case::wrong_signature(403, &error("SignatureDoesNotMatch", "no"), ErrorKind::Refused)]
    #[case::wrong_region(301, &error("PermanentRedirect", "there"), ErrorKind::Refused)]
    #[case::expired(400, &error("ExpiredToken", "over"), ErrorKind::Unreachable)]
    #[case::busy(503, &error("SlowDown", "slower"), ErrorKind::Throttled)]
    #[case::a_proxy(502, "<html>Bad gateway</html>", ErrorKind::Unreachable)]
    #[case::a_guard(403, "<html>Forbidden</html>", ErrorKind::Refused)]
    #[case::somebody_elses_404(404, "not here", ErrorKind::Refused)]
    fn answers_that_prove_nothing(
        #[case] status: u16,
        #[case] body: &str,
        #[case] kind: ErrorKind,
    ) {
        let (got, why) = judge(StatusCode::from_u16(status).unwrap(), body).unwrap_err();
        assert_eq!(got, kind);
        assert!(why.contains(&status.to_string()), "{why}");
    }

    #[rstest]
    #[case(
        None,
        Partition::Commercial,
        "reports",
        "https://reports.s3.eu-west-1.amazonaws.com/?list-type=2&max-keys=0"
    )]
    #[case(
        None,
        Partition::China,
        "reports",
        "https://reports.s3.eu-west-1.amazonaws.com.cn/?list-type=2&max-keys=0"
    )]
    #[case(
        None,
        Partition::Commercial,
        "my.reports",
        "https://s3.eu-west-1.amazonaws.com/my.reports?list-type=2&max-keys=0"
    )]
    #[case(
        Some("http://127.0.0.1:4566"),
        Partition::Commercial,
        "reports",
        "http://127.0.0.1:4566/reports?list-type=2&max-keys=0"
    )]
    fn addresses(
        #[case] endpoint: Option<&str>,
        #[case] partition: Partition,
        #[case] bucket: &str,
        #[case] expected: &str,
    ) {
        let endpoint: Option<Url> = endpoint.map(|url| url.parse().unwrap());
        assert_eq!(address(endpoint.as_ref(), partition, "eu-west-1", bucket), expected);
    }

    #[test]
    fn secrets_are_in_no_url() {
        let credentials =
            Credentials::new("AKIAEXAMPLE", "shh", Some("token".to_owned()), None, "test");
        let url = address(None, Partition::Commercial, "eu-west-1", "reports");
        let request = signed(&url, "eu-west-1", &credentials).unwrap();
        assert_eq!(request.url().as_str(), url);
        assert_eq!(request.headers()["x-amz-security-token"], "token");
        assert!(!request.headers()["authorization"].to_str().unwrap().contains("shh"));
    }
}
