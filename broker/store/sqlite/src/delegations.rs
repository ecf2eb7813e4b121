//! Who speaks in whose place.

use ebbgate_broker_ports::{StoreError, store::Versioned};
use ebbgate_broker_store_common::{DelegationRow, Row, Seals, Written, failed, nanos};
use ebbgate_domain::{Timestamp, delegation::Delegation};
use sqlx::SqliteConnection;

use crate::{
    change::{DOING, exactly_one, unique},
    queries::Log,
};

pub(crate) async fn write(
    to: &mut SqliteConnection,
    row: DelegationRow,
) -> Result<Written, StoreError> {
    let Some(expected) = row.expected else {
        sqlx::query!(
            "INSERT INTO delegations (id, version, until_ns, document, seal)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            row.id,
            row.version,
            row.until_ns,
            row.document,
            row.seal
        )
        .execute(to)
        .await
        .map_err(unique(StoreError::Conflict))?;
        return Ok(row.written);
    };
    let done = sqlx::query!(
        "UPDATE delegations SET version = ?3, until_ns = ?4, document = ?5, seal = ?6
         WHERE id = ?1 AND version = ?2",
        row.id,
        expected,
        row.version,
        row.until_ns,
        row.document,
        row.seal
    )
    .execute(to)
    .await
    .map_err(failed(DOING))?;
    exactly_one(done.rows_affected(), StoreError::Conflict)?;
    Ok(row.written)
}

pub(crate) async fn not_over(
    on: &mut SqliteConnection,
    seals: &Seals,
    now: Timestamp,
) -> Result<Vec<Versioned<Delegation>>, StoreError> {
    let upto = seals.heed(&mut Log(on)).await?;
    let at = nanos(now);
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, version, document, seal FROM delegations WHERE until_ns > ?1 ORDER BY id",
        at
    )
    .fetch_all(&mut *on)
    .await
    .map_err(failed("list delegations"))?;
    seals.believed(rows, upto, |found: &Delegation| found.end() > now, &mut Log(on)).await
}
