//! What the connector is told: which server, as whom, and for how long to wait for it.

use std::time::Duration;

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_domain::names::IntegrationName;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use url::Url;

/// Which server, and how to treat it.
// No Debug: the URL may hold a password that is yet to be refused.
pub struct PostgresSettings {
    /// The integration whose grants these are.
    pub integration: IntegrationName,
    /// `postgres://USER@HOST:PORT/DATABASE`, without a password. The database is the one from which
    /// roles are managed, `postgres` where none is named. TLS as `sslmode` says, `prefer` by default.
    pub url: String,
    /// The password of that user, if it logs in with one.
    pub password: Option<SecretString>,
    /// URLs of the server's standbys, which the same user and password open. Their sessions are
    /// ended with a grant, too; nobody else sees them.
    pub replicas: Vec<String>,
    /// Whose server this is, as `INSTALLATION/INTEGRATION`: it is claimed for that, and where another
    /// owner has claimed it, nothing is granted or swept. None: nothing is claimed.
    pub owner: Option<String>,
    /// How many sessions a grant may have at a time.
    pub connection_limit: u16,
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

impl PostgresSettings {
    /// Settings with the usual limits and at most 20 sessions a grant.
    pub fn new(
        integration: IntegrationName,
        url: impl Into<String>,
        password: Option<SecretString>,
    ) -> Self {
        Self {
            integration,
            url: url.into(),
            password,
            replicas: Vec::new(),
            owner: None,
            connection_limit: 20,
            limits: Limits::default(),
        }
    }

    /// The same, with standbys.
    #[must_use]
    pub fn with_replicas(mut self, urls: impl IntoIterator<Item = String>) -> Self {
        self.replicas = urls.into_iter().collect();
        self
    }

    /// The same, on behalf of an owner.
    #[must_use]
    pub fn with_owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// How to connect. Whatever the server, the database or the role has set for its sessions, ours
    /// are who they are, find nothing but the catalog under a name without a schema, and may write.
    /// The owner of a database, and so whoever was granted that, sets what he likes for it.
    pub(crate) fn connect_options(&self, url: &str) -> Result<PgConnectOptions, ConnectorError> {
        let refused = |why: String| {
            let doing = format!("use the URL of integration {}", self.integration);
            ConnectorError::new(ErrorKind::Invalid, doing).because(why)
        };
        // The parser's errors don't repeat the URL, which may hold a password.
        let url = Url::parse(url).map_err(|error| refused(error.to_string()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(refused("it must begin with postgres://".to_owned()));
        }
        if url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password") {
            return Err(refused(
                "it holds a password; give that as 'password: file:PATH' or 'password: ${NAME}'"
                    .to_owned(),
            ));
        }
        if url.username().is_empty() && !url.query_pairs().any(|(key, _)| key == "user") {
            return Err(refused("it names no user: postgres://USER@HOST/DATABASE".to_owned()));
        }
        let mut options =
            PgConnectOptions::from_url(&url).map_err(|error| refused(error.to_string()))?;
        if options.get_database().is_none() {
            options = options.database("postgres");
        }
        if let Some(password) = &self.password {
            options = options.password(password.expose_secret());
        }
        let milliseconds = |limit: Duration| limit.as_millis().max(1).to_string();
        Ok(options.disable_statement_logging().application_name("ebbgate-agent").options([
            ("statement_timeout", milliseconds(self.limits.statement).as_str()),
            ("lock_timeout", milliseconds(self.limits.lock).as_str()),
            ("idle_in_transaction_session_timeout", milliseconds(self.limits.statement).as_str()),
            ("search_path", "pg_catalog,pg_temp"),
            ("role", "none"),
            ("standard_conforming_strings", "on"),
            ("default_transaction_read_only", "off"),
            ("default_transaction_isolation", "read committed"),
            ("client_min_messages", "warning"),
            // A role that is gone must not come back with a crash, nor be missed on a standby.
            ("synchronous_commit", "on"),
            // The looks are long and always the same: planning them takes longer than they do.
            ("plan_cache_mode", "force_generic_plan"),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn options(url: &str) -> Result<PgConnectOptions, ConnectorError> {
        PostgresSettings::new("orders".parse().unwrap(), url, None).connect_options(url)
    }

    #[rstest]
    #[case("postgres://ebb@db:5433/shop", "shop")]
    #[case("postgresql://ebb@db?sslmode=require", "postgres")]
    #[case("postgres:///?host=/run/postgresql&user=ebb", "postgres")]
    fn takes_a_url_without_a_password(#[case] url: &str, #[case] database: &str) {
        let options = options(url).unwrap();
        assert_eq!(options.get_database(), Some(database));
    }

    #[rstest]
    #[case("postgres://ebb:sesame@db/shop", "it holds a password")]
    #[case("postgres://ebb@db/shop?password=sesame", "it holds a password")]
    #[case("mysql://ebb@db/shop", "it must begin with postgres://")]
    #[case("postgres://db/shop", "it names no user")]
    #[case("postgres://ebb:sesame@db:port", "invalid port")]
    #[case("postgres://ebb@db/shop?sslmode=maybe", "maybe")]
    fn refuses_what_it_cannot_use(#[case] url: &str, #[case] why: &str) {
        let error = options(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(
            error.chain().starts_with("could not use the URL of integration orders: "),
            "{}",
            error.chain()
        );
        assert!(error.chain().contains(why), "{}", error.chain());
        assert!(!format!("{error:?}").contains("sesame"));
    }
}
