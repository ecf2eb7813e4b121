//! Notices on their way: taken, delivered, or tried again.

use ebbgate_broker_ports::{
    StoreError,
    store::{Backlog, OutboxItem},
};
use ebbgate_broker_store_common::{BacklogRow, NoticeRow, Seals, failed, short_error};
use ebbgate_domain::ids::NoticeId;
use sqlx::{Connection as _, PgConnection};

/// Hands out notices that are due and hides them until `until`. Of each request only the oldest
/// that is still undelivered: a later one before it would tell the story the wrong way round. For
/// the same reason brokers that take at the same time cannot share a request's notices, and skip
/// what the other holds instead of waiting for it.
pub(crate) async fn take(
    on: &mut PgConnection,
    seals: &Seals,
    channel: String,
    now: i64,
    until: i64,
    limit: u32,
) -> Result<Vec<OutboxItem>, StoreError> {
    const DOING: &str = "take notices";
    let mut transaction = on.begin().await.map_err(failed(DOING))?;
    let mut rows = sqlx::query_as!(
        NoticeRow,
        "UPDATE outbox SET due_at_ns = $2
         WHERE seq IN (
             SELECT seq FROM outbox AS candidate
             WHERE channel = $4 AND due_at_ns <= $1 AND NOT EXISTS (
                 SELECT 1 FROM outbox AS earlier
                 WHERE earlier.channel = candidate.channel
                   AND earlier.request_id = candidate.request_id
                   AND earlier.seq < candidate.seq
                   AND earlier.due_at_ns IS NOT NULL
             )
             ORDER BY seq LIMIT $3
             FOR UPDATE SKIP LOCKED
         )
         RETURNING seq, id, at_ns, channel, failures, document, seal",
        now,
        until,
        i64::from(limit),
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
        sqlx::query!("UPDATE outbox SET due_at_ns = NULL WHERE seq = $1", seq)
            .execute(&mut *transaction)
            .await
            .map_err(failed(DOING))?;
    }
    transaction.commit().await.map_err(failed(DOING))?;
    Ok(items)
}

pub(crate) async fn delivered(on: &mut PgConnection, id: NoticeId) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM outbox WHERE id = $1", id.to_string())
        .execute(on)
        .await
        .map_err(failed("note a delivery"))?;
    Ok(())
}

pub(crate) async fn failed_until(
    on: &mut PgConnection,
    id: NoticeId,
    next: Option<i64>,
    why: String,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET failures = failures + 1, due_at_ns = $2, last_error = $3 WHERE id = $1",
        id.to_string(),
        next,
        short_error(&why)
    )
    .execute(on)
    .await
    .map_err(failed("note a failed delivery"))?;
    Ok(())
}

/// How far each channel is behind.
pub(crate) async fn backlog(on: &mut PgConnection) -> Result<Vec<Backlog>, StoreError> {
    let rows = sqlx::query_as!(
        BacklogRow,
        r#"SELECT channel,
                  COUNT(due_at_ns) AS "waiting!",
                  MIN(at_ns) FILTER (WHERE due_at_ns IS NOT NULL) AS oldest_ns,
                  COUNT(*) - COUNT(due_at_ns) AS "set_aside!",
                  (SELECT one.last_error FROM outbox AS one
                   WHERE one.channel = outbox.channel AND one.last_error IS NOT NULL
                   ORDER BY one.seq LIMIT 1) AS last_error
           FROM outbox GROUP BY channel ORDER BY channel"#
    )
    .fetch_all(on)
    .await
    .map_err(failed("count what waits in the outbox"))?;
    rows.into_iter().map(BacklogRow::backlog).collect()
}

/// Lets what a channel has set aside be due at once.
pub(crate) async fn replay(on: &mut PgConnection, channel: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET due_at_ns = 0, failures = 0 WHERE channel = $1 AND due_at_ns IS NULL",
        channel
    )
    .execute(on)
    .await
    .map_err(failed("put notices back"))?;
    Ok(())
}
