//! Notices on their way: taken, delivered, or tried again.

use ebbgate_broker_ports::{
    StoreError,
    store::{Backlog, OutboxItem},
};
use ebbgate_broker_store_common::{BacklogRow, NoticeRow, Seals, failed, short_error};
use sqlx::{SqliteConnection, SqlitePool};

/// Hands out notices that are due and hides them until `until`. Of each request only the oldest
/// that is still undelivered: a later one before it would tell the story the wrong way round.
pub(crate) async fn take(
    writer: &SqlitePool,
    seals: &Seals,
    channel: &str,
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
             WHERE channel = ?4 AND due_at_ns <= ?1 AND NOT EXISTS (
                 SELECT 1 FROM outbox AS earlier
                 WHERE earlier.channel = candidate.channel
                   AND earlier.request_id = candidate.request_id
                   AND earlier.seq < candidate.seq
                   AND earlier.due_at_ns IS NOT NULL
             )
             ORDER BY seq LIMIT ?3
         )
         RETURNING seq, id, at_ns, channel, failures, document, seal",
        now,
        until,
        limit,
        channel
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
    next: Option<i64>,
    why: &str,
) -> Result<(), StoreError> {
    let why = short_error(why);
    sqlx::query!(
        "UPDATE outbox SET failures = failures + 1, due_at_ns = ?2, last_error = ?3 WHERE id = ?1",
        id,
        next,
        why
    )
    .execute(writer)
    .await
    .map_err(failed("note a failed delivery"))?;
    Ok(())
}

/// How far each channel is behind.
pub(crate) async fn backlog(on: &mut SqliteConnection) -> Result<Vec<Backlog>, StoreError> {
    let rows = sqlx::query_as!(
        BacklogRow,
        r#"SELECT channel AS "channel!",
                  COUNT(due_at_ns) AS "waiting!: i64",
                  MIN(CASE WHEN due_at_ns IS NOT NULL THEN at_ns END) AS "oldest_ns: i64",
                  COUNT(*) - COUNT(due_at_ns) AS "set_aside!: i64",
                  (SELECT one.last_error FROM outbox AS one
                   WHERE one.channel = outbox.channel AND one.last_error IS NOT NULL
                   ORDER BY one.seq LIMIT 1) AS "last_error: String"
           FROM outbox GROUP BY channel ORDER BY channel"#
    )
    .fetch_all(on)
    .await
    .map_err(failed("count what waits in the outbox"))?;
    rows.into_iter().map(BacklogRow::backlog).collect()
}

/// Lets what a channel has set aside be due at once.
pub(crate) async fn replay(on: &mut SqliteConnection, channel: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET due_at_ns = 0, failures = 0 WHERE channel = ?1 AND due_at_ns IS NULL",
        channel
    )
    .execute(on)
    .await
    .map_err(failed("put notices back"))?;
    Ok(())
}
