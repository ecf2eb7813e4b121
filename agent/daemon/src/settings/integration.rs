//! One integration in `agent.yaml`, and the connector that it makes.

use std::{path::Path, str::FromStr, sync::Arc, time::Duration};

use ebbgate_connector_api::{Connector, ConnectorError};
use ebbgate_connector_mysql::{MysqlConnector, MysqlSettings};
use ebbgate_connector_postgres::{PostgresConnector, PostgresSettings};
use ebbgate_domain::names::IntegrationName;
use ebbgate_settings::{MapReader, Mistakes, Node, Place, SecretReference};
use secrecy::SecretString;

use super::span::Span;

/// A broker that is there is heard of every ten seconds; one word may get lost.
const SHORTEST_GRACE: Duration = Duration::from_secs(30);

/// One integration. Debug shows no secret.
#[derive(Debug)]
pub(super) struct Integration {
    pub(super) name: IntegrationName,
    /// Where its URL stands.
    pub(super) place: Place,
    kind: Kind,
    url: String,
    pub(super) password: Option<SecretString>,
    /// How long its grants outlive the broker's last word; none: until their deadlines.
    pub(super) grace: Option<Duration>,
}

/// What an agent can run.
#[derive(Debug, Clone)]
enum Kind {
    Postgres {
        /// Its standbys, on which grants' sessions must end, too.
        replicas: Vec<String>,
    },
    Mysql {
        /// From where people may log in, as an account's host part.
        client_host: Option<String>,
    },
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "postgres" => Ok(Self::Postgres { replicas: Vec::new() }),
            "mysql" => Ok(Self::Mysql { client_host: None }),
            other => Err(format!(
                "'{other}' is no kind of integration that an agent runs: use postgres or mysql"
            )),
        }
    }
}

impl Integration {
    /// Reads one; none where it has a mistake that leaves nothing to go on with.
    pub(super) fn read(beside: &Path, node: Node, mistakes: &mut Mistakes) -> Option<Self> {
        let mut map = node.map(mistakes)?;
        let name = map.required("name");
        let mut kind = map.required::<Kind>("kind");
        let url = map.need("url");
        let place = url.as_ref().map(|node| node.place);
        let url = url.and_then(|node| node.parse(map.mistakes));
        let password = password(beside, &mut map);
        let grace = grace(&mut map);
        match &mut kind {
            Some(Kind::Postgres { replicas }) => {
                let listed = map.take("replicas").map_or_else(Vec::new, Node::list);
                *replicas = listed.into_iter().filter_map(|url| url.parse(map.mistakes)).collect();
            }
            Some(Kind::Mysql { client_host }) => *client_host = map.optional("client_host"),
            None => {}
        }
        map.finish();
        Some(Self { name: name?, place: place?, kind: kind?, url: url?, password, grace })
    }

    /// Makes its connector, for a server that serves `owner`.
    ///
    /// # Errors
    /// The settings make no sense to it.
    pub(super) fn connector(
        &self,
        owner: Option<String>,
    ) -> Result<Arc<dyn Connector>, ConnectorError> {
        let (name, url, password) = (self.name.clone(), self.url.clone(), self.password.clone());
        Ok(match &self.kind {
            Kind::Postgres { replicas } => {
                let mut settings = PostgresSettings::new(name, url, password)
                    .with_replicas(replicas.iter().cloned());
                settings.owner = owner;
                Arc::new(PostgresConnector::new(settings)?)
            }
            Kind::Mysql { client_host } => {
                let mut settings = MysqlSettings::new(name, url, password);
                settings.owner = owner;
                if let Some(host) = client_host {
                    settings.client_host.clone_from(host);
                }
                Arc::new(MysqlConnector::new(settings)?)
            }
        })
    }
}

/// `partition: until_deadline` or `partition: {grace: 5m}`.
fn grace(map: &mut MapReader<'_>) -> Option<Duration> {
    let node = map.take("partition")?;
    if node.text() == Some("until_deadline") {
        return None;
    }
    if let Some(other) = node.text() {
        let wrong =
            format!("'{other}' is no partition policy: use until_deadline or {{grace: 5m}}");
        map.mistakes.add(node.place, wrong);
        return None;
    }
    let mut map = node.map(map.mistakes)?;
    let grace = map.need("grace").and_then(|node| {
        let Span(grace) = node.parse(map.mistakes)?;
        if grace < SHORTEST_GRACE {
            map.mistakes.add(node.place, "a heartbeat comes every 10 s: give it at least 30s");
        }
        Some(grace)
    });
    map.finish();
    grace
}

fn password(beside: &Path, map: &mut MapReader<'_>) -> Option<SecretString> {
    let node = map.take("password")?;
    let reference: SecretReference = node.parse(map.mistakes)?;
    reference.resolve(beside).map_err(|error| map.mistakes.add(node.place, error)).ok()
}
