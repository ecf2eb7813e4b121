//! What the audit log says of the rows. A seal shows who wrote a row, not that it is the newest:
//! whoever can write to the database could put back what a row was once, with the seal that it had
//! then. But the log is one chain with a sealed end, so what it says stays said: a grant that is
//! being torn down is not planned, a token that was spent is not unspent.
//!
//! The log is heeded from the oldest row on that is asked about, and followed as it grows. See
//! docs/adr/0007-sealed-documents.md.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
};

use ebbgate_broker_ports::{StoreError, store::AuditHead};
use ebbgate_domain::audit::{Action, Actor, AuditEvent, AuditRecord, BrokenChain, ChainWalk, Hash};

use serde_json::Value;

use crate::{
    HeadRow, SealKey, Table, failed, flow_sets,
    standing::{Standing, extensions, stage},
    unsigned,
};

/// How many records are read at once.
const PAGE: u32 = 1_000;

/// Where the log is read.
pub trait Book: Send {
    /// Its end.
    fn head(&mut self) -> impl Future<Output = Result<HeadRow, StoreError>> + Send;

    /// Records after number `after`, in order.
    fn page(
        &mut self,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<AuditRecord>, StoreError>> + Send;
}

/// What is read of one event.
#[derive(Debug, Default)]
struct Told {
    /// In which record each thing first came to each stage; there may be millions. None is 0.
    stages: HashMap<Thing, [u64; stage::OVER as usize]>,
    /// In which record the terms of each thing had come how far; few things' terms ever change.
    terms: HashMap<Thing, Vec<(u64, u64)>>,
    /// Who was enrolled last under each agent's name, and in which record.
    bearers: HashMap<String, (u64, String)>,
    /// The numbers of the flows that were applied, by record.
    flows: BTreeMap<u64, u64>,
}

impl Told {
    fn heed(&mut self, record: &AuditRecord) {
        // One that a newer release wrote and this one does not know says nothing to it.
        let Ok(event) = serde_json::from_str::<AuditEvent>(&record.body) else { return };
        let detail = |key| Some(event.details.get(key)?.as_str()?.to_owned());
        if let Some((thing, terms)) = terms(&event) {
            return self.terms.entry(thing).or_default().push((record.seq, terms));
        }
        let grant = event.grant.map(|id| id.to_string());
        let request = event.request.map(|id| id.to_string());
        let (id, stage) = match event.action {
            Action::GrantProvisioning => (grant, stage::PROVISIONING),
            Action::GrantActive => (grant, stage::ACTIVE),
            Action::GrantRevoking => (grant, stage::REVOKING),
            Action::GrantRevoked | Action::GrantFailed => (grant, stage::OVER),
            Action::RequestApproved => (request, stage::APPROVED),
            Action::RequestActivated => (request, stage::ACTIVATED),
            Action::RequestDenied
            | Action::RequestCancelled
            | Action::RequestLapsed
            | Action::RequestEnded => (request, stage::OVER),
            Action::DelegationEnded => (detail("delegation"), stage::OVER),
            Action::AgentRevoked => (detail("agent_id"), stage::OVER),
            Action::FlowsApplied => {
                let number = event.details.get("number").and_then(Value::as_u64);
                self.flows.extend(number.map(|number| (record.seq, number)));
                return;
            }
            Action::AgentEnrolled => {
                if let (Actor::Agent(name), Some(id)) = (&event.actor, detail("agent_id")) {
                    self.bearers.insert(name.to_string(), (record.seq, id));
                }
                (detail("token"), stage::OVER)
            }
            _ => return,
        };
        if let Some(thing) = id.as_deref().and_then(thing) {
            self.note(thing, stage, record.seq);
        }
    }

    fn note(&mut self, thing: Thing, stage: u8, seq: u64) {
        let stages = self.stages.entry(thing).or_default();
        if let Some(first) = stages.get_mut(usize::from(stage) - 1).filter(|first| **first == 0) {
            *first = seq;
        }
    }

    fn then(&mut self, newer: Self) {
        for (thing, stages) in newer.stages {
            for (stage, seq) in (1..).zip(stages).filter(|(_, seq)| *seq > 0) {
                self.note(thing, stage, seq);
            }
        }
        for (thing, terms) in newer.terms {
            self.terms.entry(thing).or_default().extend(terms);
        }
        self.bearers.extend(newer.bearers);
        self.flows.extend(newer.flows);
    }
}

/// How far the terms of something come by an event.
fn terms(event: &AuditEvent) -> Option<(Thing, u64)> {
    let number = |key| event.details.get(key)?.as_u64();
    let (id, terms) = match event.action {
        Action::ExtensionAsked => {
            (event.request?.to_string(), extensions(number("extension")?, false))
        }
        Action::ExtensionApproved | Action::ExtensionDenied | Action::ExtensionLapsed => {
            (event.request?.to_string(), extensions(number("extension")?, true))
        }
        Action::GrantExtending => (event.grant?.to_string(), number("lasts_seconds")?),
        _ => return None,
    };
    Some((thing(&id)?, terms))
}

/// An id in few bytes: `grt_` and 32 hex digits, for example.
type Thing = ([u8; 3], u128);

fn thing(id: &str) -> Option<Thing> {
    let (prefix, number) = id.split_once('_')?;
    Some((prefix.as_bytes().try_into().ok()?, u128::from_str_radix(number, 16).ok()?))
}

/// What the log was found to say so far.
#[derive(Debug)]
pub(crate) struct Log {
    /// The records after this one were heeded, and this was its hash.
    from: ChainWalk,
    to: ChainWalk,
    told: Told,
    /// Whether the log was not what it should be when it was last looked at.
    pub(crate) broken: bool,
}

impl Log {
    /// The log from this end on.
    ///
    /// # Errors
    /// The end's hash is none.
    pub(crate) fn from(end: &AuditHead) -> Result<Self, StoreError> {
        let hash: Hash = end.hash.parse().map_err(failed("read the end of the audit chain"))?;
        let from = ChainWalk::after(end.records, hash);
        Ok(Self { to: from.clone(), from, told: Told::default(), broken: false })
    }

    /// How many records it had when it was last looked at.
    pub(crate) fn records(&self) -> u64 {
        self.to.records()
    }

    /// Where it ended when it was last looked at.
    pub(crate) fn end(&self) -> AuditHead {
        AuditHead { records: self.to.records(), hash: self.to.head().to_string() }
    }

    pub(crate) fn ends_at(&self, head: &HeadRow) -> bool {
        u64::try_from(head.records) == Ok(self.to.records())
            && self.to.head().to_string() == head.hash
    }

    /// Follows the log to `head`. One that does not go on from where it was, or whose end nobody
    /// sealed, is broken until it is found whole again.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) async fn follow(
        &mut self,
        head: &HeadRow,
        key: &SealKey,
        book: &mut impl Book,
    ) -> Result<(), StoreError> {
        let end = unsigned(head.records);
        let new = match end {
            Ok(end) if head.holds(key).is_ok() && end >= self.records() => {
                heed(self.to.clone(), end, &head.hash, book).await?
            }
            _ => None,
        };
        self.broken = new.is_none();
        if let Some((walk, told)) = new {
            self.told.then(told);
            self.to = walk;
        }
        Ok(())
    }

    /// Heeds what was appended by whoever asks: nothing is read for it, and what one has said oneself
    /// cannot be taken back before one looks again. What does not follow at once comes with the next
    /// look.
    pub(crate) fn append(&mut self, records: &[AuditRecord]) {
        for record in records {
            if self.to.step(record).is_err() {
                return;
            }
            self.told.heed(record);
        }
    }

    /// Goes back to what was said after record `since`.
    ///
    /// # Errors
    /// It cannot be read. `false` where what was read does not lead to what is known.
    pub(crate) async fn reach_back(
        &mut self,
        since: u64,
        book: &mut impl Book,
    ) -> Result<bool, StoreError> {
        if since >= self.from.records() {
            return Ok(true);
        }
        let first = book.page(since, 1).await?;
        // Its hash vouches for what it names as its predecessor's.
        let Some(Ok(before)) = first.first().map(|record| record.prev_hash.parse()) else {
            return Ok(false);
        };
        let from = ChainWalk::after(since, before);
        let (end, hash) = (self.from.records(), self.from.head().to_string());
        let Some((_, mut older)) = heed(from.clone(), end, &hash, book).await? else {
            return Ok(false);
        };
        older.then(std::mem::take(&mut self.told));
        self.told = older;
        self.from = from;
        Ok(true)
    }

    /// The number of the flows that the log had said by record `upto` were applied last; 0 where it
    /// said nothing of any.
    pub(crate) fn last_flows(&self, upto: u64) -> u64 {
        self.told.flows.range(..=upto).map(|(_, number)| *number).max().unwrap_or(0)
    }

    /// Whether the log has said already what this event is about to say: more time is asked for, and
    /// given, once.
    pub(crate) fn has_said(&self, event: &AuditEvent) -> bool {
        terms(event).is_some_and(|(thing, terms)| {
            let told = self.told.terms.get(&thing);
            told.is_some_and(|told| told.iter().any(|(_, before)| *before >= terms))
        })
    }

    /// Whether the log had said by record `upto` that the row has gone further than this. Whoever
    /// has read the row after that record was there knows by it that the row was set back.
    pub(crate) fn contradicts(&self, row: &Standing, upto: u64) -> bool {
        let said = |seq: u64| (1..=upto).contains(&seq);
        let thing = thing(&row.id);
        let stages = thing.and_then(|thing| self.told.stages.get(&thing));
        let further =
            |stages: &[u64; _]| stages.iter().skip(row.stage.into()).any(|seq| said(*seq));
        let terms = thing.and_then(|thing| self.told.terms.get(&thing));
        let changed = |terms: &Vec<(u64, u64)>| {
            terms.iter().any(|(seq, terms)| said(*seq) && *terms > row.terms)
        };
        let bearer = row.bears.as_ref().and_then(|name| self.told.bearers.get(name));
        let replaced = |(seq, bearer): &(u64, String)| said(*seq) && *bearer != row.id;
        // A set's number is given once.
        let taken = row.table == Table::FlowSets && row.id <= flow_sets::id(self.last_flows(upto));
        taken
            || stages.is_some_and(further)
            || (!row.is_over() && (terms.is_some_and(changed) || bearer.is_some_and(replaced)))
    }
}

/// Walks from `walk` to the record `end`, whose hash must be `hash`; none where the chain is broken.
async fn heed(
    mut walk: ChainWalk,
    end: u64,
    hash: &str,
    book: &mut impl Book,
) -> Result<Option<(ChainWalk, Told)>, StoreError> {
    let mut told = Told::default();
    while walk.records() < end {
        let page = book.page(walk.records(), PAGE).await?;
        let before = walk.records();
        for record in page.iter().take_while(|record| record.seq <= end) {
            if let Err(BrokenChain { .. }) = walk.step(record) {
                return Ok(None);
            }
            told.heed(record);
        }
        if walk.records() == before {
            return Ok(None);
        }
    }
    Ok(walk.finish(end, hash).is_ok().then_some((walk, told)))
}
