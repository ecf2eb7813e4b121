//! A world's PostgreSQL server with the shop's database and the connector's account. Each world has
//! its own, since agents remove every role with their mark that they don't know: two worlds on one
//! server would clean up after each other.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use ebbgate_testkit_postgres::PrivateServer;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

use crate::secrets::{random_hex, scram_verifier};

/// Beside the testkit's: everything is logged, so that a search for secrets means something.
const SETTINGS: [&str; 4] = [
    "max_connections = 200",
    "max_prepared_transactions = 20",
    "log_connections = on",
    "log_statement = all",
];

/// A server, running or stopped.
#[derive(Debug)]
pub struct Postgres {
    server: PrivateServer,
    log: PathBuf,
    connector_password: String,
}

impl Postgres {
    /// The account that the agent's connector logs in with.
    pub const CONNECTOR: &'static str = "ebbgate";

    /// Who owns the database and what is in it; the connector acts for them when it grants rights.
    const OWNER: &'static str = "shopkeeper";

    /// Starts a server and makes one database and the connector's account.
    ///
    /// # Errors
    /// When PostgreSQL is missing or doesn't start.
    pub async fn start(database: &str) -> Result<Self> {
        let server = PrivateServer::start_with(&SETTINGS).context("start PostgreSQL")?;
        let log = server.log_path();
        let server = Self { server, log, connector_password: random_hex()? };
        server.furnish(database).await.context("furnish PostgreSQL")?;
        Ok(server)
    }

    /// Starts it again with what it held.
    ///
    /// # Errors
    /// When it runs already or doesn't come up.
    pub fn resume(&mut self) -> Result<()> {
        self.server.start_again().context("start PostgreSQL again")
    }

    /// Stops it in an orderly way: sessions are ended, nothing is lost.
    ///
    /// # Errors
    /// When it doesn't run or doesn't stop.
    pub fn stop(&mut self) -> Result<()> {
        self.server.stop().context("stop PostgreSQL")
    }

    /// Kills it, as a crash would; it recovers when started again.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn crash(&mut self) -> Result<()> {
        self.server.kill9().context("kill PostgreSQL")
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The password of [`Self::CONNECTOR`].
    pub fn connector_password(&self) -> &str {
        &self.connector_password
    }

    /// Where it logs every statement.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How to connect as somebody, over TCP with SCRAM, without logging on our side.
    pub fn options(&self, user: &str, database: &str, password: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port())
            .username(user)
            .password(password)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
            .disable_statement_logging()
    }

    /// How a program connects as superuser.
    pub fn url(&self, database: &str) -> String {
        let (port, password) = (self.port(), self.server.password());
        format!("postgres://postgres:{password}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// A connection as superuser.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn superuser(&self, database: &str) -> Result<PgConnection> {
        self.options("postgres", database, self.server.password())
            .connect()
            .await
            .context("connect to PostgreSQL as superuser")
    }

    /// The roles that exist for grants, by name: those that may or might log in, without ours.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub async fn grant_roles(&self) -> Result<BTreeSet<String>> {
        let mut connection = self.superuser("postgres").await?;
        let roles: Vec<String> =
            sqlx::query_scalar("SELECT rolname FROM pg_roles WHERE rolname ~ 'grt_[0-9a-f]{32}$'")
                .fetch_all(&mut connection)
                .await
                .context("list the roles of grants")?;
        connection.close().await.context("close a connection")?;
        Ok(roles.into_iter().collect())
    }

    /// Makes the shop's database and the connector's account, by its password's verifier: every
    /// statement is logged.
    async fn furnish(&self, database: &str) -> Result<()> {
        let mut connection = self.superuser("postgres").await?;
        let verifier = scram_verifier(&self.connector_password);
        let accounts = format!(
            "CREATE ROLE {owner} NOLOGIN;
             CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{verifier}';
             GRANT pg_signal_backend, pg_read_all_stats, {owner} TO {name}",
            owner = Self::OWNER,
            name = Self::CONNECTOR,
        );
        run(&mut connection, &accounts).await?;
        let owner = Self::OWNER;
        run(&mut connection, &format!("CREATE DATABASE {database} OWNER {owner}")).await?;
        connection.close().await.context("close a connection")?;

        let mut connection = self.superuser(database).await?;
        run(&mut connection, &format!("SET ROLE {owner}")).await?;
        run(&mut connection, include_str!("postgres/shop.sql")).await?;
        connection.close().await.context("close a connection")
    }
}

/// Runs statements that the harness itself wrote.
///
/// # Errors
/// When the server refuses one.
pub async fn run(connection: &mut PgConnection, script: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(script.to_owned()))
        .execute(connection)
        .await
        .with_context(|| format!("run {script}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_shows_grants_roles_and_logs_no_password() {
        let mut server = Postgres::start("shop").await.unwrap();
        let role = format!("ebbgate_grt_{}", "0".repeat(32));
        let mut superuser = server.superuser("shop").await.unwrap();
        run(&mut superuser, &format!("CREATE ROLE {role} LOGIN PASSWORD 'weak'")).await.unwrap();
        server.stop().unwrap();
        assert!(server.superuser("shop").await.is_err());
        server.resume().unwrap();
        let roles = server.grant_roles().await.unwrap();
        assert_eq!(roles.into_iter().collect::<Vec<_>>(), std::slice::from_ref(&role));

        let log = std::fs::read_to_string(server.log()).unwrap();
        assert!(log.contains("CREATE ROLE ebbgate_grt_"));
        assert!(!log.contains(server.server.password()));
        assert!(!log.contains(server.connector_password()));
        server.options(&role, "shop", "weak").connect().await.unwrap();
    }
}
