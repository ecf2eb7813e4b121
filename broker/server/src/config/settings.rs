//! `ebbgate.yaml`: where the broker listens, keeps its records, and what it gives access to.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ebbgate_domain::{
    inventory::{Resource, ResourceKind},
    names::{AgentName, IntegrationName},
    notice::Route,
    principal::Subject,
};
use secrecy::SecretString;
use url::Url;

use super::channels::{self, ChannelSetting};
use ebbgate_settings::{MapReader, Mistakes, Node, Place, documents};

/// The settings file, checked. Paths are absolute or relative to the working directory.
#[derive(Debug)]
pub(crate) struct Settings {
    pub listen: SocketAddr,
    pub public_url: Url,
    pub data_dir: PathBuf,
    pub store: StoreUrl,
    pub tls: Option<TlsFiles>,
    pub users: PathBuf,
    pub administrators: Vec<Subject>,
    pub auditors: Vec<Subject>,
    pub integrations: Vec<Integration>,
    /// The names of all integrations, of those with mistakes too: flows may refer to them.
    pub integration_names: BTreeSet<IntegrationName>,
    pub channels: Vec<ChannelSetting>,
    pub flows: FlowSource,
    pub guardrails: Vec<FilePattern>,
}

/// Where flows come from.
#[derive(Debug, Clone)]
pub(crate) enum FlowSource {
    /// Files.
    Files(Vec<FilePattern>),
    /// Administrators apply them; the store keeps them.
    Applied,
}

impl Settings {
    /// Which channel carries what.
    pub(crate) fn routes(&self) -> Vec<Route> {
        self.channels.iter().map(|channel| channel.route.clone()).collect()
    }

    /// The integrations that applied flows may refer to; none where flows are in files.
    pub(crate) fn applied_flows(&self) -> Option<BTreeSet<IntegrationName>> {
        matches!(self.flows, FlowSource::Applied).then(|| self.integration_names.clone())
    }
}

/// Where records are kept.
#[derive(Debug)]
pub(crate) enum StoreUrl {
    Sqlite(PathBuf),
    /// May hold a password, hence secret.
    Postgres(SecretString),
}

/// A certificate of one's own for people and tools; agents always get the broker's.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A pattern for files and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct FilePattern {
    pub glob: String,
    pub place: Place,
}

/// One integration.
#[derive(Debug, Clone)]
pub(crate) struct Integration {
    pub name: IntegrationName,
    pub target: Target,
    pub resources: Vec<Resource>,
}

/// What is there and who runs its connector.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// A database server; one of these agents runs its connector.
    Database {
        kind: ResourceKind,
        at: Vec<AgentName>,
        host: String,
        port: u16,
    },
    Aws(Aws),
}

impl Target {
    /// The agents that run its connector; none where the broker does.
    pub(crate) fn agents(&self) -> &[AgentName] {
        match self {
            Self::Database { at, .. } => at,
            Self::Aws(_) => &[],
        }
    }
}

/// An AWS account; its connector runs in the broker.
#[derive(Debug, Clone)]
pub(crate) struct Aws {
    pub region: String,
    pub ceiling_role: String,
    pub assume_role: Option<String>,
    pub endpoint: Option<Url>,
}

impl Aws {
    /// The account's number, out of the ceiling role's ARN.
    pub(crate) fn account(&self) -> &str {
        self.ceiling_role.split(':').nth(4).unwrap_or_default()
    }
}

/// Reads the settings; `base` is where relative paths begin.
pub(crate) fn read(text: &str, base: &Path, mistakes: &mut Mistakes) -> Option<Settings> {
    let Some(document) = documents(text, mistakes).into_iter().next() else {
        mistakes.add(Place { line: 0, column: 0 }, "the file says nothing");
        return None;
    };
    let mut map = document.map(mistakes)?;
    let listen = map.optional("listen").unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7400)));
    let public_url = map.required("public_url");
    let data_dir = map.required::<PathBuf>("data_dir").map(|path| base.join(path));
    let store = map.need("store").and_then(|node| store(&node, base, map.mistakes));
    let tls = map.take("tls").and_then(|node| tls(node, base, map.mistakes));
    let users = map.need("identity").and_then(|node| {
        let mut map = node.map(map.mistakes)?;
        let users = map.required::<PathBuf>("users").map(|path| base.join(path));
        map.finish();
        users
    });
    let administrators = map.parsed_list("administrators");
    let auditors = map.parsed_list("auditors");
    let nodes = map.take("integrations").map_or_else(Vec::new, Node::list);
    let mut integration_names = BTreeSet::new();
    let integrations = nodes
        .into_iter()
        .filter_map(|node| integration(node, &mut integration_names, map.mistakes))
        .collect();
    let channels = map.take("channels");
    let channels = channels::read(channels, base, map.mistakes);
    let flows = map.need("flows").map(|node| flows(node, base, map.mistakes));
    let guardrails = map.take("guardrails").map_or_else(Vec::new, Node::list);
    let guardrails = patterns(&guardrails, base, map.mistakes);
    map.finish();
    Some(Settings {
        listen,
        public_url: public_url?,
        data_dir: data_dir?,
        store: store?,
        tls,
        users: users?,
        administrators,
        auditors,
        integrations,
        integration_names,
        channels,
        flows: flows?,
        guardrails,
    })
}

/// `applied`, or patterns for files.
fn flows(node: Node, base: &Path, mistakes: &mut Mistakes) -> FlowSource {
    if node.text() == Some("applied") {
        return FlowSource::Applied;
    }
    FlowSource::Files(patterns(&node.list(), base, mistakes))
}

fn patterns(nodes: &[Node], base: &Path, mistakes: &mut Mistakes) -> Vec<FilePattern> {
    let pattern = |node: &Node| {
        let pattern: PathBuf = node.parse(mistakes)?;
        let glob = base.join(pattern).to_string_lossy().into_owned();
        Some(FilePattern { glob, place: node.place })
    };
    nodes.iter().filter_map(pattern).collect()
}

fn store(node: &Node, base: &Path, mistakes: &mut Mistakes) -> Option<StoreUrl> {
    let text = expand(node, mistakes)?;
    if let Some(path) = text.strip_prefix("sqlite://") {
        return Some(StoreUrl::Sqlite(base.join(path)));
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Some(StoreUrl::Postgres(text.into()));
    }
    mistakes.add(node.place, "write sqlite:///path/to/file.db or postgres://user@host/database");
    None
}

/// Replaces `${NAME}` by the environment's variable; for values that may hold a secret.
fn expand(node: &Node, mistakes: &mut Mistakes) -> Option<String> {
    let mut rest: &str = &node.parse::<String>(mistakes)?;
    let mut expanded = String::new();
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else {
            mistakes.add(node.place, "'${' without '}'");
            return None;
        };
        let Ok(value) = std::env::var(name) else {
            mistakes.add(node.place, format!("the environment has no variable {name}"));
            return None;
        };
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = tail;
    }
    expanded.push_str(rest);
    Some(expanded)
}

fn tls(node: Node, base: &Path, mistakes: &mut Mistakes) -> Option<TlsFiles> {
    let mut map = node.map(mistakes)?;
    let certificate = map.required::<PathBuf>("certificate").map(|path| base.join(path));
    let key = map.required::<PathBuf>("key").map(|path| base.join(path));
    map.finish();
    Some(TlsFiles { certificate: certificate?, key: key? })
}

fn integration(
    node: Node,
    names: &mut BTreeSet<IntegrationName>,
    mistakes: &mut Mistakes,
) -> Option<Integration> {
    let mut map = node.map(mistakes)?;
    let place = map.place;
    let name: Option<IntegrationName> = map.required("name");
    if let Some(name) = &name
        && !names.insert(name.clone())
    {
        map.mistakes.add(place, format!("the integration '{name}' is defined twice"));
    }
    let kind = map.need("kind")?;
    let (target, fixed) = match kind.parse::<String>(map.mistakes)?.as_str() {
        "postgres" => database(&mut map, ResourceKind::Postgres),
        "mysql" => database(&mut map, ResourceKind::Mysql),
        "aws" => (aws(&mut map).map(Target::Aws), None),
        other => {
            map.mistakes.add(
                kind.place,
                format!("unknown kind '{other}': known are postgres, mysql and aws"),
            );
            return None;
        }
    };
    let nodes = map.take("resources").map_or_else(Vec::new, Node::list);
    let resources: Vec<_> = name
        .as_ref()
        .map(|name| {
            nodes.into_iter().filter_map(|node| resource(node, name, fixed, map.mistakes)).collect()
        })
        .unwrap_or_default();
    map.finish();
    Some(Integration { name: name?, target: target?, resources })
}

fn database(map: &mut MapReader<'_>, kind: ResourceKind) -> (Option<Target>, Option<ResourceKind>) {
    let place = map.place;
    let at = map.need("at").map(|node| {
        let nodes = node.list();
        if nodes.is_empty() {
            map.mistakes.add(place, "name at least one agent under 'at', such as agent/db-eu");
        }
        let mut agents = Vec::new();
        for node in nodes {
            match agent(&node, map.mistakes) {
                Some(agent) if agents.contains(&agent) => {
                    map.mistakes.add(node.place, format!("the agent '{agent}' is named twice"));
                }
                Some(agent) => agents.push(agent),
                None => {}
            }
        }
        agents
    });
    let address = map.need("address").and_then(|node| {
        let text: String = node.parse(map.mistakes)?;
        let parsed = text.rsplit_once(':').and_then(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some((host.to_owned(), port.parse::<u16>().ok()?)).filter(|(host, _)| !host.is_empty())
        });
        if parsed.is_none() {
            map.mistakes.add(node.place, "write host:port, where people's own tools connect");
        }
        parsed
    });
    let target =
        at.zip(address).map(|(at, (host, port))| Target::Database { kind, at, host, port });
    (target, Some(kind))
}

fn agent(node: &Node, mistakes: &mut Mistakes) -> Option<AgentName> {
    let text: String = node.parse(mistakes)?;
    let Some(name) = text.strip_prefix("agent/") else {
        mistakes.add(node.place, "write at: agent/NAME, an agent beside the database");
        return None;
    };
    name.parse().map_err(|error| mistakes.add(node.place, error)).ok()
}

fn aws(map: &mut MapReader<'_>) -> Option<Aws> {
    let region = map.required("region");
    let ceiling_role = map.need("ceiling_role").and_then(|node| role_arn(&node, map.mistakes));
    let assume_role = map.take("assume_role").and_then(|node| role_arn(&node, map.mistakes));
    let endpoint = map.optional("endpoint");
    Some(Aws { region: region?, ceiling_role: ceiling_role?, assume_role, endpoint })
}

fn role_arn(node: &Node, mistakes: &mut Mistakes) -> Option<String> {
    let text: String = node.parse(mistakes)?;
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let good = matches!(parts.as_slice(), ["arn", partition, "iam", "", account, role]
        if partition.starts_with("aws")
            && account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && role.strip_prefix("role/").is_some_and(|name| !name.is_empty()));
    if !good {
        mistakes.add(node.place, "write a role's ARN: arn:aws:iam::123456789012:role/NAME");
        return None;
    }
    Some(text)
}

fn resource(
    node: Node,
    integration: &IntegrationName,
    fixed: Option<ResourceKind>,
    mistakes: &mut Mistakes,
) -> Option<Resource> {
    let map = node.map(mistakes)?;
    let place = map.place;
    let resource = ebbgate_flow_files::resource(map, integration, fixed)?;
    if resource.kind == ResourceKind::Ec2 {
        let none = "no connector of this version gives access to EC2 instances: leave it out";
        mistakes.add(place, none);
    }
    Some(resource)
}
