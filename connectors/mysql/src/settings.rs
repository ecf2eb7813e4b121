//! What the connector is told: which server, as whom, and for how long to wait for it.

use std::time::Duration;

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_domain::names::IntegrationName;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{ConnectOptions as _, mysql::MySqlConnectOptions};
use url::Url;

/// Which server, and how to treat it.
// No Debug: the URL may hold a password that is yet to be refused.
pub struct MysqlSettings {
    /// The integration whose grants these are.
    pub integration: IntegrationName,
    /// `mysql://USER@HOST:PORT/`, without a password. TLS as `ssl-mode` says, `preferred` by default.
    pub url: String,
    /// The password of that user, if it logs in with one.
    pub password: Option<SecretString>,
    /// How many sessions a grant may have at a time.
    pub connection_limit: u16,
    /// From where people may log in, as an account's host part: `%`, `10.0.%`, `192.0.2.7`.
    pub client_host: String,
    /// Whom the server serves: an installation and an integration in it. None: whoever comes.
    pub owner: Option<String>,
    /// How long to wait.
    pub limits: Limits,
}

/// How long to wait for the server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a connection, log-in included.
    pub connect: Duration,
    /// For a statement.
    pub statement: Duration,
    /// For a lock.
    pub lock: Duration,
    /// For the sessions of one grant to end, once they are told to.
    pub sessions: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            statement: Duration::from_secs(15),
            lock: Duration::from_secs(3),
            sessions: Duration::from_secs(10),
        }
    }
}

impl MysqlSettings {
    /// Settings with the usual limits, at most 20 sessions a grant, from any host.
    pub fn new(
        integration: IntegrationName,
        url: impl Into<String>,
        password: Option<SecretString>,
    ) -> Self {
        Self {
            integration,
            url: url.into(),
            password,
            connection_limit: 20,
            client_host: "%".to_owned(),
            owner: None,
            limits: Limits::default(),
        }
    }

    /// Claims the server for `owner`, and leaves alone one that somebody else has claimed.
    #[must_use]
    pub fn with_owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// How to connect.
    pub(crate) fn connect_options(&self) -> Result<MySqlConnectOptions, ConnectorError> {
        let refused = |what: &str, why: String| {
            let doing = format!("use the {what} of integration {}", self.integration);
            ConnectorError::new(ErrorKind::Invalid, doing).because(why)
        };
        let in_url = |why: &str| refused("URL", why.to_owned());
        // The parser's errors don't repeat the URL, which may hold a password.
        let url = Url::parse(&self.url).map_err(|error| in_url(&error.to_string()))?;
        if !matches!(url.scheme(), "mysql" | "mariadb") {
            return Err(in_url("it must begin with mysql://"));
        }
        if url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password") {
            return Err(in_url(
                "it holds a password; give that as 'password: file:PATH' or 'password: ${NAME}'",
            ));
        }
        if url.username().is_empty() {
            return Err(in_url("it names no user: mysql://USER@HOST:PORT/"));
        }
        let host_fits = (1..=60).contains(&self.client_host.len())
            && self
                .client_host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".:-_%/".contains(&b));
        if !host_fits {
            let why = format!("'{}' is no host part of an account, such as %", self.client_host);
            return Err(refused("client_host", why));
        }
        let mut options =
            MySqlConnectOptions::from_url(&url).map_err(|error| in_url(&error.to_string()))?;
        if let Some(password) = &self.password {
            options = options.password(password.expose_secret());
        }
        // The session's modes are set by us, in one go.
        Ok(options
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(Some("+00:00".to_owned()))
            .charset("utf8mb4")
            .disable_statement_logging())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn settings(url: &str) -> MysqlSettings {
        MysqlSettings::new("orders".parse().unwrap(), url, None)
    }

    #[rstest]
    #[case("mysql://ebb@db:3307/")]
    #[case("mysql://ebb@db")]
    #[case("mariadb://ebb@db/?ssl-mode=REQUIRED")]
    fn takes_a_url_without_a_password(#[case] url: &str) {
        settings(url).connect_options().unwrap();
    }

    #[rstest]
    #[case("mysql://ebb:sesame@db/", "it holds a password")]
    #[case("mysql://ebb@db/?password=sesame", "it holds a password")]
    #[case("postgres://ebb@db/", "it must begin with mysql://")]
    #[case("mysql://db/", "it names no user")]
    #[case("mysql://ebb:sesame@db:port", "invalid port")]
    #[case("mysql://ebb@db/?ssl-mode=maybe", "maybe")]
    fn refuses_what_it_cannot_use(#[case] url: &str, #[case] why: &str) {
        let error = settings(url).connect_options().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let chain = error.chain();
        assert!(chain.starts_with("could not use the URL of integration orders: "), "{chain}");
        assert!(chain.contains(why), "{chain}");
        assert!(!format!("{error:?}").contains("sesame"));
    }

    #[test]
    fn refuses_a_host_part_that_is_none() {
        let mut settings = settings("mysql://ebb@db/");
        settings.client_host = "10.0.%' OR".to_owned();
        let error = settings.connect_options().unwrap_err();
        assert!(error.chain().contains("use the client_host"), "{}", error.chain());
    }
}
