//! When resources were in the inventory.

use ebbgate_broker_ports::{StoreError, store::Sighting};
use ebbgate_broker_store_common::{SightingRow, failed};
use sqlx::{SqliteConnection, SqlitePool};

pub(crate) const DOING: &str = "note which resources there are";

/// `resources` are their ids, as a JSON list.
pub(crate) async fn note(writer: &SqlitePool, resources: &str, at: i64) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO sightings (resource, first_ns, last_ns)
         SELECT value, ?2, ?2 FROM json_each(?1) WHERE true
         ON CONFLICT (resource) DO UPDATE SET last_ns = max(last_ns, excluded.last_ns)",
        resources,
        at
    )
    .execute(writer)
    .await
    .map_err(failed(DOING))?;
    Ok(())
}

pub(crate) async fn of(
    on: &mut SqliteConnection,
    resources: &str,
) -> Result<Vec<Sighting>, StoreError> {
    let rows = sqlx::query_as!(
        SightingRow,
        "SELECT resource, first_ns, last_ns FROM sightings
         WHERE resource IN (SELECT value FROM json_each(?1)) ORDER BY resource",
        resources
    )
    .fetch_all(on)
    .await
    .map_err(failed("read when resources were seen"))?;
    rows.into_iter().map(SightingRow::sighting).collect()
}
