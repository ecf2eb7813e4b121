//! Sets of flows as rows. Each stays for good, so it is not a row that tells which set is in force,
//! but the audit log: whoever deletes the newest row, or brings an old one back under a higher number,
//! changes nothing by it. See docs/adr/0010-applied-flows.md.

use std::future::Future;

use ebbgate_broker_ports::{StoreError, store::Applied};
use ebbgate_domain::flow_set::FlowSet;

use crate::{
    Book, Page, Row, SealBroken, Sealed, Seals, Standing, Table, Written,
    documents::{decode, told},
    encode,
    standing::stage,
};

/// Sorts after every id.
const PAST_EVERY_ID: &str = "~";

/// Where sets of flows are read.
pub trait Shelf: Book {
    /// Rows with smaller ids than this one, greatest first.
    fn flow_sets(
        &mut self,
        before: &str,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;
}

/// A set of flows as a row.
#[derive(Debug)]
pub struct FlowSetRow {
    /// Its id.
    pub id: String,
    /// Its document.
    pub document: String,
    /// Its seal.
    pub seal: String,
    /// How it stands.
    pub written: Written,
}

impl FlowSetRow {
    /// The row of a set.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn of(set: &FlowSet, seals: &Seals) -> Result<Self, StoreError> {
        let (id, document) = (id(set.number), encode(set)?);
        let sealed = Sealed { table: Table::FlowSets, id: &id, version: 0, content: &document };
        let seal = seals.seal(sealed);
        let row = Standing::new(Table::FlowSets, &id, stage::FIRST);
        // What people may ask for, and who decides, is theirs by it.
        Ok(Self { seal, written: Written { row, gives: true }, id, document })
    }
}

/// The id of the set with this number.
pub(crate) fn id(number: u64) -> String {
    format!("{number:020}")
}

/// The set of a row, with the record since which the log may speak of it; none where it is not
/// believed or cannot be read, which is told.
///
/// # Errors
/// Never; the database is not asked.
pub fn flow_set(row: &Row, seals: &Seals) -> Result<Option<(u64, FlowSet)>, StoreError> {
    let look = || {
        let since = seals.check(row.sealed(Table::FlowSets), row.seal.as_deref())?;
        Ok((since, decode(&row.id, &row.document)?))
    };
    told(look())
}

/// The flows that were applied last, where that is later than number `newer_than`.
///
/// # Errors
/// The database failed, or the log is not what it was.
pub async fn applied(
    seals: &Seals,
    newer_than: u64,
    shelf: &mut impl Shelf,
) -> Result<Option<Applied>, StoreError> {
    let mut upto = seals.heed(shelf).await?;
    if newer_than > 0 && seals.flows_said(upto).await.is_some_and(|said| said <= newer_than) {
        return Ok(None);
    }
    let mut before = PAST_EVERY_ID.to_owned();
    let (said, set) = loop {
        let Some(row) = shelf.flow_sets(&before, 1).await?.pop() else {
            break (seals.last_flows(0, upto, shelf).await?, None);
        };
        before.clone_from(&row.id);
        let Some((since, set)) = flow_set(&row, seals)? else { continue };
        let mut said = seals.last_flows(since, upto, shelf).await?;
        if said < set.number {
            // Another broker may have applied it since the log was looked at.
            upto = seals.heed(shelf).await?;
            said = seals.last_flows(since, upto, shelf).await?;
        }
        if said >= set.number {
            break (said, Some(set));
        }
        drop(seals.refuse(Table::FlowSets, &row.id, SealBroken::Unsaid));
    };
    let set = set.filter(|set| set.number == said);
    if said > 0 && set.is_none() {
        drop(seals.refuse(Table::FlowSets, &id(said), SealBroken::SetBack));
    }
    Ok((said > newer_than).then_some(Applied { number: said, set }))
}

/// Sets that were applied, newest first.
///
/// # Errors
/// The database failed.
pub async fn listed(
    seals: &Seals,
    before: Option<u64>,
    limit: u32,
    shelf: &mut impl Shelf,
) -> Result<Vec<FlowSet>, StoreError> {
    let before = before.map_or_else(|| PAST_EVERY_ID.to_owned(), id);
    let mut page = Page::of(limit);
    loop {
        let rows = shelf.flow_sets(&before, page.window()).await?;
        let mut good = Vec::with_capacity(rows.len());
        for row in &rows {
            good.extend(flow_set(row, seals)?.map(|(_, set)| set));
        }
        if let Some(found) = page.fill(rows.len(), good) {
            return Ok(found);
        }
    }
}
