//! One transaction for everything that a decision changes.

use ebbgate_broker_ports::{
    StoreError,
    store::{AgentRecord, Change, EnrolmentToken, IdempotencyKey, OutboxItem},
};
use ebbgate_broker_store_common::{
    AgentRow, DelegationRow, GrantRow, RequestRow, append, as_retired, encode, failed, head, nanos,
    signed, spent_at,
};
use ebbgate_domain::audit::AuditEvent;
use sqlx::{SqliteConnection, SqlitePool};

use crate::delegations;

pub(crate) const DOING: &str = "commit a change";

/// Writes all of it, or nothing.
pub(crate) async fn commit(writer: &SqlitePool, change: Change) -> Result<(), StoreError> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed(DOING))?;
    write(&mut transaction, change).await?;
    transaction.commit().await.map_err(failed(DOING))
}

/// The key comes first: whoever repeats a call shall learn that, and not that the version they
/// expected is gone.
async fn write(to: &mut SqliteConnection, change: Change) -> Result<(), StoreError> {
    if let Some(key) = &change.idempotency {
        insert_key(to, key).await?;
    }
    if let Some(token) = change.spend {
        spend(to, &token.to_string(), spent_at(&change)?).await?;
    }
    for request in change.requests {
        write_request(to, RequestRow::of(request)?).await?;
    }
    for grant in change.grants {
        write_grant(to, GrantRow::of(grant)?).await?;
    }
    for delegation in change.delegations {
        delegations::write(to, DelegationRow::of(delegation)?).await?;
    }
    for agent in change.agents {
        write_agent(to, agent).await?;
    }
    for token in &change.tokens {
        insert_token(to, token).await?;
    }
    for item in &change.notices {
        insert_notice(to, item).await?;
    }
    append_events(to, &change.events).await
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

async fn spend(to: &mut SqliteConnection, token: &str, at: i64) -> Result<(), StoreError> {
    let done = sqlx::query!(
        "UPDATE enrolment_tokens SET spent_at_ns = ?2 WHERE id = ?1 AND spent_at_ns IS NULL",
        token,
        at
    )
    .execute(to)
    .await
    .map_err(failed(DOING))?;
    exactly_one(done.rows_affected(), StoreError::TokenSpent)
}

async fn write_request(to: &mut SqliteConnection, row: RequestRow) -> Result<(), StoreError> {
    let Some(expected) = row.expected else {
        sqlx::query!(
            "INSERT INTO requests (id, version, requester, state, is_over, due_at_ns, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            row.id,
            row.version,
            row.requester,
            row.state,
            row.is_over,
            row.due_at_ns,
            row.document
        )
        .execute(to)
        .await
        .map_err(unique(StoreError::Conflict))?;
        return Ok(());
    };
    let done = sqlx::query!(
        "UPDATE requests
         SET version = ?3, requester = ?4, state = ?5, is_over = ?6, due_at_ns = ?7, document = ?8
         WHERE id = ?1 AND version = ?2",
        row.id,
        expected,
        row.version,
        row.requester,
        row.state,
        row.is_over,
        row.due_at_ns,
        row.document
    )
    .execute(to)
    .await
    .map_err(failed(DOING))?;
    exactly_one(done.rows_affected(), StoreError::Conflict)
}

async fn write_grant(to: &mut SqliteConnection, row: GrantRow) -> Result<(), StoreError> {
    let Some(expected) = row.expected else {
        sqlx::query!(
            "INSERT INTO grants (id, version, request_id, principal, integration, state, is_over,
                                 due_at_ns, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            row.id,
            row.version,
            row.request_id,
            row.principal,
            row.integration,
            row.state,
            row.is_over,
            row.due_at_ns,
            row.document
        )
        .execute(to)
        .await
        .map_err(unique(StoreError::Conflict))?;
        return Ok(());
    };
    let done = sqlx::query!(
        "UPDATE grants
         SET version = ?3, request_id = ?4, principal = ?5, integration = ?6, state = ?7,
             is_over = ?8, due_at_ns = ?9, document = ?10
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
        row.document
    )
    .execute(to)
    .await
    .map_err(failed(DOING))?;
    exactly_one(done.rows_affected(), StoreError::Conflict)
}

/// An agent that is on record is replaced; once retired it stays so, whatever a late note says. A
/// new one takes its name from whoever bears it.
async fn write_agent(to: &mut SqliteConnection, mut agent: AgentRecord) -> Result<(), StoreError> {
    let id = agent.id.to_string();
    let name = agent.name.as_str().to_owned();
    let known =
        sqlx::query_scalar!(r#"SELECT retired AS "retired: bool" FROM agents WHERE id = ?1"#, id)
            .fetch_optional(&mut *to)
            .await
            .map_err(failed(DOING))?;
    if let Some(retired) = known {
        agent.retired |= retired;
        let document = encode(&agent)?;
        sqlx::query!(
            "UPDATE agents SET name = ?2, retired = ?3, document = ?4 WHERE id = ?1",
            id,
            name,
            agent.retired,
            document
        )
        .execute(to)
        .await
        .map_err(unique(StoreError::Conflict))?;
        return Ok(());
    }
    let bearers = sqlx::query_as!(
        AgentRow,
        "SELECT id, document FROM agents WHERE name = ?1 AND retired = 0",
        name
    )
    .fetch_all(&mut *to)
    .await
    .map_err(failed(DOING))?;
    for bearer in bearers {
        let bearer = as_retired(bearer)?;
        sqlx::query!(
            "UPDATE agents SET retired = 1, document = ?2 WHERE id = ?1",
            bearer.id,
            bearer.document
        )
        .execute(&mut *to)
        .await
        .map_err(failed(DOING))?;
    }
    let document = encode(&agent)?;
    sqlx::query!(
        "INSERT INTO agents (id, name, retired, document) VALUES (?1, ?2, ?3, ?4)",
        id,
        name,
        agent.retired,
        document
    )
    .execute(to)
    .await
    .map_err(unique(StoreError::Conflict))?;
    Ok(())
}

async fn insert_token(to: &mut SqliteConnection, token: &EnrolmentToken) -> Result<(), StoreError> {
    let id = token.id.to_string();
    let agent = token.agent.as_str();
    let expires_at = nanos(token.expires_at);
    let spent_at = token.spent_at.map(nanos);
    let integrations = token.integrations.as_ref().map(encode).transpose()?;
    sqlx::query!(
        "INSERT INTO enrolment_tokens
             (id, secret_hash, agent, integrations, expires_at_ns, spent_at_ns)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        id,
        token.secret_hash,
        agent,
        integrations,
        expires_at,
        spent_at
    )
    .execute(to)
    .await
    .map_err(unique(StoreError::Conflict))?;
    Ok(())
}

async fn insert_notice(to: &mut SqliteConnection, item: &OutboxItem) -> Result<(), StoreError> {
    let id = item.id.to_string();
    let request = item.notice.request.to_string();
    let at = nanos(item.at);
    let failures = i64::from(item.failures);
    let document = encode(&item.notice)?;
    sqlx::query!(
        "INSERT INTO outbox (id, request_id, at_ns, failures, due_at_ns, document)
         VALUES (?1, ?2, ?3, ?4, ?3, ?5)",
        id,
        request,
        at,
        failures,
        document
    )
    .execute(to)
    .await
    .map_err(unique(StoreError::Conflict))?;
    Ok(())
}

async fn append_events(to: &mut SqliteConnection, events: &[AuditEvent]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let end = sqlx::query!("SELECT records, hash FROM audit_head")
        .fetch_one(&mut *to)
        .await
        .map_err(failed(DOING))?;
    let (records, end) = append(&head(end.records, end.hash)?, events)?;
    for record in records {
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
    let count = signed(end.records)?;
    sqlx::query!("UPDATE audit_head SET records = ?1, hash = ?2", count, end.hash)
        .execute(to)
        .await
        .map_err(failed(DOING))?;
    Ok(())
}
