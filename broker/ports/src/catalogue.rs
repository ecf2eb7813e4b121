//! What the settings say now: people, flows, resources, and how to reach each integration.

use std::{collections::BTreeMap, sync::Arc};

use ebbgate_domain::{
    Timestamp,
    delegation::Delegation,
    flow::Policies,
    flow_set::FlowFile,
    inventory::Inventory,
    names::{AgentName, IntegrationName, PrincipalId},
    notice::Route,
    people::People,
    principal::{Directory, Subject},
};

use crate::store::Applied;

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

    /// Where applied flows are put in force; none where flows are in files.
    fn applied(&self) -> Option<&dyn AppliedFlows> {
        None
    }
}

/// Where flows are put in force that administrators apply.
pub trait AppliedFlows: Send + Sync {
    /// The number of those in force; 0 where none ever were.
    fn number(&self) -> u64;

    /// What these files would change of what is in force.
    ///
    /// # Errors
    /// The mistakes in them.
    fn plan(&self, files: &[FlowFile]) -> Result<FlowPlan, Vec<FlowMistake>>;

    /// Puts flows in force, all at once; none where nobody knows which they are.
    ///
    /// # Errors
    /// The mistakes in them, which they have with other settings than those that they were applied
    /// with. No flows are in force then.
    fn put_in_force(&self, applied: &Applied) -> Result<(), Vec<FlowMistake>>;
}

/// What files would change, and what somebody should look at in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowPlan {
    /// Documents that would be new: `AccessFlow data-pii`.
    pub added: Vec<String>,
    /// Documents that would differ.
    pub changed: Vec<String>,
    /// Documents that would go.
    pub removed: Vec<String>,
    /// What is doubtful, with its place.
    pub warnings: Vec<String>,
}

/// A mistake in a file with flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowMistake {
    /// `FILE:LINE:COLUMN`.
    pub place: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl std::fmt::Display for FlowMistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}
