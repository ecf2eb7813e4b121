//! When resources were in the inventory.

use ebbgate_broker_ports::{StoreError, store::Sighting};
use ebbgate_broker_store_common::{SightingRow, failed};
use sqlx::PgConnection;

pub(crate) const DOING: &str = "note which resources there are";

/// In the order of their ids, lest two brokers wait for one another.
pub(crate) async fn note(
    on: &mut PgConnection,
    mut resources: Vec<String>,
    at: i64,
) -> Result<(), StoreError> {
    resources.sort();
    resources.dedup();
    sqlx::query!(
        "INSERT INTO sightings (resource, first_ns, last_ns)
         SELECT resource, $2, $2 FROM unnest($1::text[]) AS resource
         ON CONFLICT (resource)
         DO UPDATE SET last_ns = greatest(sightings.last_ns, excluded.last_ns)",
        &resources,
        at
    )
    .execute(on)
    .await
    .map_err(failed(DOING))?;
    Ok(())
}

pub(crate) async fn of(
    on: &mut PgConnection,
    resources: Vec<String>,
) -> Result<Vec<Sighting>, StoreError> {
    let rows = sqlx::query_as!(
        SightingRow,
        r#"SELECT resource, first_ns, last_ns FROM sightings
           WHERE resource = ANY($1) ORDER BY resource COLLATE "C""#,
        &resources
    )
    .fetch_all(on)
    .await
    .map_err(failed("read when resources were seen"))?;
    rows.into_iter().map(SightingRow::sighting).collect()
}
