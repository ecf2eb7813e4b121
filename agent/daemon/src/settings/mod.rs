//! `agent.yaml`: the broker, the agent's directory, and the integrations beside it.

mod integration;
mod span;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use ebbgate_agent_core::{Agent, AgentState};
use ebbgate_connector_api::Connector;
use ebbgate_domain::names::IntegrationName;
use ebbgate_settings::{MapReader, Mistake, Mistakes, Node, Place, documents};
use jiff::SignedDuration;
use url::Url;

use crate::{
    files::{self, FileError},
    identity::AgentDir,
};
use integration::Integration;
use span::Span;

/// The agent's settings.
#[derive(Debug)]
pub(crate) struct Settings {
    file: PathBuf,
    /// Where the broker is: `https://HOST:PORT`.
    pub broker: BrokerUrl,
    /// Where key, certificate and journal are.
    pub dir: PathBuf,
    /// When targets are searched for what should not be there.
    pub sweep: Sweep,
    integrations: Vec<Integration>,
}

/// When targets are searched for what should not be there, and how long that may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sweep {
    /// From one look to the next.
    pub every: Duration,
    /// How long a mark that nobody knows stays at least.
    pub orphan_age: Duration,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { every: Duration::from_secs(600), orphan_age: Duration::from_secs(60) }
    }
}

/// The connectors by their integrations' names.
pub(crate) type Connectors = BTreeMap<IntegrationName, Arc<dyn Connector>>;

/// The settings can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}", show(.0))]
    Mistakes(Vec<Mistake>),
}

/// As compilers tell them: `FILE:LINE:COLUMN: what is wrong`, one a line.
fn show(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The broker's address. Agents speak TLS and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerUrl(String);

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("the broker's address must be https://HOST:PORT: {why}");
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if url.scheme() != "https" {
            return Err(wrong("it does not begin with https://"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("it names no host"));
        }
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.path() != "/"
        {
            return Err(wrong("it holds more than that"));
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl BrokerUrl {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Settings {
    /// Reads `file`, and the passwords that it refers to.
    ///
    /// # Errors
    /// Every mistake in it, each with its place.
    pub(crate) fn load(file: &Path) -> Result<Self, SettingsError> {
        let text = files::read(file)?;
        let mut mistakes = Mistakes::of(file);
        let mut documents = documents(&text, &mut mistakes).into_iter();
        let settings = documents.next().and_then(|node| read(file, node, &mut mistakes));
        if let Some(second) = documents.next() {
            mistakes.add(second.place, "a second document: the settings are one");
        }
        match settings {
            Some(settings) if mistakes.is_empty() => Ok(settings),
            _ => {
                if mistakes.is_empty() {
                    mistakes.add(Place { line: 1, column: 1 }, "the file holds no settings");
                }
                let mut mistakes = mistakes.into_vec();
                mistakes.sort();
                Err(SettingsError::Mistakes(mistakes))
            }
        }
    }

    /// Makes the connectors. They connect when they must.
    ///
    /// # Errors
    /// An integration's settings make no sense to its connector.
    pub(crate) fn connectors(&self) -> Result<Connectors, SettingsError> {
        // Whom a server serves is told by the broker's authority: one broker, one installation.
        let installation = AgentDir::new(&self.dir).installation();
        let mut connectors = Connectors::new();
        let mut mistakes = Mistakes::of(&self.file);
        for integration in &self.integrations {
            let name = &integration.name;
            let owner = installation.as_ref().map(|installation| format!("{installation}/{name}"));
            match integration.connector(owner) {
                Ok(connector) => {
                    connectors.insert(name.clone(), connector);
                }
                Err(error) => mistakes.add(integration.place, error.chain()),
            }
        }
        if mistakes.is_empty() {
            return Ok(connectors);
        }
        Err(SettingsError::Mistakes(mistakes.into_vec()))
    }

    /// The agent that holds what `state` tells, and treats it as these settings say.
    pub(crate) fn agent(&self, state: AgentState) -> Agent {
        let names = self.integrations.iter().map(|integration| integration.name.clone()).collect();
        let agent = Agent::new(state, names).with_orphan_age(signed(self.sweep.orphan_age));
        self.integrations.iter().fold(agent, |agent, integration| match integration.grace {
            Some(grace) => agent.with_grace(integration.name.clone(), signed(grace)),
            None => agent,
        })
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn read(file: &Path, node: Node, mistakes: &mut Mistakes) -> Option<Settings> {
    let beside = file.parent().unwrap_or(Path::new(""));
    let mut map = node.map(mistakes)?;
    let broker = map.required("broker");
    let dir = map.required::<PathBuf>("dir");
    let sweep = sweep(&mut map);
    let mut names = BTreeSet::new();
    let mut integrations = Vec::new();
    for item in map.need("integrations").map_or_else(Vec::new, Node::list) {
        let place = item.place;
        let Some(integration) = Integration::read(beside, item, map.mistakes) else { continue };
        if !names.insert(integration.name.clone()) {
            let twice = format!("the integration '{}' is there twice", integration.name);
            map.mistakes.add(place, twice);
        }
        integrations.push(integration);
    }
    map.finish();
    let (file, dir) = (file.to_owned(), beside.join(dir?));
    Some(Settings { file, broker: broker?, dir, sweep, integrations })
}

fn sweep(map: &mut MapReader<'_>) -> Sweep {
    let usual = Sweep::default();
    let Some(mut map) = map.take("sweep").and_then(|node| node.map(map.mistakes)) else {
        return usual;
    };
    let every = map.take("every");
    let place = every.as_ref().map(|node| node.place);
    let every = every.and_then(|node| node.parse::<Span>(map.mistakes));
    if let (Some(Span(every)), Some(place)) = (every, place)
        && every.is_zero()
    {
        map.mistakes.add(place, "targets cannot be searched all the time: at least 1s");
    }
    let orphan_age = map.optional::<Span>("orphan_age");
    map.finish();
    Sweep {
        every: every.map_or(usual.every, |Span(every)| every),
        orphan_age: orphan_age.map_or(usual.orphan_age, |Span(age)| age),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use secrecy::ExposeSecret as _;

    use super::*;

    fn load(text: &str) -> Result<Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("agent.yaml");
        fs::write(&file, text).unwrap();
        fs::write(dir.path().join("orders.password"), "sesame\n").unwrap();
        let beside = format!("{}/", dir.path().display());
        Settings::load(&file).map_err(|error| error.to_string().replace(&beside, ""))
    }

    const GOOD: &str = "
broker: https://127.0.0.1:7400
dir: state
integrations:
  - {name: orders, kind: postgres, url: 'postgres://ebb@127.0.0.1:5432/postgres', password: file:orders.password}
  - {name: local, kind: postgres, url: postgres://ebb@localhost}
";

    #[test]
    fn takes_good_settings() {
        let settings = load(GOOD).unwrap();
        assert_eq!(settings.broker.as_str(), "https://127.0.0.1:7400");
        assert!(settings.dir.is_absolute() && settings.dir.ends_with("state"), "beside the file");
        let password = settings.integrations[0].password.as_ref().unwrap();
        assert_eq!(password.expose_secret(), "sesame");
        assert!(settings.integrations[1].password.is_none());
        assert!(!format!("{settings:?}").contains("sesame"));
    }

    #[test]
    fn tells_every_mistake_at_its_place() {
        let error = load(
            "broker: http://127.0.0.1:7400
dirr: x
integrations:
  - {name: Orders, kind: oracle, url: [a]}
  - {kind: postgres, url: postgres://ebb@db, password: sesame, colour: red}
  - nonsense
",
        )
        .unwrap_err();
        let expected = [
            "agent.yaml:1:1: the key 'dir' is missing",
            "agent.yaml:1:9: the broker's address must be https://HOST:PORT: it does not begin with https://",
            "agent.yaml:2:1: unknown key 'dirr': did you mean 'dir'?",
            "agent.yaml:4:12: 'Orders' is not a",
            "agent.yaml:4:26: 'oracle' is no kind of integration that an agent runs: use postgres or mysql",
            "agent.yaml:4:39: expected a single value, found a list",
            "agent.yaml:5:5: the key 'name' is missing",
            "agent.yaml:5:56: a secret does not belong here in plain text: write file:PATH or ${VARIABLE}",
            "agent.yaml:5:64: unknown key 'colour'",
            "agent.yaml:6:5: expected a map of keys, found a single value",
        ];
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{error}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{line}\nis not\n{expected}");
        }
        assert!(!error.contains("sesame"), "{error}");
    }

    #[test]
    fn tells_where_yaml_ends_to_be_yaml() {
        let error = load("broker: [\n").unwrap_err();
        assert!(error.starts_with("agent.yaml:"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    #[test]
    fn the_example_is_good_and_documents_every_key() {
        let example = include_str!("../../../../deploy/agent.example.yaml");
        let near = example.replace("/etc/ebbgate/crm", "orders").replace("/etc/ebbgate/", "");
        let settings = load(&near).unwrap();
        assert_eq!(settings.integrations.len(), 2);
        assert_eq!(settings.sweep, Sweep::default(), "what it says are the defaults");
        let of_all = ["broker:", "dir:", "integrations:", "sweep:", "every:", "orphan_age:"];
        let of_one = ["name:", "kind:", "url:", "password:", "replicas:", "partition:", "grace:"];
        for key in of_all.iter().chain(&of_one).chain(&["client_host:"]) {
            assert!(example.contains(key), "{key}");
        }
    }

    #[test]
    fn an_empty_file_and_a_second_document_are_mistakes() {
        assert_eq!(load("").unwrap_err(), "agent.yaml:1:1: the file holds no settings");
        let error = load(&format!("{GOOD}---\n{GOOD}")).unwrap_err();
        assert!(error.contains("a second document"), "{error}");
    }

    #[test]
    fn a_name_that_is_there_twice_is_a_mistake() {
        let error = load(&GOOD.replace("name: local", "name: orders")).unwrap_err();
        assert_eq!(error, "agent.yaml:6:5: the integration 'orders' is there twice");
    }

    #[test]
    fn broker_addresses() {
        assert_eq!(
            "https://b.example.com/".parse::<BrokerUrl>().unwrap().as_str(),
            "https://b.example.com"
        );
        for bad in [
            "b.example.com",
            "http://b",
            "https://",
            "https://u:p@b",
            "https://b/api",
            "https://b?x=1",
        ] {
            assert!(bad.parse::<BrokerUrl>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn what_the_connector_refuses_is_told_at_the_url() {
        let settings = load(&GOOD.replace("'postgres://ebb@127", "'mysql://ebb@127")).unwrap();
        let Err(error) = settings.connectors().map(|_| ()) else { panic!("it was taken") };
        assert!(error.to_string().contains("agent.yaml:5:41: could not use the URL"), "{error}");
        assert_eq!(load(GOOD).unwrap().connectors().unwrap().len(), 2);
    }
}
