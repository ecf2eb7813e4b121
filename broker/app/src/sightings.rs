//! When resources came into the inventory, and when they were last in it.

use ebbgate_broker_ports::store::Sighting;
use ebbgate_domain::names::ResourceId;

use crate::{AppError, Broker};

/// How many are written at once.
const BATCH: usize = 1_000;

impl Broker {
    /// Notes that the resources of the inventory are there now.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sight_resources(&self) -> Result<(), AppError> {
        let (snapshot, now) = (self.snapshot(), self.now());
        let ids: Vec<_> = snapshot.inventory.iter().map(|resource| resource.id.clone()).collect();
        for some in ids.chunks(BATCH) {
            self.store().sight(some, now).await?;
        }
        Ok(())
    }

    /// When these resources were seen, in the order of their ids.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sightings(&self, resources: &[ResourceId]) -> Result<Vec<Sighting>, AppError> {
        Ok(self.store().sightings(resources).await?)
    }
}
