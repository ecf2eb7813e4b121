//! Removing what nobody needs any more.

use ebbgate_broker_ports::{
    StoreError,
    store::{Purged, Stale},
};
use ebbgate_broker_store_common::{failed, nanos};
use sqlx::PgConnection;

pub(crate) const DOING: &str = "remove what nobody needs any more";

/// Each kind by itself. Brokers that purge at the same time skip what the other holds.
pub(crate) async fn purge(
    on: &mut PgConnection,
    stale: Stale,
    limit: u32,
) -> Result<Purged, StoreError> {
    let agents: Vec<_> = stale.agents.iter().map(ToString::to_string).collect();
    let limit = i64::from(limit);
    let keys = sqlx::query!(
        "DELETE FROM idempotency_keys WHERE (principal, key) IN (
             SELECT principal, key FROM idempotency_keys WHERE at_ns < $1 ORDER BY at_ns LIMIT $2
             FOR UPDATE SKIP LOCKED
         )",
        nanos(stale.keys_before),
        limit
    )
    .execute(&mut *on)
    .await
    .map_err(failed(DOING))?;
    let tokens = sqlx::query!(
        "DELETE FROM enrolment_tokens WHERE id IN (
             SELECT id FROM enrolment_tokens
             WHERE coalesce(spent_at_ns, expires_at_ns) < $1 ORDER BY id LIMIT $2
             FOR UPDATE SKIP LOCKED
         )",
        nanos(stale.tokens_before),
        limit
    )
    .execute(&mut *on)
    .await
    .map_err(failed(DOING))?;
    let agents = sqlx::query!("DELETE FROM agents WHERE retired AND id = ANY($1)", &agents)
        .execute(&mut *on)
        .await
        .map_err(failed(DOING))?;
    Ok(Purged {
        keys: keys.rows_affected(),
        tokens: tokens.rows_affected(),
        agents: agents.rows_affected(),
    })
}
