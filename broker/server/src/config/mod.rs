//! Settings: one YAML file, and the users file, flow files and guardrails that it names. Everything is
//! read and every mistake is told before anything starts.

mod applied;
mod channels;
mod guardrails;
mod live;
mod settings;
mod users;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use ebbgate_broker_identity::Tokens;
use ebbgate_broker_ports::{Address, Snapshot};
use ebbgate_domain::{
    flow::{Policies, Recipient},
    flow_set::FlowFile,
    inventory::{Inventory, ResourceKind},
    notice::{Reach, Route},
    principal::{Directory, Principal},
};

use ebbgate_settings::{Mistake, Mistakes, Severity};
pub(crate) use live::{FlowsInForce, LiveConfig};
use settings::FlowSource;
pub(crate) use settings::{Aws, Integration, Settings, StoreUrl, Target, TlsFiles};

/// Everything that the settings say, checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub settings: Settings,
    pub snapshot: Snapshot,
    pub tokens: Tokens,
    /// None of them where administrators apply flows: those are in the store.
    pub flows: FlowsInForce,
    /// What is no mistake yet somebody should look at.
    pub warnings: Vec<Mistake>,
}

/// All mistakes of all files, and the warnings among them.
#[derive(Debug)]
pub(crate) struct BadConfig(Vec<Mistake>);

impl std::error::Error for BadConfig {}

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.0 {
            writeln!(f, "{mistake}")?;
        }
        let mistakes = self.0.iter().filter(|mistake| mistake.is_error()).count();
        let s = if mistakes == 1 { "" } else { "s" };
        write!(f, "{mistakes} mistake{s} in the settings")
    }
}

/// Reads the settings file and all files that it names.
///
/// # Errors
/// Every mistake that was found, in the order of files and lines.
pub(crate) fn load(file: &Path) -> Result<Config, BadConfig> {
    let mut all = Vec::new();
    let Some(text) = read_file(file, &mut all) else {
        return Err(BadConfig(all));
    };
    let mut mistakes = Mistakes::of(file);
    let base = file.parent().unwrap_or(Path::new(".")).to_owned();
    let settings = settings::read(&text, &base, &mut mistakes);
    let integrations =
        settings.as_ref().map_or_else(BTreeSet::new, |settings| settings.integration_names.clone());
    let users_file = settings.as_ref().map(|settings| settings.users.clone());
    let patterns = match settings.as_ref().map(|settings| &settings.flows) {
        Some(FlowSource::Files(patterns)) => patterns.clone(),
        _ => Vec::new(),
    };
    let flow_files = files(&patterns, &mut mistakes);
    let patterns = settings.as_ref().map_or_else(Vec::new, |settings| settings.guardrails.clone());
    let guardrail_files = files(&patterns, &mut mistakes);
    all.extend(mistakes.into_vec());
    let users = users_file.map_or_else(users::Users::default, |file| read_users(&file, &mut all));
    let texts: Vec<_> = flow_files
        .iter()
        .filter_map(|file| Some((file.clone(), read_file(file, &mut all)?)))
        .collect();
    let mut policies = ebbgate_flow_files::read(&texts, Some(&integrations), &mut all);
    policies.guardrails = guardrails::read(&guardrail_files, &mut all);
    all.extend(doubts(file, &users.principals, &policies));
    let routes = settings.as_ref().map_or_else(Vec::new, Settings::routes);
    all.extend(unheard(file, &routes, &policies));
    all.sort();
    match settings {
        Some(settings) if !all.iter().any(Mistake::is_error) => {
            let snapshot = snapshot(&settings, users.principals, policies);
            let flows = FlowsInForce::of(named(texts, &base));
            let tokens = Tokens::new(users.tokens);
            Ok(Config { settings, snapshot, tokens, flows, warnings: all })
        }
        _ => Err(BadConfig(all)),
    }
}

/// Files by their names, relative to the settings where they lie below.
fn named(texts: Vec<(PathBuf, String)>, base: &Path) -> Vec<FlowFile> {
    let name = |path: &Path| path.strip_prefix(base).unwrap_or(path).to_string_lossy().into_owned();
    texts.into_iter().map(|(path, text)| FlowFile { name: name(&path), text }).collect()
}

/// What is doubtful about the flows' approvers as people are now.
fn doubts(file: &Path, principals: &[Principal], policies: &Policies) -> Vec<Mistake> {
    let directory = Directory::new(principals.iter().cloned());
    let doubts = policies.flows.values().flat_map(|flow| {
        let doubts = flow.doubts(&directory, &policies.schedules);
        doubts.into_iter().map(|doubt| format!("the flow '{}': {doubt}", flow.name))
    });
    let warning = |message| Mistake {
        file: file.to_owned(),
        place: None,
        message,
        severity: Severity::Warning,
    };
    doubts.map(warning).collect()
}

/// Flows that tell channels which are not there: nobody hears them.
fn unheard(file: &Path, routes: &[Route], policies: &Policies) -> Vec<Mistake> {
    let watched: BTreeSet<_> = routes
        .iter()
        .filter(|route| matches!(route.reach, Reach::Watchers { .. }))
        .map(|route| &route.channel)
        .collect();
    let told = policies.flows.values().flat_map(|flow| {
        let emergency = flow.break_glass.iter().flat_map(|rule| &rule.notify);
        flow.notify.iter().chain(emergency).map(|recipient| (&flow.name, recipient))
    });
    let unheard: BTreeSet<_> = told
        .filter_map(|(flow, recipient)| match recipient {
            Recipient::Channel(channel) if !watched.contains(channel) => Some((flow, channel)),
            _ => None,
        })
        .collect();
    let warning = |(flow, channel)| Mistake {
        file: file.to_owned(),
        place: None,
        message: format!(
            "the flow '{flow}' tells 'channel:{channel}', but 'channels' has no log or webhook of \
             that name"
        ),
        severity: Severity::Warning,
    };
    unheard.into_iter().map(warning).collect()
}

fn read_file(file: &Path, all: &mut Vec<Mistake>) -> Option<String> {
    std::fs::read_to_string(file)
        .map_err(|error| {
            all.push(Mistake::of_file(file, format!("cannot be read: {error}")));
        })
        .ok()
}

fn read_users(file: &Path, all: &mut Vec<Mistake>) -> users::Users {
    let Some(text) = read_file(file, all) else {
        return users::Users::default();
    };
    let mut mistakes = Mistakes::of(file);
    let users = users::read(&text, &mut mistakes);
    all.extend(mistakes.into_vec());
    users
}

/// Cases that try flows out lie beside them and are no flows.
fn is_test(path: &Path) -> bool {
    path.to_string_lossy().ends_with(ebbgate_flow_files::TEST_ENDING)
}

/// The files that these patterns name, each once.
fn files(patterns: &[settings::FilePattern], mistakes: &mut Mistakes) -> Vec<PathBuf> {
    let mut files = BTreeSet::new();
    for pattern in patterns {
        let found: Vec<_> = match glob::glob(&pattern.glob) {
            Ok(paths) => paths.flatten().filter(|path| !is_test(path)).collect(),
            Err(error) => {
                mistakes.add(pattern.place, format!("no pattern for files: {error}"));
                continue;
            }
        };
        if found.is_empty() {
            mistakes.add(pattern.place, format!("no file matches {}", pattern.glob));
        }
        files.extend(found);
    }
    files.into_iter().collect()
}

fn snapshot(settings: &Settings, principals: Vec<Principal>, policies: Policies) -> Snapshot {
    let addresses: BTreeMap<_, _> = settings
        .integrations
        .iter()
        .map(|integration| (integration.name.clone(), integration.address()))
        .collect();
    let agents = settings
        .integrations
        .iter()
        .filter(|integration| !integration.target.agents().is_empty())
        .map(|integration| (integration.name.clone(), integration.target.agents().to_vec()))
        .collect();
    Snapshot {
        agents,
        routes: settings.routes(),
        directory: Directory::new(principals),
        policies,
        inventory: Inventory::new(settings.integrations.iter().flat_map(|i| i.resources.clone())),
        administrators: settings.administrators.clone(),
        auditors: settings.auditors.clone(),
        addresses,
    }
}

impl Integration {
    fn address(&self) -> Address {
        match &self.target {
            Target::Database { kind: ResourceKind::Mysql, host, port, .. } => {
                Address::Mysql { host: host.clone(), port: *port }
            }
            Target::Database { host, port, .. } => {
                Address::Postgres { host: host.clone(), port: *port }
            }
            Target::Aws(aws) => Address::Aws {
                region: aws.region.clone(),
                account: aws.account().to_owned(),
                endpoint: aws
                    .endpoint
                    .as_ref()
                    .map(|url| url.as_str().trim_end_matches('/').to_owned()),
            },
        }
    }
}
