//! Notices on their way: taken, delivered, or tried again.

use ebbgate_broker_ports::{StoreError, store::OutboxItem};
use ebbgate_broker_store_common::{NoticeRow, Seals, failed};
use sqlx::SqlitePool;

/// Hands out notices that are due and hides them until `until`. Of each request only the oldest
/// that is still undelivered: a later one before it would tell the story the wrong way round.
pub(crate) async fn take(
    writer: &SqlitePool,
    seals: &Seals,
    now: i64,
    until: i64,
    limit: u32,
) -> Result<Vec<OutboxItem>, StoreError> {
    const DOING: &str = "take notices";
    let limit = i64::from(limit);
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed(DOING))?;
    let mut rows = sqlx::query_as!(
        NoticeRow,
        "UPDATE outbox SET due_at_ns = ?2
         WHERE seq IN (
             SELECT seq FROM outbox AS candidate
             WHERE due_at_ns <= ?1 AND NOT EXISTS (
                 SELECT 1 FROM outbox AS earlier
                 WHERE earlier.request_id = candidate.request_id
                   AND earlier.seq < candidate.seq
                   AND earlier.due_at_ns IS NOT NULL
             )
             ORDER BY seq LIMIT ?3
         )
         RETURNING seq, id, at_ns, failures, document, seal",
        now,
        until,
        limit
    )
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(DOING))?;
    // RETURNING promises no order.
    rows.sort_by_key(|row| row.seq);
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        let seq = row.seq;
        if let Some(item) = row.believed(seals)? {
            items.push(item);
            continue;
        }
        sqlx::query!("UPDATE outbox SET due_at_ns = NULL WHERE seq = ?1", seq)
            .execute(&mut *transaction)
            .await
            .map_err(failed(DOING))?;
    }
    transaction.commit().await.map_err(failed(DOING))?;
    Ok(items)
}

pub(crate) async fn delivered(writer: &SqlitePool, id: &str) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM outbox WHERE id = ?1", id)
        .execute(writer)
        .await
        .map_err(failed("note a delivery"))?;
    Ok(())
}

pub(crate) async fn failed_until(
    writer: &SqlitePool,
    id: &str,
    next: i64,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET failures = failures + 1, due_at_ns = ?2 WHERE id = ?1",
        id,
        next
    )
    .execute(writer)
    .await
    .map_err(failed("note a failed delivery"))?;
    Ok(())
}
