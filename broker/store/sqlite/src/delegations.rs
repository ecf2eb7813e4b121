//! Who speaks in whose place.

use ebbgate_broker_ports::{StoreError, store::Versioned};
use ebbgate_broker_store_common::{DelegationRow, Row, failed, readable_ones};
use ebbgate_domain::delegation::Delegation;
use sqlx::{SqliteConnection, SqlitePool};

use crate::change::{DOING, exactly_one, unique};

pub(crate) async fn write(to: &mut SqliteConnection, row: DelegationRow) -> Result<(), StoreError> {
    let Some(expected) = row.expected else {
        sqlx::query!(
            "INSERT INTO delegations (id, version, until_ns, document) VALUES (?1, ?2, ?3, ?4)",
            row.id,
            row.version,
            row.until_ns,
            row.document
        )
        .execute(to)
        .await
        .map_err(unique(StoreError::Conflict))?;
        return Ok(());
    };
    let done = sqlx::query!(
        "UPDATE delegations SET version = ?3, until_ns = ?4, document = ?5
         WHERE id = ?1 AND version = ?2",
        row.id,
        expected,
        row.version,
        row.until_ns,
        row.document
    )
    .execute(to)
    .await
    .map_err(failed(DOING))?;
    exactly_one(done.rows_affected(), StoreError::Conflict)
}

pub(crate) async fn not_over(
    readers: &SqlitePool,
    now: i64,
) -> Result<Vec<Versioned<Delegation>>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, version, document FROM delegations WHERE until_ns > ?1 ORDER BY id",
        now
    )
    .fetch_all(readers)
    .await
    .map_err(failed("list delegations"))?;
    Ok(readable_ones(rows))
}
