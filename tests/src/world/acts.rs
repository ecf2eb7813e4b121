//! What people do in a world, and waiting for what follows.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, sqlite::SqliteConnectOptions,
};

use super::{World, grant_id};
use crate::{
    aws::{Aws, Keys},
    people::Person,
    postgres::{self, Postgres},
    secrets::{random_hex, scram_verifier},
    waiting::{eventually, within},
};

/// How to log in to a database for a grant.
#[derive(Debug, Clone)]
pub struct Login {
    /// The account.
    pub user: String,
    /// The database.
    pub database: String,
    /// The port on 127.0.0.1.
    pub port: u16,
    /// What was made on this side; the broker only saw its verifier.
    pub password: String,
}

impl Login {
    /// Opens a session.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn open(&self, server: &Postgres) -> Result<PgConnection, sqlx::Error> {
        server.options(&self.user, &self.database, &self.password).connect().await
    }
}

impl World {
    /// Writes into the broker's store behind its back, in SQL that both databases understand.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn by_hand(&self, sql: &str) -> Result<()> {
        if let Some(server) = &self.store {
            let mut store = server.superuser("ebbgate").await?;
            postgres::run(&mut store, sql).await?;
            return store.close().await.context("close a connection");
        }
        let store = SqliteConnectOptions::new().filename(self.broker.store());
        let mut store = store.disable_statement_logging().connect().await?;
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut store).await;
        done.with_context(|| format!("run {sql}"))?;
        store.close().await.context("close the store")
    }

    /// Makes a request that needs no approval and waits until its only grant is active.
    ///
    /// # Errors
    /// When it is refused or doesn't become active.
    pub async fn active(
        &self,
        person: Person,
        flow: &str,
        resource: &str,
        duration: &str,
    ) -> Result<Value> {
        let wish = json!({"flow": flow, "resources": [{"id": resource}], "duration": duration});
        let request = self.api(person)?.post("requests", wish).await?.status(201)?;
        self.grant_in_state(grant_id(&request)?, "active").await
    }

    /// Waits until a grant is in a state, and gives it.
    ///
    /// # Errors
    /// When it doesn't get there.
    pub async fn grant_in_state(&self, grant: &str, state: &str) -> Result<Value> {
        self.grant_until(grant, state, |grant| grant["state"] == state).await
    }

    /// Waits until a grant is as wanted, and gives it.
    ///
    /// # Errors
    /// When it doesn't get there.
    pub async fn grant_until(
        &self,
        grant: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let adam = self.api(Person::Adam)?;
        let path = format!("grants/{grant}");
        // A teardown that failed backs off: patience is longer than usual.
        within(Duration::from_secs(60), &format!("grant {grant}: {what}"), async || {
            let grant = adam.get(&path).await?.status(200)?;
            ensure!(wanted(&grant), "{grant}");
            Ok(grant)
        })
        .await
    }

    /// Makes a password for an active database grant, registers its verifier and gives the log-in.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn database_login(&self, person: Person, grant: &str) -> Result<Login> {
        let password =
            self.handed_out.note(format!("a password of {}", person.name()), random_hex()?);
        let path = format!("grants/{grant}/credentials");
        let verifier = json!({"scram_verifier": scram_verifier(&password)});
        let api = self.api(person)?;
        // After a restart the agent may still be on its way back.
        let answer = eventually("the agent being there for a verifier", async || {
            let answer = api.post(&path, verifier.clone()).await?;
            ensure!(answer.status != 503, "{:?}", answer.body);
            Ok(answer)
        })
        .await?;
        let said = answer.status(200)?;
        let text = |name: &str| {
            let value = said[name].as_str().map(str::to_owned);
            value.with_context(|| format!("no {name} in {said}"))
        };
        let port = said["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        Ok(Login {
            user: text("user")?,
            database: text("database")?,
            port: port.with_context(|| format!("no port in {said}"))?,
            password,
        })
    }

    /// Fetches AWS credentials for an active grant.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn aws_login(&self, person: Person, grant: &str) -> Result<Aws> {
        let path = format!("grants/{grant}/credentials");
        let said = self.api(person)?.post(&path, json!({})).await?.status(200)?;
        let keys = Keys::from_api(&said)?;
        let name = person.name();
        self.handed_out.note(format!("a secret key of {name}"), &keys.secret_access_key);
        if let Some(token) = &keys.session_token {
            self.handed_out.note(format!("a session token of {name}"), token);
        }
        Ok(self.account()?.root.with_keys(keys))
    }
}
