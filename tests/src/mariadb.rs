//! A world's MariaDB server, where a test asks for one: a till's database, and the connector's account
//! with the rights that the manual asks for and no others.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use ebbgate_testkit_mariadb::PrivateServer;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, MySqlConnection, Row as _,
    mysql::MySqlConnectOptions,
};

use crate::secrets::{native_password_hash, random_hex};

/// Beside the testkit's: everything is logged, so that a search for secrets means something.
const SETTINGS: [&str; 2] = ["general-log", "general-log-file=general.log"];

/// A server, running or stopped.
#[derive(Debug)]
pub struct Mariadb {
    server: PrivateServer,
    connector_password: String,
}

impl Mariadb {
    /// The account that the agent's connector logs in with.
    pub const CONNECTOR: &'static str = "ebbgate";
    /// The integration.
    pub const INTEGRATION: &'static str = "pos";
    /// The database that people may ask for; its table `sales` has one row, `tea`.
    pub const DATABASE: &'static str = "till";

    /// Starts a server and makes the database and the connector's account.
    ///
    /// # Errors
    /// When MariaDB is missing or doesn't start.
    pub async fn start() -> Result<Self> {
        let server = tokio::task::spawn_blocking(|| PrivateServer::start_with(&SETTINGS)).await;
        let server = server.context("wait for MariaDB")?.context("start MariaDB")?;
        let server = Self { server, connector_password: random_hex()? };
        let (name, database) = (Self::CONNECTOR, Self::DATABASE);
        let hash = native_password_hash(&server.connector_password);
        server
            .run(&format!(
                "CREATE DATABASE {database};
                 CREATE TABLE {database}.sales (item text);
                 INSERT INTO {database}.sales VALUES ('tea');
                 CREATE USER {name} IDENTIFIED VIA mysql_native_password USING '{hash}';
                 GRANT CREATE USER, PROCESS, CONNECTION ADMIN, SET USER ON *.* TO {name};
                 GRANT SELECT, UPDATE ON mysql.* TO {name};
                 GRANT ALL PRIVILEGES ON {database}.* TO {name} WITH GRANT OPTION"
            ))
            .await
            .context("furnish MariaDB")?;
        Ok(server)
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
    pub fn statements(&self) -> PathBuf {
        self.server.directory().join("data/general.log")
    }

    /// Where it tells how it is.
    pub fn log(&self) -> PathBuf {
        self.server.log_path()
    }

    /// The folder with the program `mariadb`.
    pub fn client_folder(&self) -> Option<&Path> {
        self.server.client().parent()
    }

    /// The users that exist for grants, by name.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub async fn grant_users(&self) -> Result<BTreeSet<String>> {
        let look = r"SELECT User FROM mysql.global_priv WHERE User LIKE 'ebb\_%'";
        Ok(self.column(look).await?.into_iter().collect())
    }

    /// How many sessions users of grants have.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub async fn grant_sessions(&self) -> Result<usize> {
        let look = r"SELECT USER FROM information_schema.PROCESSLIST WHERE USER LIKE 'ebb\_%'";
        Ok(self.column(look).await?.len())
    }

    /// Runs statements as root.
    ///
    /// # Errors
    /// When the server refuses one.
    pub async fn run(&self, script: &str) -> Result<()> {
        let mut root = self.root().await?;
        let script = AssertSqlSafe(script.to_owned());
        sqlx::raw_sql(script).execute(&mut root).await.context("run a script on MariaDB")?;
        root.close().await.context("close a connection")
    }

    /// The first column of what a query finds, as root.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn column(&self, query: &str) -> Result<Vec<String>> {
        let mut root = self.root().await?;
        let rows = sqlx::raw_sql(AssertSqlSafe(query.to_owned())).fetch_all(&mut root).await;
        let rows = rows.context("ask MariaDB")?;
        root.close().await.context("close a connection")?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        rows.iter().map(|row| Ok(text(row.try_get_unchecked(0)?))).collect()
    }

    async fn root(&self) -> Result<MySqlConnection> {
        let url = self.server.url();
        let options: MySqlConnectOptions = url.parse().context("read the URL of MariaDB")?;
        let options = options.disable_statement_logging();
        options.connect().await.context("connect to MariaDB as root")
    }
}
