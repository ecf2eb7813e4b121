//! Removing what nobody needs any more.

use ebbgate_broker_ports::{
    StoreError,
    store::{Purged, Stale},
};
use ebbgate_broker_store_common::{encode, failed, nanos};
use sqlx::SqlitePool;

pub(crate) const DOING: &str = "remove what nobody needs any more";

/// Each kind by itself: whoever wants to commit need not wait for all of it.
pub(crate) async fn purge(
    writer: &SqlitePool,
    stale: &Stale,
    limit: u32,
) -> Result<Purged, StoreError> {
    let (keys_before, tokens_before) = (nanos(stale.keys_before), nanos(stale.tokens_before));
    let agents: Vec<_> = stale.agents.iter().map(ToString::to_string).collect();
    let (agents, limit) = (encode(&agents)?, i64::from(limit));
    let keys = sqlx::query!(
        "DELETE FROM idempotency_keys WHERE (principal, key) IN (
             SELECT principal, key FROM idempotency_keys WHERE at_ns < ?1 ORDER BY at_ns LIMIT ?2
         )",
        keys_before,
        limit
    )
    .execute(writer)
    .await
    .map_err(failed(DOING))?;
    let tokens = sqlx::query!(
        "DELETE FROM enrolment_tokens WHERE id IN (
             SELECT id FROM enrolment_tokens
             WHERE coalesce(spent_at_ns, expires_at_ns) < ?1 ORDER BY id LIMIT ?2
         )",
        tokens_before,
        limit
    )
    .execute(writer)
    .await
    .map_err(failed(DOING))?;
    let agents = sqlx::query!(
        "DELETE FROM agents WHERE retired = 1 AND id IN (SELECT value FROM json_each(?1))",
        agents
    )
    .execute(writer)
    .await
    .map_err(failed(DOING))?;
    Ok(Purged {
        keys: keys.rows_affected(),
        tokens: tokens.rows_affected(),
        agents: agents.rows_affected(),
    })
}
