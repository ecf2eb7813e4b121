//! Flows that administrators applied.

use ebbgate_broker_ports::StoreError;
use ebbgate_broker_store_common::{FlowSetRow, Row, Seals, Shelf, Written, failed, flow_set};
use ebbgate_domain::flow_set::FlowSet;
use sqlx::PgConnection;

use crate::{
    change::{broken, unique},
    queries::Log,
};

impl Shelf for Log<'_> {
    async fn flow_sets(&mut self, before: &str, limit: i64) -> Result<Vec<Row>, StoreError> {
        sqlx::query_as!(
            Row,
            r#"SELECT id, 0 AS "version!: i64", document, seal FROM flow_sets
               WHERE id < $1 ORDER BY id DESC LIMIT $2"#,
            before,
            limit
        )
        .fetch_all(&mut *self.0)
        .await
        .map_err(failed("list applied flows"))
    }
}

/// A row that nobody believes does not take the place of one that a broker writes.
pub(crate) async fn write(
    to: &mut PgConnection,
    seals: &Seals,
    set: &FlowSet,
) -> Result<Written, StoreError> {
    let row = FlowSetRow::of(set, seals)?;
    let known = sqlx::query_as!(
        Row,
        r#"SELECT id, 0 AS "version!: i64", document, seal FROM flow_sets WHERE id = $1 FOR UPDATE"#,
        row.id
    )
    .fetch_optional(&mut *to)
    .await
    .map_err(broken)?;
    if let Some(known) = known {
        if flow_set(&known, seals)?.is_some() {
            return Err(StoreError::Conflict);
        }
        sqlx::query!("DELETE FROM flow_sets WHERE id = $1", row.id)
            .execute(&mut *to)
            .await
            .map_err(broken)?;
    }
    sqlx::query!(
        "INSERT INTO flow_sets (id, document, seal) VALUES ($1, $2, $3)",
        row.id,
        row.document,
        row.seal
    )
    .execute(to)
    .await
    .map_err(unique(StoreError::Conflict))?;
    Ok(row.written)
}
