//! What the broker's settings say: who there is, and which flows they use.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ebbgate_broker_ports::{Catalogue, Snapshot};
use ebbgate_domain::{
    flow::{
        Access, AccessFlow, Activation, ApprovalPolicy, ApproverGroup, DurationRule,
        EscalationStep, Need, Policies, Voices,
    },
    inventory::{Inventory, Resource, ResourceKind},
    names::{AgentName, ChannelName, PrincipalId},
    notice::{Reach, Route},
    principal::{Directory, Principal},
    scope::{Scope, Selector},
};
use parking_lot::Mutex;

use crate::world::{AGENTS, INTEGRATIONS};

/// The administrator.
pub(crate) const ADMINISTRATOR: &str = "root";

/// Everybody, with their groups.
const PEOPLE: [(&str, &[&str]); 8] = [
    ("ana", &["data"]),
    ("bo", &["data"]),
    ("cy", &["data"]),
    ("ben", &["data", "dba"]),
    ("dan", &["dba", "security"]),
    ("eve", &["security"]),
    ("fay", &["dba"]),
    (ADMINISTRATOR, &["admins"]),
];

/// What the broker's settings say of people, flows and resources.
pub struct Settings {
    slot: Mutex<Arc<Snapshot>>,
    changes: AtomicUsize,
}

impl Catalogue for Settings {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.slot.lock().clone()
    }
}

impl Settings {
    /// Everybody is there.
    pub(crate) fn everybody() -> Self {
        Self { slot: Mutex::new(Arc::new(snapshot())), changes: AtomicUsize::new(0) }
    }

    /// How often they were changed.
    pub fn changes(&self) -> usize {
        self.changes.load(Ordering::Relaxed)
    }

    /// Disables somebody, or lets them in again: who, and whether they are in now.
    pub fn toggle(&self, who: &PrincipalId) -> bool {
        self.changes.fetch_add(1, Ordering::Relaxed);
        let mut slot = self.slot.lock();
        let mut enabled = true;
        let people = slot.directory.all().cloned().map(|mut person| {
            if person.id == *who {
                person.disabled = !person.disabled;
                enabled = !person.disabled;
            }
            person
        });
        let directory = Directory::new(people.collect::<Vec<_>>());
        *slot = Arc::new(Snapshot { directory, ..(**slot).clone() });
        enabled
    }
}

/// Who is in a group. That never changes; people are disabled and let in again.
pub fn members(group: &str) -> BTreeSet<PrincipalId> {
    let is_in = |(_, groups): &&(&str, &[&str])| groups.contains(&group);
    PEOPLE.iter().filter(is_in).map(|(name, _)| id(name)).collect()
}

/// The one channel there is.
pub fn mailbox() -> ChannelName {
    parsed("mailbox")
}

/// A person's id.
pub fn id(name: &str) -> PrincipalId {
    parsed(&format!("{name}@example.com"))
}

pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn snapshot() -> Snapshot {
    let person = |name: &str, groups: &[&str]| {
        Principal::new(id(name), groups.iter().map(|group| parsed(group)))
    };
    let resource = |integration: &str| Resource {
        id: parsed(&format!("{integration}/postgres/shop")),
        integration: parsed(integration),
        kind: ResourceKind::Postgres,
        native: "shop".to_owned(),
        tags: BTreeMap::new(),
    };
    let scope = |integration: &str| {
        Scope::new(parsed(integration), Selector::integration(parsed(integration)))
    };
    let flows = [
        flow("auto", ApprovalPolicy::Automatic),
        flow("one", groups(Need::All, &["group:dba"])),
        flow("both", groups(Need::All, &["group:dba", "group:security"])),
        // Begins when its requester says so; security may approve what no DBA has within a while.
        AccessFlow {
            activation: Activation::ByRequester { within: parsed("90s") },
            ..flow("later", in_steps("group:dba", "20s", "group:security"))
        },
    ];
    Snapshot {
        directory: Directory::new(PEOPLE.map(|(name, groups)| person(name, groups))),
        policies: Policies {
            scopes: INTEGRATIONS.iter().map(|name| (parsed(name), scope(name))).collect(),
            flows: flows.into_iter().map(|flow| (flow.name.clone(), flow)).collect(),
            ..Policies::default()
        },
        inventory: Inventory::new(INTEGRATIONS.map(resource)),
        agents: INTEGRATIONS.iter().map(|name| (parsed(name), agents_of(name))).collect(),
        administrators: vec![parsed("group:admins")],
        routes: vec![Route {
            channel: mailbox(),
            reach: Reach::Watchers { events: vec!["*".to_owned()] },
        }],
        ..Snapshot::default()
    }
}

fn agents_of(integration: &str) -> Vec<AgentName> {
    let serving = AGENTS.iter().filter(|(_, serves)| serves.contains(&integration));
    serving.map(|(name, _)| parsed(name)).collect()
}

fn groups(between: Need, of: &[&str]) -> ApprovalPolicy {
    let groups =
        of.iter().map(|group| ApproverGroup::new(*group, Voices::Any, vec![parsed(group)]));
    ApprovalPolicy::groups(between, groups.collect(), parsed("2m"))
}

/// The second group may approve, too, when the first has not within some time.
fn in_steps(first: &str, after: &str, then: &str) -> ApprovalPolicy {
    let step = EscalationStep { after: parsed(after), to: vec![parsed(then)] };
    let first = ApproverGroup {
        escalate: vec![step],
        ..ApproverGroup::new(first, Voices::Any, vec![parsed(first)])
    };
    ApprovalPolicy::Groups {
        between: Need::All,
        groups: vec![first],
        request_timeout: parsed("2m"),
        distinct: true,
        claim: parsed("30s"),
    }
}

/// More time is given under the same approval, up to the maximum.
fn flow(name: &str, approval: ApprovalPolicy) -> AccessFlow {
    let access = INTEGRATIONS.iter().map(|integration| Access {
        scope: parsed(integration),
        permissions: vec![parsed("select")],
    });
    AccessFlow::new(
        parsed(name),
        vec![parsed("group:data")],
        access.collect(),
        approval,
        DurationRule { extend: true, ..DurationRule::new(parsed("1m"), parsed("30m")) },
    )
}
