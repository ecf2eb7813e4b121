//! Delegations as rows.

use ebbgate_broker_ports::{StoreError, store::Write};
use ebbgate_domain::delegation::Delegation;

use crate::{
    Document, Sealed, Seals, Standing, Table, Written, documents::versions, encode, nanos,
    standing::stage,
};

impl Document for Delegation {
    const TABLE: Table = Table::Delegations;

    fn standing(&self) -> Standing {
        let stage = if self.ended_at.is_some() { stage::OVER } else { stage::FIRST };
        Standing::new(Self::TABLE, self.id, stage)
    }
}

/// A delegation as a row.
#[derive(Debug)]
pub struct DelegationRow {
    /// The version that must still be there; none where the row must not exist yet.
    pub expected: Option<i64>,
    /// The version that it gets.
    pub version: i64,
    /// Its id.
    pub id: String,
    /// When it ends, in nanoseconds since 1970.
    pub until_ns: i64,
    /// Its document.
    pub document: String,
    /// Its seal.
    pub seal: String,
    /// How it stands.
    pub written: Written,
}

impl DelegationRow {
    /// The row that a write means.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn of(write: Write<Delegation>, seals: &Seals) -> Result<Self, StoreError> {
        let (expected, version, delegation) = versions(write)?;
        let (id, document) = (delegation.id.to_string(), encode(&delegation)?);
        let sealed = Sealed { table: Table::Delegations, id: &id, version, content: &document };
        let row = delegation.standing();
        Ok(Self {
            expected,
            version,
            seal: seals.seal(sealed),
            // Whoever speaks in another's place may approve.
            written: Written { gives: !row.is_over(), row },
            id,
            until_ns: nanos(delegation.end()),
            document,
        })
    }
}
