//! What the settings say now: people, flows, resources, and how to reach each integration.

use std::{collections::BTreeMap, sync::Arc};

use ebbgate_domain::{
    Timestamp,
    delegation::Delegation,
    flow::Policies,
    inventory::Inventory,
    names::{AgentName, IntegrationName, PrincipalId},
    notice::Route,
    people::People,
    principal::{Directory, Subject},
};

/// Everything that decisions are taken on, as of one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The people.
    pub directory: Directory,
    /// The scopes and flows.
    pub policies: Policies,
    /// The resources.
    pub inventory: Inventory,
    /// Who may administer.
    pub administrators: Vec<Subject>,
    /// Who may read everything.
    pub auditors: Vec<Subject>,
    /// Which agents run the connector of an integration; those that the broker runs are not here.
    pub agents: BTreeMap<IntegrationName, Vec<AgentName>>,
    /// Which channel carries which notices.
    pub routes: Vec<Route>,
    /// Where people's own tools find each integration.
    pub addresses: BTreeMap<IntegrationName, Address>,
}

/// Where people's own tools find an integration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A PostgreSQL server.
    Postgres {
        /// Its host name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A MySQL or MariaDB server.
    Mysql {
        /// Its host name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// An AWS account.
    Aws {
        /// The region.
        region: String,
        /// The account's number.
        account: String,
        /// Another endpoint than AWS's own, for emulators.
        endpoint: Option<String>,
    },
}

impl Snapshot {
    /// Whose say counts at `now`, with these substitutes.
    pub fn people<'a>(&'a self, delegations: &'a [Delegation], now: Timestamp) -> People<'a> {
        let (directory, schedules) = (&self.directory, &self.policies.schedules);
        People { directory, schedules, delegations, now }
    }

    /// Whether this person may administer.
    pub fn is_administrator(&self, person: &PrincipalId) -> bool {
        self.administrators.iter().any(|subject| self.directory.matches(subject, person))
    }

    /// Whether this person may read everything.
    pub fn is_auditor(&self, person: &PrincipalId) -> bool {
        self.auditors.iter().any(|subject| self.directory.matches(subject, person))
    }
}

/// Where the present snapshot comes from; it is replaced as a whole when settings are read again.
pub trait Catalogue: Send + Sync {
    /// The snapshot in force.
    fn snapshot(&self) -> Arc<Snapshot>;
}
