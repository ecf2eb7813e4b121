//! One transaction for everything that a decision changes.

use ebbgate_broker_ports::{
    StoreError,
    store::{AgentRecord, Change, EnrolmentToken, IdempotencyKey, OutboxItem},
};
use ebbgate_broker_store_common::{
    AgentRow, DelegationRow, GrantRow, HeadRow, NoticeRow, RequestRow, Row, Seals, TokenRow,
    Written, append, failed, moment, nanos, signed, spent_at,
};
use ebbgate_domain::audit::{AuditEvent, AuditRecord};
use sqlx::{SqliteConnection, SqlitePool};

use crate::{delegations, flow_sets, outbox, queries::Log};

pub(crate) const DOING: &str = "commit a change";

/// Writes all of it, or nothing.
pub(crate) async fn commit(
    writer: &SqlitePool,
    seals: &Seals,
    change: Change,
) -> Result<(), StoreError> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed(DOING))?;
    let appended = write(&mut transaction, seals, change).await?;
    transaction.commit().await.map_err(failed(DOING))?;
    seals.appended(&appended).await;
    Ok(())
}

/// The key comes first: whoever repeats a call shall learn that, and not that the version they
/// expected is gone.
async fn write(
    to: &mut SqliteConnection,
    seals: &Seals,
    change: Change,
) -> Result<Vec<AuditRecord>, StoreError> {
    let mut written = Vec::new();
    if let Some(key) = &change.idempotency {
        insert_key(to, key).await?;
    }
    if let Some(token) = change.spend {
        spend(to, seals, &token.to_string(), spent_at(&change)?).await?;
    }
    for request in change.requests {
        written.push(write_request(to, RequestRow::of(request, seals)?).await?);
    }
    for grant in change.grants {
        written.push(write_grant(to, GrantRow::of(grant, seals)?).await?);
    }
    for delegation in change.delegations {
        written.push(delegations::write(to, DelegationRow::of(delegation, seals)?).await?);
    }
    if let Some(set) = &change.flows {
        written.push(flow_sets::write(to, seals, set).await?);
    }
    for agent in change.agents {
        written.push(write_agent(to, seals, agent).await?);
    }
    for token in &change.tokens {
        written.push(insert_token(to, TokenRow::of(token, seals)?).await?);
    }
    for item in &change.notices {
        insert_notice(to, seals, item).await?;
    }
    if let Some(channel) = &change.replay {
        outbox::replay(to, channel.as_str()).await?;
    }
    append_events(to, seals, &written, &change.events).await
}

/// `otherwise` where the database says that something exists already.
pub(crate) fn unique(otherwise: StoreError) -> impl FnOnce(sqlx::Error) -> StoreError {
    |error| match &error {
        sqlx::Error::Database(cause) if cause.is_unique_violation() => otherwise,
        _ => failed(DOING)(error),
    }
}

pub(crate) fn exactly_one(rows: u64, otherwise: StoreError) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(otherwise) }
}

async fn insert_key(to: &mut SqliteConnection, key: &IdempotencyKey) -> Result<(), StoreError> {
    let principal = key.principal.as_str();
    let at = nanos(key.at);
    sqlx::query!(
        "INSERT INTO idempotency_keys (principal, key, fingerprint, subject, at_ns)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        principal,
        key.key,
        key.fingerprint,
        key.subject,
        at
    )
    .execute(to)
    .await
    .map_err(unique(StoreError::KeyUsed))?;
    Ok(())
}

/// The token, spent: a row that nobody may write but whoever has the key.
async fn spend(
    to: &mut SqliteConnection,
    seals: &Seals,
    id: &str,
    at: i64,
) -> Result<(), StoreError> {
    let upto = seals.heeded();
    let known = sqlx::query_as!(
        TokenRow,
        "SELECT id, secret_hash, agent, integrations, expires_at_ns, spent_at_ns, seal
         FROM enrolment_tokens WHERE id = ?1",
        id
    )
    .fetch_optional(&mut *to)
    .await
    .map_err(failed(DOING))?;
    let token = known.ok_or(StoreError::TokenSpent)?.believed(upto, seals, &mut Log(to)).await?;
    if token.spent_at.is_some() {
        return Err(StoreError::TokenSpent);
    }
    let spent = TokenRow::of(&EnrolmentToken { spent_at: Some(moment(at)), ..token }, seals)?;
    sqlx::query!(
        "UPDATE enrolment_tokens SET spent_at_ns = ?2, seal = ?3 WHERE id = ?1",
        spent.id,
        spent.spent_at_ns,
        spent.seal
    )
    .execute(to)
    .await
    .map_err(failed(DOING))?;
    Ok(())
}

async fn write_request(to: &mut SqliteConnection, row: RequestRow) -> Result<Written, StoreError> {
    let Some(expected) = row.expected else {
        sqlx::query!(
            "INSERT INTO requests (id, version, requester, state, is_over, due_at_ns, document, seal)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            row.id,
            row.version,
            row.requester,
            row.state,
            row.is_over,
            row.due_at_ns,
            row.document,
            row.seal
        )
        .execute(to)
        .await
        .map_err(unique(StoreError::Conflict))?;
        return Ok(row.written);
    };
    let done = sqlx::query!(
        "UPDATE requests
         SET version = ?3, requester = ?4, state = ?5, is_over = ?6, due_at_ns = ?7, document = ?8,
             seal = ?9
         WHERE id = ?1 AND version = ?2",
        row.id,
        expected,
        row.version,
        row.requester,
        row.state,
        row.is_over,
        row.due_at_ns,
        row.document,
        row.seal
    )
    .execute(to)
    .await
    .map_err(failed(DOING))?;
    exactly_one(done.rows_affected(), StoreError::Conflict)?;
    Ok(row.written)
}

async fn write_grant(to: &mut SqliteConnection, row: GrantRow) -> Result<Written, StoreError> {
    let Some(expected) = row.expected else {
        sqlx::query!(
            "INSERT INTO grants (id, version, request_id, principal, integration, state, is_over,
                                 due_at_ns, document, seal)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            row.id,
            row.version,
            row.request_id,
            row.principal,
            row.integration,
            row.state,
            row.is_over,
            row.due_at_ns,
            row.document,
            row.seal
        )
        .execute(to)
        .await
        .map_err(unique(StoreError::Conflict))?;
        return Ok(row.written);
    };
    let done = sqlx::query!(
        "UPDATE grants
         SET version = ?3, request_id = ?4, principal = ?5, integration = ?6, state = ?7,
             is_over = ?8, due_at_ns = ?9, document = ?10, seal = ?11
         WHERE id = ?1 AND version = ?2",
        row.id,
        expected,
        row.version,
        row.request_id,
        row.principal,
        row.integration,
        row.state,
        row.is_over,
        row.due_at_ns,
        row.document,
        row.seal
    )
    .execute(to)
    .await
    .map_err(failed(DOING))?;
    exactly_one(done.rows_affected(), StoreError::Conflict)?;
    Ok(row.written)
}

/// An agent that is on record is replaced; once retired it stays so, whatever a late note says. A
/// new one takes its name from whoever bears it.
async fn write_agent(
    to: &mut SqliteConnection,
    seals: &Seals,
    mut agent: AgentRecord,
) -> Result<Written, StoreError> {
    let (id, name) = (agent.id.to_string(), agent.name.to_string());
    let upto = seals.heeded();
    let known = sqlx::query_as!(
        Row,
        r#"SELECT id, 0 AS "version!: i64", document, seal FROM agents WHERE id = ?1"#,
        id
    )
    .fetch_optional(&mut *to)
    .await
    .map_err(failed(DOING))?;
    if let Some(known) = known {
        let known = seals.believe::<AgentRecord>(known, upto, &mut Log(to)).await?;
        agent.retired |= known.value.retired;
        return update_agent(to, AgentRow::of(&agent, false, seals)?).await;
    }
    let bearers = sqlx::query_as!(
        Row,
        r#"SELECT id, 0 AS "version!: i64", document, seal
           FROM agents WHERE name = ?1 AND retired = 0"#,
        name
    )
    .fetch_all(&mut *to)
    .await
    .map_err(failed(DOING))?;
    for bearer in bearers {
        let bearer_id = bearer.id.clone();
        if let Some(bearer) = AgentRow::retired(bearer, upto, seals, &mut Log(to)).await? {
            update_agent(to, bearer).await?;
        } else {
            sqlx::query!("UPDATE agents SET retired = 1 WHERE id = ?1", bearer_id)
                .execute(&mut *to)
                .await
                .map_err(failed(DOING))?;
        }
    }
    let row = AgentRow::of(&agent, true, seals)?;
    sqlx::query!(
        "INSERT INTO agents (id, name, retired, document, seal) VALUES (?1, ?2, ?3, ?4, ?5)",
        row.id,
        row.name,
        row.retired,
        row.document,
        row.seal
    )
    .execute(to)
    .await
    .map_err(unique(StoreError::Conflict))?;
    Ok(row.written)
}

async fn update_agent(to: &mut SqliteConnection, row: AgentRow) -> Result<Written, StoreError> {
    sqlx::query!(
        "UPDATE agents SET name = ?2, retired = ?3, document = ?4, seal = ?5 WHERE id = ?1",
        row.id,
        row.name,
        row.retired,
        row.document,
        row.seal
    )
    .execute(to)
    .await
    .map_err(unique(StoreError::Conflict))?;
    Ok(row.written)
}

async fn insert_token(to: &mut SqliteConnection, row: TokenRow) -> Result<Written, StoreError> {
    let written = row.written();
    sqlx::query!(
        "INSERT INTO enrolment_tokens
             (id, secret_hash, agent, integrations, expires_at_ns, spent_at_ns, seal)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        row.id,
        row.secret_hash,
        row.agent,
        row.integrations,
        row.expires_at_ns,
        row.spent_at_ns,
        row.seal
    )
    .execute(to)
    .await
    .map_err(unique(StoreError::Conflict))?;
    Ok(written)
}

async fn insert_notice(
    to: &mut SqliteConnection,
    seals: &Seals,
    item: &OutboxItem,
) -> Result<(), StoreError> {
    let (row, request) = (NoticeRow::of(item, seals)?, item.notice.request.to_string());
    sqlx::query!(
        "INSERT INTO outbox (id, request_id, at_ns, channel, failures, due_at_ns, document, seal)
         VALUES (?1, ?2, ?3, ?4, ?5, ?3, ?6, ?7)",
        row.id,
        request,
        row.at_ns,
        row.channel,
        row.failures,
        row.document,
        row.seal
    )
    .execute(to)
    .await
    .map_err(unique(StoreError::Conflict))?;
    Ok(())
}

/// Appends to the audit chain. What is written must not contradict what stands there already, and
/// nobody can append to it any more.
async fn append_events(
    to: &mut SqliteConnection,
    seals: &Seals,
    written: &[Written],
    events: &[AuditEvent],
) -> Result<Vec<AuditRecord>, StoreError> {
    if written.is_empty() && events.is_empty() {
        return Ok(Vec::new());
    }
    let end = sqlx::query_as!(HeadRow, "SELECT records, hash, seal FROM audit_head")
        .fetch_one(&mut *to)
        .await
        .map_err(failed(DOING))?;
    let whole = seals.admit(written, events, &end, &mut Log(to)).await?;
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let (records, end) = append(seals, end, whole, events)?;
    for record in &records {
        let seq = signed(record.seq)?;
        sqlx::query!(
            "INSERT INTO audit_records (seq, prev_hash, hash, body) VALUES (?1, ?2, ?3, ?4)",
            seq,
            record.prev_hash,
            record.hash,
            record.body
        )
        .execute(&mut *to)
        .await
        .map_err(failed(DOING))?;
    }
    sqlx::query!(
        "UPDATE audit_head SET records = ?1, hash = ?2, seal = ?3",
        end.records,
        end.hash,
        end.seal
    )
    .execute(to)
    .await
    .map_err(failed(DOING))?;
    Ok(records)
}
