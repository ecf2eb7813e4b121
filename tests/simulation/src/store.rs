//! The store's model: everything in memory, a commit is one step. What is committed survives every
//! crash. The store's conformance suite runs on it too.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use ebbgate_broker_ports::{
    Store, StoreError,
    store::{
        AgentRecord, Applied, AuditHead, Backlog, Change, EnrolmentToken, GrantQuery,
        IdempotencyKey, OutboxItem, Purged, RequestQuery, Sighting, Stale, Versioned, Write,
    },
};
use ebbgate_domain::{
    Timestamp,
    audit::{AuditEvent, AuditRecord, Hash},
    delegation::Delegation,
    flow_set::FlowSet,
    grant::{Grant, GrantState},
    ids::{AgentId, DelegationId, GrantId, NoticeId, RequestId, TokenId},
    names::{ChannelName, IntegrationName, PrincipalId, ResourceId},
    request::AccessRequest,
};
use parking_lot::{Mutex, MutexGuard};

use crate::{gate::Gate, outbox::Outbox};

/// What is on record.
#[derive(Default)]
pub struct Records {
    /// Requests.
    pub requests: BTreeMap<RequestId, Versioned<AccessRequest>>,
    /// Grants.
    pub grants: BTreeMap<GrantId, Versioned<Grant>>,
    /// The audit chain.
    pub audit: Vec<AuditRecord>,
    /// Notices that are not delivered yet.
    pub outbox: Outbox,
    /// How many commits there were.
    pub commits: u64,
    /// The requests that changed since somebody last looked.
    pub changed_requests: Vec<RequestId>,
    /// The grants that changed since somebody last looked.
    pub changed_grants: Vec<GrantId>,
    /// The notices that came in since somebody last looked.
    pub new_notices: Vec<OutboxItem>,
    delegations: BTreeMap<DelegationId, Versioned<Delegation>>,
    flows: Vec<FlowSet>,
    sightings: BTreeMap<ResourceId, Sighting>,
    agents: BTreeMap<AgentId, AgentRecord>,
    tokens: BTreeMap<TokenId, EnrolmentToken>,
    keys: BTreeMap<(PrincipalId, String), IdempotencyKey>,
    head: Option<Hash>,
}

/// The store. Cheap to clone: all share the records.
#[derive(Clone, Default)]
pub struct MemoryStore {
    records: Arc<Mutex<Records>>,
    gate: Option<Gate>,
}

impl MemoryStore {
    /// An empty store whose every call passes `gate`.
    pub fn behind(gate: Gate) -> Self {
        Self { records: Arc::default(), gate: Some(gate) }
    }

    /// What is on record.
    pub fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock()
    }

    async fn read<T>(&self, look: impl FnOnce(&Records) -> T) -> Result<T, StoreError> {
        if let Some(gate) = &self.gate {
            gate.read().await?;
        }
        Ok(look(&self.records.lock()))
    }

    async fn change(
        &self,
        change: impl FnOnce(&mut Records) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if let Some(gate) = &self.gate {
            gate.before_commit().await?;
        }
        change(&mut self.records.lock())?;
        match &self.gate {
            Some(gate) => gate.after_commit().await,
            None => Ok(()),
        }
    }
}

impl Records {
    fn head(&self) -> Hash {
        self.head.unwrap_or(Hash::GENESIS)
    }

    /// All that can be wrong is looked at first; then everything is written.
    fn commit(&mut self, change: Change) -> Result<(), StoreError> {
        let key = change.idempotency.as_ref().map(|key| (key.principal.clone(), key.key.clone()));
        if key.as_ref().is_some_and(|key| self.keys.contains_key(key)) {
            return Err(StoreError::KeyUsed);
        }
        let spent_at = self.check_token(&change)?;
        check_versions(&change.requests, |request| request.id, &self.requests)?;
        check_versions(&change.grants, |grant| grant.id, &self.grants)?;
        check_versions(&change.delegations, |delegation| delegation.id, &self.delegations)?;
        let next = self.flows.len() as u64 + 1;
        if change.flows.as_ref().is_some_and(|set| set.number != next) {
            return Err(StoreError::Conflict);
        }
        let bodies = bodies(&change.events)?;

        self.commits += 1;
        if let Some((key, value)) = key.zip(change.idempotency) {
            self.keys.insert(key, value);
        }
        if let Some(token) = change.spend.and_then(|id| self.tokens.get_mut(&id)) {
            token.spent_at = spent_at;
        }
        for write in change.requests {
            let written = written(write);
            self.changed_requests.push(written.value.id);
            self.requests.insert(written.value.id, written);
        }
        for write in change.grants {
            let written = written(write);
            self.changed_grants.push(written.value.id);
            self.grants.insert(written.value.id, written);
        }
        for write in change.delegations {
            let written = written(write);
            self.delegations.insert(written.value.id, written);
        }
        self.flows.extend(change.flows);
        change.agents.into_iter().for_each(|agent| self.put_agent(agent));
        self.tokens.extend(change.tokens.into_iter().map(|token| (token.id, token)));
        self.new_notices.extend(change.notices.iter().cloned());
        self.outbox.put(change.notices);
        if let Some(channel) = &change.replay {
            self.outbox.replay(channel);
        }
        bodies.into_iter().for_each(|body| self.append(body));
        Ok(())
    }

    fn check_token(&self, change: &Change) -> Result<Option<Timestamp>, StoreError> {
        let Some(id) = change.spend else { return Ok(None) };
        if self.tokens.get(&id).is_none_or(|token| token.spent_at.is_some()) {
            return Err(StoreError::TokenSpent);
        }
        match change.events.first() {
            Some(event) => Ok(Some(event.at)),
            None => Err(failed("spend an enrolment token", "nothing was said of it")),
        }
    }

    /// A new agent takes its name from whoever bears it; who is retired stays so.
    fn put_agent(&mut self, mut agent: AgentRecord) {
        match self.agents.get(&agent.id) {
            Some(known) => agent.retired |= known.retired,
            None => {
                for other in self.agents.values_mut().filter(|other| other.name == agent.name) {
                    other.retired = true;
                }
            }
        }
        self.agents.insert(agent.id, agent);
    }

    fn purge(&mut self, stale: &Stale, limit: usize) -> Purged {
        let keys = (self.keys.len(), self.tokens.len(), self.agents.len());
        let mut old: Vec<_> =
            self.keys.values().filter(|key| key.at < stale.keys_before).cloned().collect();
        old.sort_by_key(|key| key.at);
        for key in old.into_iter().take(limit) {
            self.keys.remove(&(key.principal, key.key));
        }
        let ended = |token: &&EnrolmentToken| {
            token.spent_at.unwrap_or(token.expires_at) < stale.tokens_before
        };
        let old: Vec<_> = self.tokens.values().filter(ended).map(|t| t.id).take(limit).collect();
        old.iter().for_each(|id| drop(self.tokens.remove(id)));
        self.agents.retain(|id, agent| !agent.retired || !stale.agents.contains(id));
        let gone = |before: usize, now: usize| (before - now) as u64;
        Purged {
            keys: gone(keys.0, self.keys.len()),
            tokens: gone(keys.1, self.tokens.len()),
            agents: gone(keys.2, self.agents.len()),
        }
    }

    fn append(&mut self, body: String) {
        let prev = self.head();
        let seq = self.audit.len() as u64 + 1;
        let hash = prev.then(seq, &body);
        let (prev_hash, text) = (prev.to_string(), hash.to_string());
        self.audit.push(AuditRecord { seq, prev_hash, hash: text, body });
        self.head = Some(hash);
    }
}

fn check_versions<T, K: Ord + Copy>(
    writes: &[Write<T>],
    id: impl Fn(&T) -> K,
    known: &BTreeMap<K, Versioned<T>>,
) -> Result<(), StoreError> {
    let mut mine: BTreeMap<K, u64> = BTreeMap::new();
    for write in writes {
        let (key, expected, next) = match write {
            Write::Insert(value) => (id(value), None, 1),
            Write::Update(value) => (id(&value.value), Some(value.version), value.version + 1),
        };
        let present = mine.get(&key).copied().or_else(|| known.get(&key).map(|v| v.version));
        if present != expected {
            return Err(StoreError::Conflict);
        }
        mine.insert(key, next);
    }
    Ok(())
}

fn written<T>(write: Write<T>) -> Versioned<T> {
    match write {
        Write::Insert(value) => Versioned { version: 1, value },
        Write::Update(Versioned { version, value }) => Versioned { version: version + 1, value },
    }
}

fn bodies(events: &[AuditEvent]) -> Result<Vec<String>, StoreError> {
    events
        .iter()
        .map(|event| serde_json::to_string(event).map_err(|e| failed("write an audit event", e)))
        .collect()
}

pub(crate) fn failed(
    doing: &'static str,
    why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Failed { doing, source: why.into() }
}

/// Those that are due, earliest first.
fn due<T: Clone, K: Ord>(
    all: impl Iterator<Item = (K, T)>,
    due_at: impl Fn(&T) -> Option<Timestamp>,
    now: Timestamp,
    limit: u32,
) -> Vec<T> {
    let mut due: Vec<_> = all
        .filter_map(|(id, value)| Some((due_at(&value).filter(|at| *at <= now)?, id, value)))
        .collect();
    due.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    due.into_iter().take(limit as usize).map(|(_, _, value)| value).collect()
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, mut change: Change) -> Result<(), StoreError> {
        if let Some(gate) = &self.gate {
            gate.sabotage(&mut change);
        }
        self.change(|records| records.commit(change)).await
    }

    async fn request(&self, id: RequestId) -> Result<Option<Versioned<AccessRequest>>, StoreError> {
        self.read(|records| records.requests.get(&id).cloned()).await
    }

    async fn requests(
        &self,
        query: &RequestQuery,
    ) -> Result<Vec<Versioned<AccessRequest>>, StoreError> {
        let wanted = |found: &&Versioned<AccessRequest>| {
            let request = &found.value;
            query.requester.as_ref().is_none_or(|who| request.requester == *who)
                && (!query.pending || request.asks())
                && (!query.open || !request.is_over())
                && query.before.is_none_or(|before| request.id < before)
        };
        self.read(|records| {
            let all = records.requests.values().rev().filter(wanted);
            all.take(query.limit as usize).cloned().collect()
        })
        .await
    }

    async fn due_requests(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Versioned<AccessRequest>>, StoreError> {
        self.read(|records| {
            let open = records.requests.iter().filter(|(_, found)| !found.value.is_over());
            let open = open.map(|(id, found)| (*id, found));
            let due = due(open, |found| found.value.due_at(), now, limit);
            due.into_iter().cloned().collect()
        })
        .await
    }

    async fn grant(&self, id: GrantId) -> Result<Option<Versioned<Grant>>, StoreError> {
        self.read(|records| records.grants.get(&id).cloned()).await
    }

    async fn grants(&self, query: &GrantQuery) -> Result<Vec<Versioned<Grant>>, StoreError> {
        let wanted = |found: &&Versioned<Grant>| {
            let grant = &found.value;
            query.principal.as_ref().is_none_or(|who| grant.principal == *who)
                && query.request.is_none_or(|request| grant.request == request)
                && (query.integrations.is_empty()
                    || query.integrations.contains(&grant.integration))
                && (!query.live || !grant.is_over())
                && query.before.is_none_or(|before| grant.id < before)
        };
        self.read(|records| {
            let all = records.grants.values().rev().filter(wanted);
            all.take(query.limit as usize).cloned().collect()
        })
        .await
    }

    async fn due_grants(
        &self,
        now: Timestamp,
        ready: &[IntegrationName],
        limit: u32,
    ) -> Result<Vec<Versioned<Grant>>, StoreError> {
        let can = |grant: &Grant| {
            grant.state != GrantState::Planned || ready.contains(&grant.integration)
        };
        self.read(|records| {
            let all = records.grants.iter().filter(|(_, found)| can(&found.value));
            let all = all.map(|(id, found)| (*id, found));
            let due = due(all, |found| found.value.due_at(), now, limit);
            due.into_iter().cloned().collect()
        })
        .await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.read(|records| {
            let grants = records.grants.values().filter_map(|found| found.value.due_at());
            let requests = records.requests.values().filter_map(|found| found.value.due_at());
            grants.chain(requests).filter(|due| *due > now).min()
        })
        .await
    }

    async fn delegations(&self, now: Timestamp) -> Result<Vec<Versioned<Delegation>>, StoreError> {
        self.read(|records| {
            let all = records.delegations.values().filter(|found| found.value.end() > now);
            all.cloned().collect()
        })
        .await
    }

    async fn sight(&self, resources: &[ResourceId], at: Timestamp) -> Result<(), StoreError> {
        self.change(|records| {
            for resource in resources {
                let new = Sighting { resource: resource.clone(), first: at, last: at };
                let seen = records.sightings.entry(resource.clone()).or_insert(new);
                seen.last = seen.last.max(at);
            }
            Ok(())
        })
        .await
    }

    async fn sightings(&self, resources: &[ResourceId]) -> Result<Vec<Sighting>, StoreError> {
        self.read(|records| {
            let seen = records.sightings.values().filter(|seen| resources.contains(&seen.resource));
            seen.cloned().collect()
        })
        .await
    }

    async fn applied_flows(&self, newer_than: u64) -> Result<Option<Applied>, StoreError> {
        self.read(|records| {
            let last = records.flows.last().filter(|set| set.number > newer_than);
            last.map(|set| Applied { number: set.number, set: Some(set.clone()) })
        })
        .await
    }

    async fn flow_sets(&self, before: Option<u64>, limit: u32) -> Result<Vec<FlowSet>, StoreError> {
        let wanted = |set: &&FlowSet| before.is_none_or(|before| set.number < before);
        self.read(|records| {
            let all = records.flows.iter().rev().filter(wanted);
            all.take(limit as usize).cloned().collect()
        })
        .await
    }

    async fn idempotency(
        &self,
        principal: &PrincipalId,
        key: &str,
    ) -> Result<Option<IdempotencyKey>, StoreError> {
        let key = (principal.clone(), key.to_owned());
        self.read(|records| records.keys.get(&key).cloned()).await
    }

    async fn enrolment_token(
        &self,
        secret_hash: &str,
    ) -> Result<Option<EnrolmentToken>, StoreError> {
        let has = |token: &&EnrolmentToken| token.secret_hash == secret_hash;
        self.read(|records| records.tokens.values().find(has).cloned()).await
    }

    async fn agent(&self, id: AgentId) -> Result<Option<AgentRecord>, StoreError> {
        self.read(|records| records.agents.get(&id).cloned()).await
    }

    async fn agents(&self) -> Result<Vec<AgentRecord>, StoreError> {
        self.read(|records| {
            let mut all: Vec<_> = records.agents.values().cloned().collect();
            all.sort_by(|a, b| a.name.cmp(&b.name));
            all
        })
        .await
    }

    async fn purge(&self, stale: &Stale, limit: u32) -> Result<Purged, StoreError> {
        let mut purged = Purged::default();
        self.change(|records| {
            purged = records.purge(stale, limit as usize);
            Ok(())
        })
        .await?;
        Ok(purged)
    }

    async fn take_notices(
        &self,
        channel: &ChannelName,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        let mut taken = Vec::new();
        self.change(|records| {
            taken = records.outbox.take(channel, now, until, limit);
            Ok(())
        })
        .await?;
        Ok(taken)
    }

    async fn notice_delivered(&self, id: NoticeId) -> Result<(), StoreError> {
        self.change(|records| {
            records.outbox.delivered(id);
            Ok(())
        })
        .await
    }

    async fn notice_failed(
        &self,
        id: NoticeId,
        next: Option<Timestamp>,
        why: &str,
    ) -> Result<(), StoreError> {
        self.change(|records| {
            records.outbox.failed(id, next, why);
            Ok(())
        })
        .await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        self.read(|records| records.outbox.backlog()).await
    }

    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        self.read(|records| {
            records.audit.iter().skip(after).take(limit as usize).cloned().collect()
        })
        .await
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.read(|records| AuditHead {
            records: records.audit.len() as u64,
            hash: records.head().to_string(),
        })
        .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|_| ()).await
    }
}
