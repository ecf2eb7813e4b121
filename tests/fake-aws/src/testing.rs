//! For unit tests: an account in memory, and requests signed by the SDK's own signer.

use aws_credential_types::Credentials;
use axum::body::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use secrecy::SecretString;

use crate::fake::Fake;
use crate::request::Request;
use crate::server::serve;
use crate::sigv4::tests::signed;

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const TRUST_ACCOUNT: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":["sts:AssumeRole","sts:SetSourceIdentity","sts:TagSession"]}}"#;
pub(crate) const ALLOW_ALL: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

/// An account, and its admin's credentials.
pub(crate) struct Bench {
    pub(crate) fake: Fake,
    pub(crate) admin: Credentials,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    /// The text of the first XML element of a name.
    pub(crate) fn text(&self, element: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("<{element}>"))?;
        Some(rest.split_once("</")?.0)
    }

    /// The error's code, or `OK`.
    pub(crate) fn code(&self) -> &str {
        if self.status.is_success() { "OK" } else { self.text("Code").unwrap_or("no code") }
    }

    /// The error's message.
    pub(crate) fn message(&self) -> &str {
        self.text("Message").unwrap_or("")
    }

    /// Asserts success.
    pub(crate) fn ok(self) -> Self {
        assert!(self.status.is_success(), "{self:?}");
        self
    }
}

pub(crate) fn credentials(id: &str, secret: &str, token: Option<&str>) -> Credentials {
    Credentials::new(id, secret, token.map(str::to_owned), None, "test")
}

/// A request that is not signed yet.
pub(crate) fn request(method: Method, path: &str, query: &str, body: &str) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("localhost:4566"));
    Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// A request of the Query protocol, not signed yet.
pub(crate) fn query_request(params: &[(&str, &str)]) -> Request {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    let mut request = request(Method::POST, "/", "", &body);
    let name = HeaderName::from_static("content-type");
    let value = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers.insert(name, value);
    request
}

impl Bench {
    pub(crate) fn new() -> Self {
        let (id, secret) = ("AKIAADMINADMINADMIN2", "admin-secret");
        let secret_string = SecretString::from(secret);
        Self {
            fake: Fake::new(ACCOUNT.to_owned(), id.to_owned(), secret_string).unwrap(),
            admin: credentials(id, secret, None),
        }
    }

    /// Sends a request as it is.
    pub(crate) fn send(&self, request: &Request) -> Reply {
        let response = serve(&self.fake, request);
        let (parts, body) = response.into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(axum::body::to_bytes(body, usize::MAX)).unwrap();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    /// The real time, which signatures are made by.
    pub(crate) fn now(&self) -> Timestamp {
        self.fake.clock.real()
    }

    /// Signs a request now, and sends it.
    pub(crate) fn sign_and_send(&self, who: &Credentials, service: &str, r: Request) -> Reply {
        self.send(&signed(r, who, service, false, self.now()))
    }

    /// Calls an operation of IAM or STS.
    pub(crate) fn call(&self, who: &Credentials, service: &str, params: &[(&str, &str)]) -> Reply {
        self.sign_and_send(who, service, query_request(params))
    }

    /// Calls an operation of IAM as admin.
    pub(crate) fn iam(&self, action: &str, params: &[(&str, &str)]) -> Reply {
        let mut all = vec![("Action", action)];
        all.extend(params);
        self.call(&self.admin, "iam", &all)
    }

    /// Calls S3.
    pub(crate) fn s3(&self, who: &Credentials, method: Method, target: &str, body: &str) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        self.sign_and_send(who, "s3", request(method, path, query, body))
    }

    /// Makes a role that the account trusts and that may do everything; gives its ARN.
    pub(crate) fn role(&self, name: &str) -> String {
        let params = [
            ("RoleName", name),
            ("Path", "/ebbgate/"),
            ("AssumeRolePolicyDocument", TRUST_ACCOUNT),
            ("MaxSessionDuration", "7200"),
        ];
        let reply = self.iam("CreateRole", &params).ok();
        self.put_policy(name, "all", ALLOW_ALL).ok();
        reply.text("Arn").unwrap().to_owned()
    }

    /// Puts an inline policy on a role.
    pub(crate) fn put_policy(&self, role: &str, name: &str, document: &str) -> Reply {
        let params = [("RoleName", role), ("PolicyName", name), ("PolicyDocument", document)];
        self.iam("PutRolePolicy", &params)
    }

    /// Asks for a session; `more` parameters come last.
    pub(crate) fn assume(&self, who: &Credentials, role: &str, more: &[(&str, &str)]) -> Reply {
        let mut params = vec![("Action", "AssumeRole"), ("RoleArn", role)];
        if !more.iter().any(|(name, _)| *name == "RoleSessionName") {
            params.push(("RoleSessionName", "grant-1"));
        }
        params.extend(more);
        self.call(who, "sts", &params)
    }

    /// The credentials of a session.
    pub(crate) fn session(&self, role: &str, more: &[(&str, &str)]) -> Credentials {
        let reply = self.assume(&self.admin, role, more).ok();
        session_of(&reply)
    }
}

/// The credentials in an answer of `AssumeRole`.
pub(crate) fn session_of(reply: &Reply) -> Credentials {
    credentials(
        reply.text("AccessKeyId").unwrap(),
        reply.text("SecretAccessKey").unwrap(),
        reply.text("SessionToken"),
    )
}
