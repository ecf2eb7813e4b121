//! The HTTP client: the person's token on each call, roots beside the system's, repeats that can do
//! no harm because every POST carries its own Idempotency-Key.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use reqwest::{Certificate, Method, StatusCode, header, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use url::form_urlencoded;

use super::{
    error::{ApiError, Problem},
    types::Page,
};
use crate::{broker_url::BrokerUrl, config::Login, random};

/// Before each repeat of a call that got no answer: a restart of the broker takes about so long.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An agent has its own, shorter deadline to register a credential with a target.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The API's largest page.
const PAGE: &str = "200";

/// Speaks to one broker as one person.
pub(crate) struct Client {
    http: reqwest::Client,
    broker: BrokerUrl,
    token: SecretString,
}

impl Client {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// The CA file can't be read or holds no certificate; there are no roots to trust.
    pub(crate) fn new(login: &Login) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("ebb/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            // An API doesn't redirect, and the token goes to nobody else.
            .redirect(redirect::Policy::none())
            .https_only(!login.broker.is_plain());
        if login.broker.is_loopback() {
            builder = builder.no_proxy();
        }
        if let Some(path) = &login.ca_file {
            let pem = fs::read(path)
                .with_context(|| format!("cannot read the CA file {}", path.display()))?;
            let roots = Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("cannot use the CA file {}", path.display()))?;
            anyhow::ensure!(
                !roots.is_empty(),
                "the CA file {} holds no certificate",
                path.display()
            );
            builder = builder.tls_certs_merge(roots);
        }
        let http = builder.build().context(
            "cannot set up TLS (is the ca-certificates package there? else name a --ca-file)",
        )?;
        Ok(Self { http, broker: login.broker.clone(), token: login.token.clone() })
    }

    /// The broker that it speaks to.
    pub(crate) fn broker(&self) -> &BrokerUrl {
        &self.broker
    }

    /// Reads something below `/api/v1`.
    ///
    /// # Errors
    /// As [`ApiError`] says.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ApiError> {
        if query.is_empty() {
            return self.call(Method::GET, path, |request| request).await;
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        self.call(Method::GET, &format!("{path}?{query}"), |request| request).await
    }

    /// Reads a list to its end.
    ///
    /// # Errors
    /// As [`ApiError`] says.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, ApiError> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = query.to_vec();
            query.push(("limit", PAGE));
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Page<T> = self.get(path, &query).await?;
            items.extend(page.items);
            match page.next_cursor {
                // A cursor that stands still would have us ask for ever.
                Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => return Ok(items),
            }
        }
    }

    /// Does something below `/api/v1`, once, however often it has to be sent.
    ///
    /// # Errors
    /// As [`ApiError`] says, or there is no randomness for the key.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let key = random::token()?;
        let send =
            |request: reqwest::RequestBuilder| request.header("idempotency-key", &key).json(body);
        Ok(self.call(Method::POST, path, send).await?)
    }

    /// Puts something below `/api/v1` in the place of what has this ETag. The broker takes the same
    /// twice for done, so that it may be sent again.
    ///
    /// # Errors
    /// As [`ApiError`] says.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        tag: &str,
    ) -> Result<T, ApiError> {
        let send =
            |request: reqwest::RequestBuilder| request.header(header::IF_MATCH, tag).json(body);
        self.call(Method::PUT, path, send).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        with: impl Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Result<T, ApiError> {
        let mut pauses = PAUSES.iter();
        loop {
            let url = format!("{}/api/v1{path}", self.broker);
            let request =
                self.http.request(method.clone(), url).bearer_auth(self.token.expose_secret());
            let error = match with(request).send().await {
                Ok(answer) => match self.read(answer, &method, path).await {
                    Err(error @ ApiError::Unreachable { .. }) => error,
                    done => return done,
                },
                Err(error) => {
                    let failed = ApiError::unreachable(&self.broker, &error);
                    // Who has waited that long needn't wait again; a request that can't even be
                    // made won't be made by a repeat.
                    if error.is_timeout() || error.is_builder() {
                        return Err(failed);
                    }
                    failed
                }
            };
            match pauses.next() {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(error),
            }
        }
    }

    async fn read<T: DeserializeOwned>(
        &self,
        answer: reqwest::Response,
        method: &Method,
        path: &str,
    ) -> Result<T, ApiError> {
        let status = answer.status();
        let is_problem = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
        let body =
            answer.bytes().await.map_err(|error| ApiError::unreachable(&self.broker, &error))?;
        let strange = |cause: Option<&serde_json::Error>| {
            ApiError::strange(&self.broker, format!("{method} {path}"), status.as_u16(), cause)
        };
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| strange(Some(&error)));
        }
        if is_problem {
            let mut problem: Problem =
                serde_json::from_slice(&body).map_err(|error| strange(Some(&error)))?;
            problem.status = status.as_u16();
            return Err(problem.into());
        }
        match status {
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(ApiError::gateway(&self.broker, status.as_u16())),
            _ => Err(strange(None)),
        }
    }
}
