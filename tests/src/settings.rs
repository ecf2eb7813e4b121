//! What the operator of a world writes: settings, users and flows.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{
    aws::{Account, REGION},
    people::Person,
    postgres::Postgres,
    secrets::token_hash,
};

/// One database server as the broker knows it.
#[derive(Debug, Clone)]
pub struct DatabaseIntegration {
    /// The integration's name.
    pub name: String,
    /// `postgres` or `mysql`.
    pub kind: &'static str,
    /// The database on it that people may ask for.
    pub database: String,
    /// The server's port on 127.0.0.1.
    pub port: u16,
}

/// `ebbgate.yaml`.
pub fn ebbgate(
    data: &Path,
    broker_port: u16,
    agents: &[&str],
    databases: &[DatabaseIntegration],
    aws: Option<&Account>,
) -> String {
    let mut text = format!(
        "listen: 127.0.0.1:{broker_port}
public_url: https://127.0.0.1:{broker_port}
data_dir: {data}
store: sqlite://{data}/ebbgate.db
identity: {{users: users.yaml}}
administrators: [group:platform]
auditors: [group:audit]
flows: [flows/*.yaml]
integrations:
",
        data = data.display()
    );
    let at = agents.iter().map(|agent| format!("agent/{agent}")).collect::<Vec<_>>().join(", ");
    let at = if agents.len() == 1 { at } else { format!("[{at}]") };
    for DatabaseIntegration { name, kind, database, port } in databases {
        // Writing to a String never fails.
        let _infallible = write!(
            text,
            "  - name: {name}
    kind: {kind}
    at: {at}
    address: 127.0.0.1:{port}
    resources:
      - {{name: {database}, tags: {{env: prod}}}}
"
        );
    }
    if let Some(account) = aws {
        let _infallible = write!(
            text,
            "  - name: prod
    kind: aws
    region: {REGION}
    ceiling_role: {}
    endpoint: {}
    resources:
      - {{type: s3, name: reports, tags: {{env: prod}}}}
",
            account.ceiling_role, account.endpoint
        );
    }
    text
}

/// `ebbgate.yaml` with the store in the database `ebbgate` of this server.
pub fn with_postgres_store(text: &str, server: &Postgres) -> String {
    let url = server.url("ebbgate");
    let store = |line: &str| match line.strip_prefix("store: ") {
        Some(_) => format!("store: {url}\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(store).collect()
}

/// `ebbgate.yaml` where flows are applied and not in files.
pub fn with_applied_flows(text: &str) -> String {
    text.replacen("flows: [flows/*.yaml]", "flows: applied", 1)
}

/// `users.yaml`: everybody, with the hash of their token.
pub fn users(tokens: &BTreeMap<Person, String>) -> String {
    let mut text = "users:\n".to_owned();
    for (person, token) in tokens {
        let name = person.name();
        let capital = name[..1].to_uppercase() + &name[1..];
        let _infallible = writeln!(
            text,
            "  - {{id: {}, name: {capital}, groups: [{}], tokens: [\"{}\"], disabled: {}}}",
            person.id(),
            person.group(),
            token_hash(token),
            person.disabled()
        );
    }
    text
}

/// A scope and a flow without approval for a database beside the shop's: `NAME-auto`.
pub fn automatic_flow(integration: &str, kind: &str) -> String {
    format!(
        "kind: Scope
name: {integration}-db
match: {{integration: {integration}, type: {kind}}}
---
kind: AccessFlow
name: {integration}-auto
requesters: [group:data]
access: [{{scope: {integration}-db, permissions: [select]}}]
approval: automatic
duration: {{default: 30m, max: 1h}}
"
    )
}

/// The flows that every world has, by file name.
pub fn standard_flows(with_aws: bool) -> Vec<(String, String)> {
    let mut flows = vec![("shop.yaml".to_owned(), include_str!("../flows/shop.yaml").to_owned())];
    if with_aws {
        flows.push(("reports.yaml".to_owned(), include_str!("../flows/reports.yaml").to_owned()));
    }
    flows
}

/// Flows on the shop's database about when access begins, more time, emergencies and leavers.
pub const LIFE_FLOWS: &str = include_str!("../flows/life.yaml");

/// Flows on the shop's database about who must approve, and an on-call schedule.
pub const APPROVAL_FLOWS: &str = include_str!("../flows/approval.yaml");

/// Writes a file, with the folders above it.
///
/// # Errors
/// When that fails.
pub fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
