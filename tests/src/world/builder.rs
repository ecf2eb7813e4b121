//! What a world shall have, and how it is put together.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Result;
use serde_json::json;

use super::{RunningCloud, World};
use crate::{
    agent::{Agent, Served},
    aws::Account,
    broker::Broker,
    cable::Cable,
    fake_aws::FakeAws,
    link::Link,
    localstack::LocalStack,
    mariadb::Mariadb,
    network::Port,
    people::Person,
    places,
    postgres::Postgres,
    secrets::{HandedOut, random_hex},
    settings::{self, DatabaseIntegration},
};

/// The agent that runs beside the databases.
const AGENT: &str = "db-eu";
/// The other one, where there are two.
const SECOND_AGENT: &str = "db-eu-2";

/// Where AWS's wire protocols are answered.
#[derive(Debug, Clone, Copy, Default)]
enum Cloud {
    #[default]
    None,
    Fake,
    LocalStack,
}

/// What a world shall have beside the usual.
#[derive(Debug, Default)]
pub struct Builder {
    cloud: Cloud,
    more_databases: Vec<String>,
    mariadb: bool,
    more_flows: Vec<(String, String)>,
    second_agent: bool,
    link: bool,
    two_networks: bool,
    movable_clock: bool,
    partition: String,
    agent_settings: String,
    channels: String,
    guardrails: Option<String>,
    postgres_store: bool,
    applied_flows: bool,
}

impl Builder {
    /// Adds a PostgreSQL server, an integration and a database of that name, with a flow
    /// `NAME-auto`; the same agent serves it.
    #[must_use]
    pub fn database(mut self, name: &str) -> Self {
        self.more_databases.push(name.to_owned());
        self
    }

    /// Adds a MariaDB server with the integration `pos` and its database `till`, and a flow `pos-auto`.
    #[must_use]
    pub fn mariadb(mut self) -> Self {
        self.mariadb = true;
        self
    }

    /// Adds a file under `flows/`.
    #[must_use]
    pub fn flow(mut self, file: &str, text: &str) -> Self {
        self.more_flows.push((file.to_owned(), text.to_owned()));
        self
    }

    /// Has a second agent for the same integrations.
    #[must_use]
    pub fn second_agent(mut self) -> Self {
        self.second_agent = true;
        self
    }

    /// Puts a line that can be frozen between agents and broker.
    #[must_use]
    pub fn link(mut self) -> Self {
        self.link = true;
        self
    }

    /// Puts broker and agent on networks of their own, joined by a cable.
    #[must_use]
    pub fn two_networks(mut self) -> Self {
        self.two_networks = true;
        self
    }

    /// Lets the agent's clock be moved.
    #[must_use]
    pub fn movable_clock(mut self) -> Self {
        self.movable_clock = true;
        self
    }

    /// Says what the agents do without their broker, as `partition` in `agent.yaml`.
    #[must_use]
    pub fn partition(mut self, policy: &str) -> Self {
        self.partition = format!(", partition: {policy}");
        self
    }

    /// Adds lines to the agents' settings.
    #[must_use]
    pub fn agent_settings(mut self, yaml: &str) -> Self {
        self.agent_settings = yaml.to_owned();
        self
    }

    /// Has these channels: a list under `channels` in `ebbgate.yaml`.
    #[must_use]
    pub fn channels(mut self, yaml: &str) -> Self {
        self.channels = format!("channels:\n{yaml}");
        self
    }

    /// Has guardrails, in the file `guardrails/rules.cedar`.
    #[must_use]
    pub fn guardrails(mut self, cedar: &str) -> Self {
        self.guardrails = Some(cedar.to_owned());
        self
    }

    /// Keeps the broker's store in a PostgreSQL server of its own.
    #[must_use]
    pub fn postgres_store(mut self) -> Self {
        self.postgres_store = true;
        self
    }

    /// Has its flows applied by an administrator, and not in files.
    #[must_use]
    pub fn applied_flows(mut self) -> Self {
        self.applied_flows = true;
        self
    }

    /// Has an AWS account, on fake-aws.
    #[must_use]
    pub fn aws(mut self) -> Self {
        self.cloud = Cloud::Fake;
        self
    }

    /// Has an AWS account, on LocalStack.
    #[must_use]
    pub fn localstack(mut self) -> Self {
        self.cloud = Cloud::LocalStack;
        self
    }

    /// Starts everything and waits until the agent is connected.
    ///
    /// # Errors
    /// When something doesn't come up.
    pub async fn start(self) -> Result<World> {
        let dir = places::new_world_dir()?;
        let (cloud, account) = start_cloud(self.cloud, dir.path()).await?;
        let mut databases = BTreeMap::new();
        let mut integrations = Vec::new();
        let shop = ("orders", "shop");
        let more = self.more_databases.iter().map(|name| (name.as_str(), name.as_str()));
        for (integration, database) in std::iter::once(shop).chain(more) {
            let server = Postgres::start(database).await?;
            integrations.push(DatabaseIntegration {
                name: integration.to_owned(),
                kind: "postgres",
                database: database.to_owned(),
                port: server.port(),
            });
            databases.insert(integration.to_owned(), server);
        }
        let mariadb = if self.mariadb { Some(Mariadb::start().await?) } else { None };
        integrations.extend(mariadb.as_ref().map(|server| DatabaseIntegration {
            name: Mariadb::INTEGRATION.to_owned(),
            kind: "mysql",
            database: Mariadb::DATABASE.to_owned(),
            port: server.port(),
        }));

        let handed_out = HandedOut::default();
        let mut tokens = BTreeMap::new();
        for person in Person::ALL {
            let token = handed_out
                .note(format!("{}'s token", person.name()), format!("ebu_{}", random_hex()?));
            tokens.insert(person, token);
        }
        let port = Port::reserve()?;
        let cable = if self.two_networks {
            let servers: Vec<_> =
                databases.values().map(|server| (server.port(), server.socket())).collect();
            Some(Cable::lay(dir.path(), port.number(), &servers).await?)
        } else {
            None
        };
        let folder = dir.path().join("broker");
        let text = settings::ebbgate(
            &folder.join("data"),
            port.number(),
            if self.second_agent { &[AGENT, SECOND_AGENT] } else { &[AGENT] },
            &integrations,
            account.as_ref(),
        );
        let store =
            if self.postgres_store { Some(Postgres::start("ebbgate").await?) } else { None };
        let text = match &store {
            Some(server) => settings::with_postgres_store(&text, server),
            None => text,
        };
        let text = if self.applied_flows { settings::with_applied_flows(&text) } else { text };
        // On both its loopback, for people, and its end of the cable, for the agent.
        let text = if cable.is_some() {
            text.replace("listen: 127.0.0.1", "listen: 0.0.0.0")
        } else {
            text
        };
        let text = format!("{text}{}", self.channels);
        let text = match &self.guardrails {
            Some(cedar) => {
                settings::write(&folder.join("guardrails/rules.cedar"), cedar)?;
                format!("{text}guardrails: [guardrails/*.cedar]\n")
            }
            None => text,
        };
        settings::write(&folder.join("ebbgate.yaml"), &text)?;
        settings::write(&folder.join("users.yaml"), &settings::users(&tokens))?;
        let more = self.more_databases.iter().map(|name| (name.as_str(), "postgres"));
        let more = more.chain(self.mariadb.then_some((Mariadb::INTEGRATION, "mysql")));
        let more =
            more.map(|(name, kind)| (format!("{name}.yaml"), settings::automatic_flow(name, kind)));
        let flows = settings::standard_flows(account.is_some()).into_iter().chain(more);
        for (file, text) in flows.chain(self.more_flows) {
            settings::write(&folder.join("flows").join(file), &text)?;
        }
        let environment = account.as_ref().map(Account::environment).unwrap_or_default();

        let link = if self.link { Some(Link::to(port.address()).await?) } else { None };
        let (brokers, agents) = match &cable {
            Some(cable) => (cable.on_brokers_network(), cable.on_agents_network()),
            None => (&[][..], &[][..]),
        };
        let agent = Agent::new(AGENT, dir.path().join("agent")).within(agents);
        let broker = Broker::new(folder, port, environment).within(brokers);
        let second_agent = Agent::new(SECOND_AGENT, dir.path().join("agent-2")).within(agents);
        let mut world = World {
            broker,
            agent: if self.movable_clock { agent.with_movable_clock() } else { agent },
            second_agent: self.second_agent.then_some(second_agent),
            link,
            cable,
            databases,
            store,
            mariadb,
            handed_out,
            account,
            cloud,
            tokens,
            tells_logs: true,
            dir,
        };
        world.broker.start().await?;
        if self.applied_flows {
            world.apply_folder().await?;
        }
        world.open(&self.partition, &self.agent_settings).await?;
        Ok(world)
    }
}

async fn start_cloud(cloud: Cloud, dir: &Path) -> Result<(RunningCloud, Option<Account>)> {
    match cloud {
        Cloud::None => Ok((RunningCloud::None, None)),
        Cloud::Fake => {
            let (running, account) = FakeAws::start(dir).await?;
            Ok((RunningCloud::Fake(running), Some(account)))
        }
        Cloud::LocalStack => {
            let (running, account) = LocalStack::start(dir).await?;
            Ok((RunningCloud::LocalStack { _running: running }, Some(account)))
        }
    }
}

impl World {
    /// Applies the files that lie in the broker's folder.
    async fn apply_folder(&self) -> Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.broker.folder().join("flows"))? {
            let entry = entry?;
            let text = fs::read_to_string(entry.path())?;
            files.push(json!({"name": entry.file_name().to_string_lossy(), "text": text}));
        }
        let adam = self.api(Person::Adam)?.with_header("if-none-match", "*");
        let body = Some(json!({ "files": files }));
        adam.send(reqwest::Method::PUT, "flows", body, None).await?.status(200)?;
        Ok(())
    }

    async fn open(&mut self, partition: &str, agent_settings: &str) -> Result<()> {
        let served: Vec<_> = self
            .databases
            .iter()
            .map(|(name, server)| Served {
                name: name.clone(),
                kind: "postgres",
                port: server.port(),
                user: Postgres::CONNECTOR,
                password: server.connector_password().to_owned(),
                more: partition.to_owned(),
            })
            .chain(self.mariadb.as_ref().map(|server| Served {
                name: Mariadb::INTEGRATION.to_owned(),
                kind: "mysql",
                port: server.port(),
                user: Mariadb::CONNECTOR,
                password: server.connector_password().to_owned(),
                more: partition.to_owned(),
            }))
            .collect();
        let adam = self.api(Person::Adam)?;
        let broker = match (&self.link, &self.cable) {
            (Some(link), _) => format!("https://127.0.0.1:{}", link.port()),
            (None, Some(_)) => format!("https://{}", Cable::broker_address(self.broker.port())),
            (None, None) => self.broker.url(),
        };
        for agent in std::iter::once(&mut self.agent).chain(&mut self.second_agent) {
            agent.write_settings(&broker, &served, agent_settings)?;
            agent.enroll(&broker, &adam, &self.handed_out).await?;
            agent.start()?;
            agent.connected(&adam).await?;
        }
        Ok(())
    }
}
