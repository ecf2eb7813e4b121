//! The broker's address, checked once: a token must not travel in the clear.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The broker's address: https, or plain http on this very machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct BrokerUrl {
    text: String,
    loopback: bool,
}

/// Why a text is no broker's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a broker's URL: {reason}")]
pub(crate) struct InvalidBroker {
    text: String,
    reason: &'static str,
}

impl BrokerUrl {
    /// The address without a slash at its end.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// Whether it is plain http.
    pub(crate) fn is_plain(&self) -> bool {
        self.text.starts_with("http:")
    }
}

impl FromStr for BrokerUrl {
    type Err = InvalidBroker;

    fn from_str(text: &str) -> Result<Self, InvalidBroker> {
        // What stands before an @ could be a password: it isn't repeated.
        let shown = text.rsplit('@').next().unwrap_or_default().chars().take(200).collect();
        let invalid = |reason| InvalidBroker { text: shown, reason };
        let Ok(url) = Url::parse(text) else {
            return Err(invalid("write it like https://access.example.com"));
        };
        let loopback = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => return Err(invalid("it names no host")),
        };
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => {
                return Err(invalid("plain http is only for a broker on this machine, use https"));
            }
            _ => return Err(invalid("it must begin with https://")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid(
                "it must not hold a user or password; give the token to `ebb login`",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it must end with the host or a path"));
        }
        Ok(Self { text: url.as_str().trim_end_matches('/').to_owned(), loopback })
    }
}

impl TryFrom<String> for BrokerUrl {
    type Error = InvalidBroker;

    fn try_from(text: String) -> Result<Self, InvalidBroker> {
        text.parse()
    }
}

impl From<BrokerUrl> for String {
    fn from(broker: BrokerUrl) -> Self {
        broker.text
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://access.example.com/", "https://access.example.com")]
    #[case("https://example.com/ebb/", "https://example.com/ebb")]
    #[case("http://127.0.0.1:7400", "http://127.0.0.1:7400")]
    #[case("http://[::1]:7400", "http://[::1]:7400")]
    #[case("http://localhost:7400", "http://localhost:7400")]
    fn takes_https_and_loopback(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(text.parse::<BrokerUrl>().unwrap().as_str(), expected);
    }

    #[rstest]
    #[case("access.example.com", "write it like")]
    #[case("http://access.example.com", "plain http")]
    #[case("http://127.0.0.1.evil.example", "plain http")]
    #[case("ftp://x.example", "must begin with https")]
    #[case("https://ana:secret@x.example", "must not hold")]
    #[case("https://x.example/?a=b", "must end with")]
    fn says_why_others_are_refused(#[case] text: &str, #[case] reason: &str) {
        let error = text.parse::<BrokerUrl>().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
