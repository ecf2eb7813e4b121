//! Everything that only reads.

use ebbgate_broker_ports::{
    StoreError,
    store::{AgentRecord, EnrolmentToken, GrantQuery, IdempotencyKey, RequestQuery, Versioned},
};
use ebbgate_broker_store_common::{
    Book, HeadRow, Page, Row, Seals, TokenRow, due_grant, due_request, failed, grant_wanted,
    moment, request_wanted, signed, unsigned,
};
use ebbgate_domain::{
    Timestamp,
    audit::AuditRecord,
    grant::Grant,
    ids::{AgentId, GrantId, RequestId},
    names::PrincipalId,
    request::AccessRequest,
};
use sqlx::PgConnection;

/// The audit log, for the seals.
pub(crate) struct Log<'c>(pub(crate) &'c mut PgConnection);

impl Book for Log<'_> {
    async fn head(&mut self) -> Result<HeadRow, StoreError> {
        audit_head(&mut *self.0).await
    }

    async fn page(&mut self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        audit(&mut *self.0, after, limit).await
    }
}

/// Sorts after every id.
const PAST_EVERY_ID: &str = "~";

pub(crate) async fn request(
    on: &mut PgConnection,
    seals: &Seals,
    id: RequestId,
) -> Result<Option<Versioned<AccessRequest>>, StoreError> {
    let id = id.to_string();
    let upto = seals.heed(&mut Log(on)).await?;
    let row =
        sqlx::query_as!(Row, "SELECT id, version, document, seal FROM requests WHERE id = $1", id)
            .fetch_optional(&mut *on)
            .await
            .map_err(failed("read a request"))?;
    match row {
        Some(row) => Ok(Some(seals.believe(row, upto, &mut Log(on)).await?)),
        None => Ok(None),
    }
}

/// A statement that is used often is planned without looking at its parameters. So the condition
/// that narrows most stands there as it is, for an index to serve it; the others only filter.
macro_rules! requests_where {
    ($condition:literal, $query:expr, $limit:expr, $on:expr) => {{
        let requester = $query.requester.as_ref().map(PrincipalId::as_str);
        let before = $query.before.map_or_else(|| PAST_EVERY_ID.to_owned(), |id| id.to_string());
        let limit = $limit;
        sqlx::query_as!(
            Row,
            "SELECT id, version, document, seal FROM requests WHERE "
                + $condition
                + " AND id < $1
                    AND ($2::text IS NULL OR requester = $2)
                    AND (NOT $3::boolean OR state = 'pending')
                    AND (NOT $4::boolean OR NOT is_over)
                    ORDER BY id DESC LIMIT $5",
            before,
            requester,
            $query.pending,
            $query.open,
            limit
        )
        .fetch_all(&mut *$on)
        .await
    }};
}

pub(crate) async fn requests(
    on: &mut PgConnection,
    seals: &Seals,
    query: RequestQuery,
) -> Result<Vec<Versioned<AccessRequest>>, StoreError> {
    let upto = seals.heed(&mut Log(on)).await?;
    let mut page = Page::of(query.limit);
    loop {
        let window = page.window();
        let rows = if query.pending {
            requests_where!("state = 'pending'", query, window, on)
        } else if query.requester.is_some() {
            requests_where!("requester = $2", query, window, on)
        } else if query.open {
            requests_where!("NOT is_over", query, window, on)
        } else {
            requests_where!("true", query, window, on)
        };
        let rows = rows.map_err(failed("list requests"))?;
        let wanted = |request: &_| request_wanted(&query, request);
        let read = rows.len();
        let good = seals.believed(rows, upto, wanted, &mut Log(on)).await?;
        if let Some(found) = page.fill(read, good) {
            return Ok(found);
        }
    }
}

pub(crate) async fn due_requests(
    on: &mut PgConnection,
    seals: &Seals,
    now: i64,
    limit: u32,
) -> Result<Vec<Versioned<AccessRequest>>, StoreError> {
    let upto = seals.heed(&mut Log(on)).await?;
    let mut page = Page::of(limit);
    loop {
        let window = page.window();
        let rows = sqlx::query_as!(
            Row,
            "SELECT id, version, document, seal FROM requests
             WHERE due_at_ns <= $1 ORDER BY due_at_ns, id LIMIT $2",
            now,
            window
        )
        .fetch_all(&mut *on)
        .await
        .map_err(failed("list due requests"))?;
        let wanted = |request: &_| due_request(now, request);
        let read = rows.len();
        let good = seals.believed(rows, upto, wanted, &mut Log(on)).await?;
        if let Some(found) = page.fill(read, good) {
            return Ok(found);
        }
    }
}

pub(crate) async fn grant(
    on: &mut PgConnection,
    seals: &Seals,
    id: GrantId,
) -> Result<Option<Versioned<Grant>>, StoreError> {
    let id = id.to_string();
    let upto = seals.heed(&mut Log(on)).await?;
    let row =
        sqlx::query_as!(Row, "SELECT id, version, document, seal FROM grants WHERE id = $1", id)
            .fetch_optional(&mut *on)
            .await
            .map_err(failed("read a grant"))?;
    match row {
        Some(row) => Ok(Some(seals.believe(row, upto, &mut Log(on)).await?)),
        None => Ok(None),
    }
}

/// As [`requests_where`].
macro_rules! grants_where {
    ($condition:literal, $query:expr, $limit:expr, $on:expr) => {{
        let principal = $query.principal.as_ref().map(PrincipalId::as_str);
        let request = $query.request.map(|id| id.to_string());
        let integrations: Vec<_> = $query.integrations.iter().map(ToString::to_string).collect();
        let before = $query.before.map_or_else(|| PAST_EVERY_ID.to_owned(), |id| id.to_string());
        let limit = $limit;
        sqlx::query_as!(
            Row,
            "SELECT id, version, document, seal FROM grants WHERE "
                + $condition
                + " AND id < $1
                    AND ($2::text IS NULL OR principal = $2)
                    AND ($3::text IS NULL OR request_id = $3)
                    AND (cardinality($4::text[]) = 0 OR integration = ANY($4))
                    AND (NOT $5::boolean OR NOT is_over)
                    ORDER BY id DESC LIMIT $6",
            before,
            principal,
            request,
            &integrations,
            $query.live,
            limit
        )
        .fetch_all(&mut *$on)
        .await
    }};
}

pub(crate) async fn grants(
    on: &mut PgConnection,
    seals: &Seals,
    query: GrantQuery,
) -> Result<Vec<Versioned<Grant>>, StoreError> {
    let upto = seals.heed(&mut Log(on)).await?;
    let mut page = Page::of(query.limit);
    loop {
        let window = page.window();
        let rows = if query.request.is_some() {
            grants_where!("request_id = $3", query, window, on)
        } else if query.principal.is_some() {
            grants_where!("principal = $2", query, window, on)
        } else if query.live && query.integrations.len() == 1 {
            // An agent that connects asks for this, and after a restart all do at once.
            grants_where!("NOT is_over AND integration = ($4::text[])[1]", query, window, on)
        } else if query.live {
            grants_where!("NOT is_over", query, window, on)
        } else {
            grants_where!("true", query, window, on)
        };
        let rows = rows.map_err(failed("list grants"))?;
        let wanted = |grant: &_| grant_wanted(&query, grant);
        let read = rows.len();
        let good = seals.believed(rows, upto, wanted, &mut Log(on)).await?;
        if let Some(found) = page.fill(read, good) {
            return Ok(found);
        }
    }
}

/// Two halves, each along an index of its own, so that planned grants that wait for an absent
/// agent are not walked past again and again.
pub(crate) async fn due_grants(
    on: &mut PgConnection,
    seals: &Seals,
    now: i64,
    ready: Vec<String>,
    limit: u32,
) -> Result<Vec<Versioned<Grant>>, StoreError> {
    let can = |name: &str| ready.iter().any(|ready| ready == name);
    let upto = seals.heed(&mut Log(on)).await?;
    let mut page = Page::of(limit);
    loop {
        let window = page.window();
        let rows = sqlx::query_as!(
            Row,
            r#"SELECT id AS "id!", version AS "version!", document AS "document!", seal FROM (
                 (
                     SELECT id, version, document, seal, due_at_ns FROM grants
                     WHERE due_at_ns <= $1 AND state <> 'planned'
                     ORDER BY due_at_ns, id LIMIT $3
                 )
                 UNION ALL
                 (
                     SELECT id, version, document, seal, due_at_ns FROM grants
                     WHERE due_at_ns <= $1 AND state = 'planned' AND integration = ANY($2)
                     ORDER BY due_at_ns, id LIMIT $3
                 )
             ) AS due
             ORDER BY due_at_ns, id LIMIT $3"#,
            now,
            &ready,
            window
        )
        .fetch_all(&mut *on)
        .await
        .map_err(failed("list due grants"))?;
        let wanted = |grant: &_| due_grant(now, can, grant);
        let read = rows.len();
        let good = seals.believed(rows, upto, wanted, &mut Log(on)).await?;
        if let Some(found) = page.fill(read, good) {
            return Ok(found);
        }
    }
}

pub(crate) async fn next_due(
    on: &mut PgConnection,
    now: i64,
) -> Result<Option<Timestamp>, StoreError> {
    let next = sqlx::query_scalar!(
        "SELECT min(due_at_ns) FROM (
             SELECT min(due_at_ns) AS due_at_ns FROM requests WHERE due_at_ns > $1
             UNION ALL
             SELECT min(due_at_ns) FROM grants WHERE due_at_ns > $1 AND state <> 'planned'
             UNION ALL
             SELECT min(due_at_ns) FROM grants WHERE due_at_ns > $1 AND state = 'planned'
         ) AS next",
        now
    )
    .fetch_one(on)
    .await
    .map_err(failed("find what is due next"))?;
    Ok(next.map(moment))
}

pub(crate) async fn idempotency(
    on: &mut PgConnection,
    principal: PrincipalId,
    key: String,
) -> Result<Option<IdempotencyKey>, StoreError> {
    let found = sqlx::query!(
        "SELECT fingerprint, subject, at_ns FROM idempotency_keys WHERE principal = $1 AND key = $2",
        principal.as_str(),
        key
    )
    .fetch_optional(on)
    .await
    .map_err(failed("look up an idempotency key"))?;
    Ok(found.map(|row| IdempotencyKey {
        principal,
        key,
        fingerprint: row.fingerprint,
        subject: row.subject,
        at: moment(row.at_ns),
    }))
}

pub(crate) async fn enrolment_token(
    on: &mut PgConnection,
    seals: &Seals,
    secret_hash: String,
) -> Result<Option<EnrolmentToken>, StoreError> {
    let upto = seals.heed(&mut Log(on)).await?;
    let row = sqlx::query_as!(
        TokenRow,
        "SELECT id, secret_hash, agent, integrations, expires_at_ns, spent_at_ns, seal
         FROM enrolment_tokens WHERE secret_hash = $1",
        secret_hash
    )
    .fetch_optional(&mut *on)
    .await
    .map_err(failed("look up an enrolment token"))?;
    match row {
        Some(row) => Ok(Some(row.believed(upto, seals, &mut Log(on)).await?)),
        None => Ok(None),
    }
}

pub(crate) async fn agent(
    on: &mut PgConnection,
    seals: &Seals,
    id: AgentId,
) -> Result<Option<AgentRecord>, StoreError> {
    let id = id.to_string();
    let upto = seals.heed(&mut Log(on)).await?;
    let row = sqlx::query_as!(
        Row,
        r#"SELECT id, 0 AS "version!: i64", document, seal FROM agents WHERE id = $1"#,
        id
    )
    .fetch_optional(&mut *on)
    .await
    .map_err(failed("read an agent"))?;
    match row {
        Some(row) => Ok(Some(seals.believe(row, upto, &mut Log(on)).await?.value)),
        None => Ok(None),
    }
}

pub(crate) async fn agents(
    on: &mut PgConnection,
    seals: &Seals,
) -> Result<Vec<AgentRecord>, StoreError> {
    let upto = seals.heed(&mut Log(on)).await?;
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT id, 0 AS "version!: i64", document, seal FROM agents ORDER BY name, id"#
    )
    .fetch_all(&mut *on)
    .await
    .map_err(failed("list agents"))?;
    let agents = seals.believed(rows, upto, |_: &AgentRecord| true, &mut Log(on)).await?;
    Ok(agents.into_iter().map(|agent| agent.value).collect())
}

pub(crate) async fn audit(
    on: &mut PgConnection,
    after: u64,
    limit: u32,
) -> Result<Vec<AuditRecord>, StoreError> {
    const DOING: &str = "read the audit log";
    let after = signed(after)?;
    let limit = i64::from(limit);
    let rows = sqlx::query!(
        "SELECT seq, prev_hash, hash, body FROM audit_records WHERE seq > $1 ORDER BY seq LIMIT $2",
        after,
        limit
    )
    .fetch_all(&mut *on)
    .await
    .map_err(failed(DOING))?;
    rows.into_iter()
        .map(|row| {
            let seq = unsigned(row.seq)?;
            Ok(AuditRecord { seq, prev_hash: row.prev_hash, hash: row.hash, body: row.body })
        })
        .collect()
}

pub(crate) async fn audit_head(on: &mut PgConnection) -> Result<HeadRow, StoreError> {
    sqlx::query_as!(HeadRow, "SELECT records, hash, seal FROM audit_head")
        .fetch_one(on)
        .await
        .map_err(failed("read the end of the audit chain"))
}

pub(crate) async fn ping(on: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query_scalar!("SELECT 1 AS one").fetch_one(on).await.map_err(failed("answer"))?;
    Ok(())
}
