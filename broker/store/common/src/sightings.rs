//! When resources were in the inventory. Not sealed: it decides nothing.

use ebbgate_broker_ports::{StoreError, store::Sighting};

use crate::{documents::unreadable, moment};

/// A row, as both dialects have it.
#[derive(Debug)]
pub struct SightingRow {
    /// The resource.
    pub resource: String,
    /// When it was first seen, in nanoseconds since 1970.
    pub first_ns: i64,
    /// When it was last seen.
    pub last_ns: i64,
}

impl SightingRow {
    /// The same in the port's words.
    ///
    /// # Errors
    /// The resource's id is none.
    pub fn sighting(self) -> Result<Sighting, StoreError> {
        Ok(Sighting {
            resource: self.resource.parse().map_err(unreadable(&self.resource))?,
            first: moment(self.first_ns),
            last: moment(self.last_ns),
        })
    }
}
