//! Webhooks by the Standard Webhooks specification (standardwebhooks.com, version 1): a stable id,
//! the time of the attempt, and an HMAC over both and the body, so that a receiver can tell ours
//! from others' and drop what it has seen.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ebbgate_broker_ports::{Channel, ChannelError, store::OutboxItem};
use ebbgate_domain::{Timestamp, names::ChannelName};
use reqwest::{
    Client, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use url::{Host, Url};

use crate::public_address::is_public;

/// The longest time for one delivery: connecting, sending, and the answer's head.
const PATIENCE: Duration = Duration::from_secs(8);
/// The longest that a receiver may ask us to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// A signing secret: `whsec_` and 24 to 64 bytes in base64.
pub struct WebhookSecret(hmac::Key);

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// Why a webhook channel cannot be set up. Never says the secret.
#[derive(Debug, thiserror::Error)]
pub enum InvalidWebhookSettings {
    /// No such secret.
    #[error("the secret is not whsec_ followed by 24 to 64 bytes in base64")]
    Secret,
    /// No https, and not allowed to do without.
    #[error("use an https:// URL; http:// is for private addresses (allow_private: true)")]
    Scheme,
    /// An address on a private network.
    #[error("{0} is not on the public internet: say allow_private: true if that is what you want")]
    Private(String),
    /// Name and password in the URL would end up in logs.
    #[error("the URL holds a user name or password: the signature is what proves who calls")]
    Credentials,
    /// The certificate authority's file, or the platform's TLS.
    #[error("cannot set up TLS")]
    Tls(#[from] reqwest::Error),
}

impl WebhookSecret {
    /// Reads a secret as it is written in settings.
    ///
    /// # Errors
    /// [`InvalidWebhookSettings::Secret`].
    pub fn parse(text: &SecretString) -> Result<Self, InvalidWebhookSettings> {
        let bytes = text
            .expose_secret()
            .trim()
            .strip_prefix("whsec_")
            .and_then(|text| BASE64_STANDARD.decode(text).ok())
            .filter(|bytes| (24..=64).contains(&bytes.len()))
            .ok_or(InvalidWebhookSettings::Secret)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The signature over id, time and body: `v1,` and base64.
    fn sign(&self, id: &str, at: i64, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{id}.{at}.{body}").as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(tag))
    }
}

/// How to reach one receiver.
#[derive(Debug)]
pub struct WebhookSettings {
    /// The channel's name.
    pub name: ChannelName,
    /// Where to.
    pub url: Url,
    /// What signs each call.
    pub secret: WebhookSecret,
    /// Whether private addresses and plain http may be called.
    pub allow_private: bool,
    /// A certificate authority to trust beside the platform's, in PEM.
    pub authority: Option<Vec<u8>>,
}

/// Posts each notice as JSON to one URL.
#[derive(Debug)]
pub struct WebhookChannel {
    name: ChannelName,
    url: Url,
    secret: WebhookSecret,
    client: Client,
}

impl WebhookChannel {
    /// A channel to this receiver. Nothing is called yet.
    ///
    /// # Errors
    /// The URL may not be called, or TLS cannot be set up.
    pub fn new(settings: WebhookSettings) -> Result<Self, InvalidWebhookSettings> {
        let WebhookSettings { name, url, secret, allow_private, authority } = settings;
        check(&url, allow_private)?;
        let mut client = Client::builder()
            .timeout(PATIENCE)
            // A redirect would take the call where nobody has looked.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("ebbgate/", env!("CARGO_PKG_VERSION")));
        if !allow_private {
            client = client.dns_resolver(Arc::new(PublicOnly));
        }
        if let Some(pem) = authority {
            client = client.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem)?);
        }
        Ok(Self { name, url, secret, client: client.build()? })
    }

    async fn post(&self, item: &OutboxItem, now: Timestamp) -> Result<(), Failed> {
        let id = item.id.to_string();
        let at = now.as_second();
        let body = body(item).to_string();
        let response = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", self.secret.sign(&id, at, &body))
            .body(body)
            .send()
            .await
            // The URL may hold a token in its path.
            .map_err(|error| Failed::Call(error.without_url()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(Failed::Refused { status, wait: asked_to_wait(response.headers()) })
    }
}

/// Why a delivery failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the receiver could not be called")]
    Call(#[source] reqwest::Error),
    #[error("the receiver answered {status}")]
    Refused { status: StatusCode, wait: Option<Duration> },
}

#[async_trait]
impl Channel for WebhookChannel {
    fn name(&self) -> &ChannelName {
        &self.name
    }

    async fn deliver(&self, item: &OutboxItem, now: Timestamp) -> Result<(), ChannelError> {
        self.post(item, now).await.map_err(|failed| {
            let wait = match &failed {
                Failed::Refused { wait, .. } => *wait,
                Failed::Call(_) => None,
            };
            ChannelError { channel: self.name.clone(), wait, source: failed.into() }
        })
    }
}

/// What is posted. Fields are only ever added.
fn body(item: &OutboxItem) -> Value {
    let notice = &item.notice;
    let facts: Map<_, _> = notice
        .facts
        .iter()
        .map(|fact| (fact.label.clone(), Value::from(fact.value.clone())))
        .collect();
    json!({
        "type": notice.event,
        "timestamp": item.at.to_string(),
        "data": {
            "request": notice.request.to_string(),
            "grant": notice.grant.map(|grant| grant.to_string()),
            "to": notice.to.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "text": notice.text,
            "facts": facts,
        },
    })
}

/// How long the receiver asks us to wait (RFC 9110, 10.2.3); a date counts as nothing.
fn asked_to_wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

fn check(url: &Url, allow_private: bool) -> Result<(), InvalidWebhookSettings> {
    let secure = url.scheme() == "https";
    if !(secure || allow_private && url.scheme() == "http") {
        return Err(InvalidWebhookSettings::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidWebhookSettings::Credentials);
    }
    // An address in the URL never comes before the resolver.
    let address = match url.host() {
        Some(Host::Ipv4(address)) => Some(address.into()),
        Some(Host::Ipv6(address)) => Some(address.into()),
        _ => None,
    };
    match address {
        Some(address) if !allow_private && !is_public(address) => {
            Err(InvalidWebhookSettings::Private(address.to_string()))
        }
        _ => Ok(()),
    }
}

/// Resolves names to public addresses only, at each connection anew: what a name meant when it was
/// looked at says nothing of what it means when it is called (DNS rebinding).
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let all: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<_> = all.into_iter().filter(|one| is_public(one.ip())).collect();
            if public.is_empty() {
                return Err(InvalidWebhookSettings::Private(name.as_str().to_owned()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// The example of the Standard Webhooks specification.
    #[test]
    fn signs_as_the_specification_does() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let secret = WebhookSecret::parse(&secret.into()).unwrap();
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[rstest]
    #[case("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    #[case("whsec_c2hvcnQ=")]
    #[case("whsec_no base64!")]
    fn a_bad_secret_is_refused_and_not_told(#[case] text: &str) {
        let error = WebhookSecret::parse(&text.to_owned().into()).unwrap_err();
        assert!(!error.to_string().contains(text), "{error}");
    }

    #[rstest]
    #[case("https://hooks.example.com/x", false, true)]
    #[case("http://hooks.example.com/x", false, false)]
    #[case("http://127.0.0.1:1/x", true, true)]
    #[case("https://169.254.169.254/latest", false, false)]
    #[case("https://[::1]/", false, false)]
    #[case("https://0x7f.1/", false, false)]
    #[case("https://user:pw@hooks.example.com/", true, false)]
    #[case("file:///etc/passwd", true, false)]
    fn looks_at_the_url(#[case] url: &str, #[case] allow_private: bool, #[case] good: bool) {
        assert_eq!(check(&url.parse().unwrap(), allow_private).is_ok(), good);
    }
}
