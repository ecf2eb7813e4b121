//! A thin client of the broker's HTTP API: it sends JSON and gives the answer as it came, so that a
//! test can look at refusals as closely as at successes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Certificate, Client, Method, header::HeaderMap};
use serde_json::Value;

/// What the broker answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What was asked, for reports.
    pub asked: String,
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; as a JSON string when it is something else.
    pub body: Value,
}

impl Answer {
    /// The body, if the status is a success.
    ///
    /// # Errors
    /// When it is not.
    pub fn success(self) -> Result<Value> {
        ensure!((200..300).contains(&self.status), "{self}");
        Ok(self.body)
    }

    /// The body, if the status is `status`.
    ///
    /// # Errors
    /// When it is another.
    pub fn status(self, status: u16) -> Result<Value> {
        ensure!(self.status == status, "instead of {status}: {self}");
        Ok(self.body)
    }

    /// The problem document, if it is a refusal with this status and code in the promised form
    /// (RFC 9457).
    ///
    /// # Errors
    /// When it is not.
    pub fn refused(self, status: u16, code: &str) -> Result<Value> {
        ensure!(
            self.status == status && self.body["code"] == code,
            "instead of {status} {code}: {self}"
        );
        let form = self.headers.get("content-type").map(|value| value.as_bytes().to_vec());
        ensure!(
            form.as_deref().is_some_and(|form| form.starts_with(b"application/problem+json")),
            "a refusal that is no problem document: {self}"
        );
        ensure!(
            self.body["type"] == format!("https://ebbgate.dev/errors/{code}")
                && self.body["status"] == status
                && self.body["title"].is_string()
                && self.body["detail"].is_string(),
            "a problem document that lacks something: {self}"
        );
        Ok(self.body)
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} was answered with {}: {}", self.asked, self.status, self.body)
    }
}

/// Somebody's way to the API.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    client: Client,
    token: Option<String>,
    headers: Vec<(&'static str, String)>,
}

impl Api {
    /// Speaks to the broker at `base`, trusting only the certificate authority in `ca` (PEM).
    ///
    /// # Errors
    /// When the certificate can't be read.
    pub fn new(base: &str, ca: &[u8]) -> Result<Self> {
        let client = Client::builder()
            .tls_certs_only([Certificate::from_pem(ca).context("read the broker's CA")?])
            .timeout(Duration::from_secs(30))
            .build()
            .context("make an HTTP client")?;
        Ok(Self { base: base.to_owned(), client, token: None, headers: Vec::new() })
    }

    /// The same with a token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same with a header more.
    #[must_use]
    pub fn with_header(&self, name: &'static str, value: &str) -> Self {
        let mut with = self.clone();
        with.headers.push((name, value.to_owned()));
        with
    }

    /// Reads `path`, which is under `/api/v1` unless it starts with a slash.
    ///
    /// # Errors
    /// When the broker can't be reached.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, None, None).await
    }

    /// Posts a body.
    ///
    /// # Errors
    /// When the broker can't be reached.
    pub async fn post(&self, path: &str, body: Value) -> Result<Answer> {
        self.send(Method::POST, path, Some(body), None).await
    }

    /// Posts a body with an Idempotency-Key.
    ///
    /// # Errors
    /// When the broker can't be reached.
    pub async fn post_once(&self, path: &str, key: &str, body: Value) -> Result<Answer> {
        self.send(Method::POST, path, Some(body), Some(key)).await
    }

    /// Puts flows in force, those that had this ETag being in force.
    ///
    /// # Errors
    /// When the broker can't be reached.
    pub async fn apply(&self, etag: &str, files: &Value) -> Result<Answer> {
        let body = serde_json::json!({ "files": files });
        self.with_header("if-match", etag).send(Method::PUT, "flows", Some(body), None).await
    }

    /// Any request.
    ///
    /// # Errors
    /// When the broker can't be reached.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        idempotency_key: Option<&str>,
    ) -> Result<Answer> {
        let slash = if path.starts_with('/') { "" } else { "/api/v1/" };
        let url = format!("{}{slash}{path}", self.base);
        let asked = format!("{method} {path}");
        let mut request = self.client.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.with_context(|| asked.clone())?;
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        let text = answer.text().await.with_context(|| format!("read the answer to {asked}"))?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { asked, status, headers, body })
    }

    /// All items of a list, page by page.
    ///
    /// # Errors
    /// When the broker refuses or can't be reached.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut next = path.to_owned();
        loop {
            let page = self.get(&next).await?.status(200)?;
            let found = page["items"].as_array().with_context(|| format!("{path}: no items"))?;
            items.extend(found.iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else {
                return Ok(items);
            };
            let joint = if path.contains('?') { '&' } else { '?' };
            let cursor: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
            next = format!("{path}{joint}cursor={cursor}");
        }
    }
}
