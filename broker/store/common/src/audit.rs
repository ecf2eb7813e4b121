//! The next records of the audit chain, and its end: one sealed row that says how many records
//! there are and the last one's hash.

use ebbgate_broker_ports::{StoreError, store::AuditHead};
use ebbgate_domain::audit::{AuditEvent, AuditRecord, Hash};

use crate::{
    SealBroken, SealKey, Sealed, Seals, Table, documents::encode, failed, signed, unsigned,
};

/// The chain's end as its row holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadRow {
    /// How many records there are.
    pub records: i64,
    /// The last one's hash.
    pub hash: String,
    /// The seal; none before the store was sealed.
    pub seal: Option<String>,
}

impl HeadRow {
    /// The chain's end.
    ///
    /// # Errors
    /// The row was tampered with.
    pub fn audit(&self) -> Result<AuditHead, StoreError> {
        Ok(AuditHead { records: unsigned(self.records)?, hash: self.hash.clone() })
    }

    /// Whether its seal holds.
    ///
    /// # Errors
    /// [`SealBroken`].
    pub fn holds(&self, key: &SealKey) -> Result<(), SealBroken> {
        key.check(sealed(&self.content()), self.seal.as_deref()).map(drop)
    }

    /// The same end, sealed.
    pub fn sealed(self, key: &SealKey) -> Self {
        let seal = Some(key.seal(sealed(&self.content()), 0));
        Self { seal, ..self }
    }

    fn content(&self) -> String {
        format!("{} {}", self.records, self.hash)
    }
}

fn sealed(content: &str) -> Sealed<'_> {
    Sealed { table: Table::AuditHead, id: "end", version: 0, content }
}

/// The records that `events` become after `head`, and the head after them: sealed where the log
/// is `whole` as [`Seals::admit`] says.
///
/// # Errors
/// The head's hash was tampered with, or an event is no JSON.
pub fn append(
    seals: &Seals,
    head: HeadRow,
    whole: bool,
    events: &[AuditEvent],
) -> Result<(Vec<AuditRecord>, HeadRow), StoreError> {
    let mut last: Hash = head.hash.parse().map_err(failed("read the end of the audit chain"))?;
    let mut seq = unsigned(head.records)?;
    let mut records = Vec::with_capacity(events.len());
    for event in events {
        seq += 1;
        let body = encode(event)?;
        let prev_hash = last.to_string();
        last = last.then(seq, &body);
        records.push(AuditRecord { seq, prev_hash, hash: last.to_string(), body });
    }
    let end = HeadRow { records: signed(seq)?, hash: last.to_string(), seal: None };
    Ok((records, seals.head(end, whole)))
}
