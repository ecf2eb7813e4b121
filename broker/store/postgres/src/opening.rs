//! Opening the store's seals, and sealing by hand what an operator vouches for.

use ebbgate_broker_ports::{StoreError, crash};
use ebbgate_broker_store_common::{
    Found, NoticeRow, Opening, Row, SealKeyFile, Sealing, Seals, Table, TokenRow, failed, opening,
};
use sqlx::{Connection as _, PgConnection};

use crate::queries::audit_head;

const DOING: &str = "open its seals";
const SEALING: &str = "seal its records";
/// How many rows are held in memory at once.
const BATCH: i64 = 1_000;

/// Seals under the key that the store's rows are sealed with.
pub(crate) async fn open(on: &mut PgConnection, file: &SealKeyFile) -> Result<Seals, StoreError> {
    let found = look(on).await?;
    let head = found.head.audit()?;
    let key = match opening(file, found)? {
        Opening::Ready(key) => key,
        Opening::New(key, end) => {
            // Where another broker was faster, the store is its own by now, and it is not new any more.
            let sealed = sqlx::query!(
                "UPDATE audit_head SET seal = $1 WHERE seal IS NULL AND records = 0",
                end.seal
            )
            .execute(&mut *on)
            .await
            .map_err(failed(DOING))?;
            if sealed.rows_affected() == 1 {
                return Seals::new(key, file.clone(), head);
            }
            let found = look(on).await?;
            let Opening::Ready(key) = opening(file, found)? else {
                return Err(StoreError::Conflict);
            };
            key
        }
    };
    Seals::new(key, file.clone(), head)
}

async fn look(on: &mut PgConnection) -> Result<Found, StoreError> {
    let head = audit_head(&mut *on).await?;
    let rows = sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT 1 FROM requests UNION ALL SELECT 1 FROM grants UNION ALL SELECT 1 FROM agents
             UNION ALL SELECT 1 FROM delegations UNION ALL SELECT 1 FROM flow_sets
             UNION ALL SELECT 1 FROM enrolment_tokens UNION ALL SELECT 1 FROM outbox
         ) AS "rows!: bool""#
    )
    .fetch_one(&mut *on)
    .await
    .map_err(failed(DOING))?;
    let requests = sqlx::query_as!(
        Row,
        "SELECT id, version, document, seal FROM requests ORDER BY id DESC LIMIT 32"
    )
    .fetch_all(on)
    .await
    .map_err(failed(DOING))?;
    Ok(Found { head, rows, requests })
}

/// Which records bear no seal of the store's key; with `accept` they get one.
pub(crate) async fn seal(
    on: &mut PgConnection,
    file: &SealKeyFile,
    accept: bool,
) -> Result<Vec<(Table, String)>, StoreError> {
    let mut transaction = on.begin().await.map_err(failed(SEALING))?;
    // Nobody writes meanwhile: what is sealed is what was looked at.
    sqlx::raw_sql(
        "LOCK TABLE requests, grants, delegations, flow_sets, agents, enrolment_tokens, outbox,
         audit_head IN SHARE ROW EXCLUSIVE MODE",
    )
    .execute(&mut *transaction)
    .await
    .map_err(failed(SEALING))?;
    let mut sealing = Sealing::with(file, accept)?;
    documents(&mut transaction, &mut sealing).await?;
    others(&mut transaction, &mut sealing).await?;
    let head = audit_head(&mut transaction).await?;
    if let Some(end) = sealing.end(head.clone()) {
        sqlx::query!("UPDATE audit_head SET seal = $1", end.seal)
            .execute(&mut *transaction)
            .await
            .map_err(failed(SEALING))?;
    }
    if accept {
        crash::point("broker.seal.before_commit");
        transaction.commit().await.map_err(failed(SEALING))?;
        // Until the mark is set nothing is given, and sealing again sets it.
        crash::point("broker.seal.after_commit");
        file.set_mark(&head.audit()?).map_err(failed(SEALING))?;
    } else {
        transaction.rollback().await.map_err(failed(SEALING))?;
    }
    Ok(sealing.found)
}

/// Seals the rows of a table whose rows have documents, in the order of their ids.
macro_rules! documents {
    ($name:literal, $version:literal, $table:expr, $on:expr, $sealing:expr) => {{
        let mut after = String::new();
        loop {
            let rows = sqlx::query_as!(
                Row,
                "SELECT id, "
                    + $version
                    + ", document, seal FROM "
                    + $name
                    + " WHERE id > $1 ORDER BY id LIMIT $2",
                after,
                BATCH
            )
            .fetch_all(&mut *$on)
            .await
            .map_err(failed(SEALING))?;
            let Some(last) = rows.last() else { break };
            after.clone_from(&last.id);
            for row in rows {
                let seal = $sealing.look(row.sealed($table), row.seal.as_deref());
                let Some(seal) = seal else { continue };
                sqlx::query!("UPDATE " + $name + " SET seal = $2 WHERE id = $1", row.id, seal)
                    .execute(&mut *$on)
                    .await
                    .map_err(failed(SEALING))?;
            }
        }
    }};
}

async fn documents(on: &mut PgConnection, sealing: &mut Sealing) -> Result<(), StoreError> {
    documents!("requests", "version", Table::Requests, on, sealing);
    documents!("grants", "version", Table::Grants, on, sealing);
    documents!("delegations", "version", Table::Delegations, on, sealing);
    documents!("flow_sets", "0 AS \"version!: i64\"", Table::FlowSets, on, sealing);
    documents!("agents", "0 AS \"version!: i64\"", Table::Agents, on, sealing);
    Ok(())
}

async fn others(on: &mut PgConnection, sealing: &mut Sealing) -> Result<(), StoreError> {
    let tokens = sqlx::query_as!(
        TokenRow,
        "SELECT id, secret_hash, agent, integrations, expires_at_ns, spent_at_ns, seal
         FROM enrolment_tokens"
    )
    .fetch_all(&mut *on)
    .await
    .map_err(failed(SEALING))?;
    for row in tokens {
        let seal = sealing.look(row.sealed(&row.content()?), row.seal.as_deref());
        let Some(seal) = seal else { continue };
        sqlx::query!("UPDATE enrolment_tokens SET seal = $2 WHERE id = $1", row.id, seal)
            .execute(&mut *on)
            .await
            .map_err(failed(SEALING))?;
    }
    let notices = sqlx::query_as!(
        NoticeRow,
        "SELECT seq, id, at_ns, channel, failures, document, seal FROM outbox"
    )
    .fetch_all(&mut *on)
    .await
    .map_err(failed(SEALING))?;
    for row in notices {
        let seal = sealing.look(row.sealed(&row.content()), row.seal.as_deref());
        let Some(seal) = seal else { continue };
        sqlx::query!("UPDATE outbox SET seal = $2 WHERE seq = $1", row.seq, seal)
            .execute(&mut *on)
            .await
            .map_err(failed(SEALING))?;
    }
    Ok(())
}
