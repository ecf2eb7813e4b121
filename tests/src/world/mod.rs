//! A whole small world: one company with a shop's database, a bucket with reports, a broker, an
//! agent and people. Everything is real but AWS, and everything is gone when the world is dropped.

mod acts;
mod builder;
mod checks;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    agent::Agent, api::Api, aws::Account, broker::Broker, ebb::Ebb, fake_aws::FakeAws, link::Link,
    localstack::LocalStack, people::Person, postgres::Postgres, process::tail, secrets::HandedOut,
};

pub use acts::Login;
pub use builder::Builder;

/// What runs, to be stopped.
#[derive(Debug)]
enum RunningCloud {
    None,
    Fake(FakeAws),
    LocalStack { _running: LocalStack },
}

/// The world. Fields are public: a test reaches for what it needs.
#[derive(Debug)]
pub struct World {
    /// The broker.
    pub broker: Broker,
    /// The agent beside the databases.
    pub agent: Agent,
    /// Another agent of the same integrations, where this world was built with one.
    pub second_agent: Option<Agent>,
    /// The line between agents and broker, where this world was built with one.
    pub link: Option<Link>,
    /// The PostgreSQL servers by integration; `orders` has the shop's database.
    pub databases: BTreeMap<String, Postgres>,
    /// The broker's store, where it is not a file.
    pub store: Option<Postgres>,
    /// All secrets handed out so far.
    pub handed_out: HandedOut,
    account: Option<Account>,
    cloud: RunningCloud,
    tokens: BTreeMap<Person, String>,
    /// Whether the ends of all logs are shown when this is dropped.
    tells_logs: bool,
    // Last, so that it is removed when everything else is gone.
    dir: TempDir,
}

impl World {
    /// A world to be extended before it starts.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The usual world: a shop's database, no AWS.
    ///
    /// # Errors
    /// When something doesn't come up.
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// Shows no logs at the end: for programs whose output is their result, when all went well.
    pub fn keep_logs_to_itself(&mut self) {
        self.tells_logs = false;
    }

    /// Where everything of this world lies.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Somebody's way to the API.
    ///
    /// # Errors
    /// When the broker's CA can't be read.
    pub fn api(&self, person: Person) -> Result<Api> {
        Ok(self.broker.api()?.with_token(self.token(person)?))
    }

    /// Somebody's token.
    ///
    /// # Errors
    /// Never for a person of [`Person::ALL`].
    pub fn token(&self, person: Person) -> Result<&str> {
        self.tokens.get(&person).map(String::as_str).context("everybody has a token")
    }

    /// Somebody's `ebb`, freshly logged in.
    ///
    /// # Errors
    /// When the log-in fails.
    pub async fn ebb(&self, person: Person) -> Result<Ebb> {
        let endpoint = self.account.as_ref().map(|account| account.endpoint.to_string());
        Ebb::login(self.dir.path(), person, self.token(person)?, &self.broker, endpoint).await
    }

    /// The server with the shop's database.
    ///
    /// # Errors
    /// Never; the shop is always there.
    pub fn orders(&self) -> Result<&Postgres> {
        self.databases.get("orders").context("every world has the integration orders")
    }

    /// The same, to stop and start it.
    ///
    /// # Errors
    /// Never; the shop is always there.
    pub fn orders_mut(&mut self) -> Result<&mut Postgres> {
        self.databases.get_mut("orders").context("every world has the integration orders")
    }

    /// The AWS account.
    ///
    /// # Errors
    /// When this world was built without.
    pub fn account(&self) -> Result<&Account> {
        self.account.as_ref().context("this world has no AWS account: build it with .aws()")
    }

    /// The second agent.
    ///
    /// # Errors
    /// When this world was built without.
    pub fn second_mut(&mut self) -> Result<&mut Agent> {
        self.second_agent.as_mut().context("build the world with .second_agent()")
    }

    /// The line between agents and broker.
    ///
    /// # Errors
    /// When this world was built without.
    pub fn link(&self) -> Result<&Link> {
        self.link.as_ref().context("build the world with .link()")
    }

    /// The running fake of AWS.
    ///
    /// # Errors
    /// When this world was built without.
    pub fn fake_aws(&self) -> Result<&FakeAws> {
        match &self.cloud {
            RunningCloud::Fake(fake) => Ok(fake),
            RunningCloud::None | RunningCloud::LocalStack { .. } => {
                anyhow::bail!("this world has no fake-aws: build it with .aws()")
            }
        }
    }
}

impl Drop for World {
    /// Shows the ends of all logs; test runners show them for a failed test only.
    fn drop(&mut self) {
        if !self.tells_logs {
            return;
        }
        let agents = std::iter::once(&self.agent).chain(&self.second_agent).map(Agent::log);
        let ours = std::iter::once(self.broker.log()).chain(agents).map(|log| (log, 30));
        let servers = self.databases.values().map(|server| (server.log().to_owned(), 8));
        for (log, lines) in ours.chain(servers) {
            if fs::metadata(&log).is_ok_and(|about| about.len() > 0) {
                eprintln!("--- {}\n{}", log.display(), tail(&log, lines));
            }
        }
    }
}

/// The id of a request's only grant.
///
/// # Errors
/// When it has none or several.
pub fn grant_id(request: &Value) -> Result<&str> {
    match request["items"].as_array().map(Vec::as_slice) {
        Some([item]) => item["grant_id"].as_str().context("the grant's id"),
        _ => anyhow::bail!("not one item in {request}"),
    }
}

/// A text member of a JSON object.
///
/// # Errors
/// When it isn't there or is no text.
pub fn text<'a>(object: &'a Value, name: &str) -> Result<&'a str> {
    object[name].as_str().with_context(|| format!("no {name} in {object}"))
}

/// A grant's deadline.
///
/// # Errors
/// When it has none.
pub fn deadline(grant: &Value) -> Result<Timestamp> {
    text(grant, "deadline")?.parse().with_context(|| format!("the deadline of {grant}"))
}
