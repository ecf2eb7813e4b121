//! What the checker knows of each grant, and what is new on record since the last look.

use std::collections::BTreeMap;

use ebbgate_broker_ports::store::OutboxItem;
use ebbgate_domain::{
    Timestamp,
    audit::{AuditEvent, AuditRecord},
    grant::{Grant, GrantState},
    ids::GrantId,
    names::{AgentName, IntegrationName, PrincipalId},
    request::AccessRequest,
};

use crate::world::World;

/// What came on record between two looks.
pub(crate) struct News {
    /// Requests that changed, as they are now.
    pub(crate) requests: Vec<AccessRequest>,
    /// Grants that changed, as they are now.
    pub(crate) grants: Vec<Grant>,
    /// Audit records.
    pub(crate) audit: Vec<(AuditRecord, AuditEvent)>,
    /// Notices.
    pub(crate) notices: Vec<OutboxItem>,
    /// Lines in the agents' journals.
    pub(crate) journal: Vec<String>,
}

/// What is new; none where nothing is. `records` is how many audit records are known already.
pub(crate) fn news(world: &World, records: u64) -> Option<News> {
    let journal: Vec<_> = world.hosts.iter().flat_map(|host| host.disk.take_fresh()).collect();
    let mut on = world.store.records();
    let known = usize::try_from(records).unwrap_or(usize::MAX);
    let nothing = on.changed_requests.is_empty()
        && on.changed_grants.is_empty()
        && on.new_notices.is_empty()
        && on.audit.len() <= known
        && journal.is_empty();
    if nothing {
        return None;
    }
    let (requests, grants) =
        (std::mem::take(&mut on.changed_requests), std::mem::take(&mut on.changed_grants));
    Some(News {
        requests: requests
            .iter()
            .filter_map(|id| on.requests.get(id))
            .map(|found| found.value.clone())
            .collect(),
        grants: grants
            .iter()
            .filter_map(|id| on.grants.get(id))
            .map(|found| found.value.clone())
            .collect(),
        audit: on.audit.get(known..).unwrap_or_default().iter().map(parsed).collect(),
        notices: std::mem::take(&mut on.new_notices),
        journal,
    })
}

fn parsed(record: &AuditRecord) -> (AuditRecord, AuditEvent) {
    (record.clone(), serde_json::from_str(&record.body).expect("a record holds an event"))
}

/// What is known of one grant.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    /// Where it is.
    pub(crate) integration: IntegrationName,
    /// Whose it is.
    pub(crate) principal: PrincipalId,
    /// Which agent has it now.
    pub(crate) place: Option<AgentName>,
    /// How far it has come: see [`rank`].
    pub(crate) rank: u8,
    /// Whether its end was verified on the target.
    pub(crate) verified: bool,
    /// When it ends by the broker's clock.
    pub(crate) deadline: Option<Timestamp>,
    /// When it ends in true time.
    pub(crate) true_deadline: Option<i64>,
}

/// All grants.
#[derive(Default)]
pub(crate) struct Facts(BTreeMap<GrantId, Fact>);

impl Facts {
    /// One grant; none where the broker has never heard of it.
    pub(crate) fn get(&self, grant: GrantId) -> Option<&Fact> {
        self.0.get(&grant)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&GrantId, &Fact)> {
        self.0.iter()
    }

    /// Takes up what is new.
    pub(crate) fn take(&mut self, news: &News, world: &World) {
        let now = i64::try_from(world.sim.now()).unwrap_or(i64::MAX);
        for grant in &news.grants {
            let full = i64::from(grant.duration.seconds()) * 1_000;
            let known = self.0.get(&grant.id);
            // More time moves the end by as much, whatever the broker's clock says now.
            let moved = |before: Option<Timestamp>| -> i64 {
                let (Some(before), Some(end)) = (before, grant.deadline) else { return 0 };
                i64::try_from(end.duration_since(before).as_millis()).unwrap_or(0)
            };
            let known =
                known.and_then(|fact| fact.true_deadline.map(|end| end + moved(fact.deadline)));
            let fact = Fact {
                integration: grant.integration.clone(),
                principal: grant.principal.clone(),
                place: grant.place.clone(),
                rank: rank(grant),
                verified: is_verified(grant),
                deadline: grant.deadline,
                true_deadline: known.or_else(|| grant.deadline.map(|_| now + full)),
            };
            self.0.insert(grant.id, fact);
        }
    }
}

fn is_verified(grant: &Grant) -> bool {
    matches!(grant.state, GrantState::Revoked { finding: Some(_), .. } | GrantState::Failed { .. })
}

/// How far a grant has come; it only ever grows. From [`ENDING`] on it is being torn down, from
/// [`OVER`] on nothing more happens to it.
pub(crate) fn rank(grant: &Grant) -> u8 {
    match grant.state {
        GrantState::Planned => 0,
        GrantState::Provisioning(_) => 1,
        GrantState::Active => 2,
        GrantState::Revoking { .. } => ENDING,
        GrantState::Revoked { .. } | GrantState::Failed { .. } => OVER,
    }
}

/// The rank of a grant that is active.
pub(crate) const ACTIVE: u8 = 2;
/// The rank of a grant whose teardown has begun.
pub(crate) const ENDING: u8 = 3;
/// The rank of a grant that is over.
pub(crate) const OVER: u8 = 4;
