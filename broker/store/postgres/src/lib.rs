//! The store in PostgreSQL, for brokers that share one.
//!
//! Every piece of work runs in a task of its own that the caller cannot cancel, because a
//! transaction that is abandoned while it begins stays open on a connection that goes back to the
//! pool. It has a time limit; a connection that overstays it is thrown away and not reused, so that
//! a server that vanished without a word does not hold callers for as long as TCP hopes.

mod change;
mod delegations;
mod flow_sets;
mod opening;
mod outbox;
mod purge;
mod queries;
mod sightings;

use std::{pin::Pin, str::FromStr as _, time::Duration};

use async_trait::async_trait;
use ebbgate_broker_ports::{
    Store, StoreError,
    store::{
        AgentRecord, Applied, AuditHead, Backlog, Change, EnrolmentToken, GrantQuery,
        IdempotencyKey, OutboxItem, Purged, RequestQuery, Sighting, Stale, Versioned,
    },
};
use ebbgate_broker_store_common::{SealKeyFile, Seals, Table, applied, failed, listed, nanos};
use ebbgate_domain::{
    Timestamp,
    audit::AuditRecord,
    delegation::Delegation,
    flow_set::FlowSet,
    grant::Grant,
    ids::{AgentId, GrantId, NoticeId, RequestId},
    names::{ChannelName, IntegrationName, PrincipalId, ResourceId},
    request::AccessRequest,
};
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use crate::queries::Log;

static MIGRATIONS: Migrator = sqlx::migrate!("../../../migrations/postgres");

/// More bring no more commits a second: they wait for the same audit chain.
const CONNECTIONS: u32 = 16;
/// For connecting, and for waiting until a connection is free.
const ACQUIRE_PATIENCE: Duration = Duration::from_secs(5);
/// The longest that any piece of work may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Another broker may be migrating; a migration may take its time.
const MIGRATION_PATIENCE: Duration = Duration::from_secs(600);
/// What the server does for our sessions, whatever its own defaults are. The third frees the audit
/// chain when a broker dies, or is cut off, in the middle of a commit. A stricter isolation would
/// make a conflict of every two commits that overlap, since both append to the chain.
const SESSION: [(&str, &str); 4] = [
    ("statement_timeout", "25s"),
    ("lock_timeout", "20s"),
    ("idle_in_transaction_session_timeout", "25s"),
    ("default_transaction_isolation", "read committed"),
];

/// State, audit log and outbox in one PostgreSQL database.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: PgPool,
    patience: Duration,
    seals: Seals,
}

/// Work on one connection.
type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

impl PostgresStore {
    /// Connects and brings the schema up to date. Brokers that start together take turns at that. A
    /// new database gets its seals' key, in `key`.
    ///
    /// # Errors
    /// The URL is no PostgreSQL URL, the server does not answer or refuses, or the schema was
    /// written by a newer version; the key is missing, or is not the one that the store was sealed
    /// with.
    pub async fn connect(url: &str, key: &SealKeyFile) -> Result<Self, StoreError> {
        let options = options(url)?;
        try_out(&options).await?;
        let seals = prepare(options.clone(), async |on| opening::open(on, key).await).await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_PATIENCE)
            .connect_with(options.options(SESSION))
            .await
            .map_err(failed("connect to its database"))?;
        Ok(Self { pool, patience: PATIENCE, seals })
    }

    /// Which records bear no seal of the key; with `accept` they get one. For an operator who
    /// vouches for what is in the store, while no broker runs.
    ///
    /// # Errors
    /// As for [`Self::connect`].
    pub async fn seal(
        url: &str,
        key: &SealKeyFile,
        accept: bool,
    ) -> Result<Vec<(Table, String)>, StoreError> {
        let options = options(url)?;
        try_out(&options).await?;
        prepare(options, async |on| opening::seal(on, key, accept).await).await
    }

    /// Closes all connections after what is under way has ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Runs `work` to its end, or to the end of our patience, even where the caller is dropped.
    async fn run<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection, &'c Seals) -> Work<'c, T> + Send + 'static,
    {
        let (pool, patience, seals) = (self.pool.clone(), self.patience, self.seals.clone());
        let task = tokio::spawn(async move {
            let mut connection = pool.acquire().await.map_err(failed(doing))?;
            match timeout(patience, work(&mut connection, &seals)).await {
                Ok(result) => result,
                Err(elapsed) => {
                    drop(connection.detach());
                    Err(failed(doing)(elapsed))
                }
            }
        });
        task.await.map_err(failed(doing))?
    }
}

fn ids(resources: &[ResourceId]) -> Vec<String> {
    resources.iter().map(ToString::to_string).collect()
}

/// Connects once to learn why that fails, if it does: a pool only says that it ran out of time.
async fn try_out(options: &PgConnectOptions) -> Result<(), StoreError> {
    const DOING: &str = "connect to its database";
    let connected = timeout(ACQUIRE_PATIENCE, options.connect()).await.map_err(failed(DOING))?;
    connected.map_err(failed(DOING))?.close().await.map_err(failed(DOING))
}

fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(failed("read its URL"))?;
    Ok(options.application_name("ebbgate-broker").disable_statement_logging())
}

/// Brings the schema up to date and does what else is to be done before work, on a connection of its
/// own without the limits for everyday work.
async fn prepare<T>(
    options: PgConnectOptions,
    then: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    const DOING: &str = "bring its schema up to date";
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_PATIENCE)
        .connect_with(options)
        .await
        .map_err(failed("connect to its database"))?;
    let prepared = timeout(MIGRATION_PATIENCE, async {
        MIGRATIONS.run(&pool).await.map_err(failed(DOING))?;
        then(&mut *pool.acquire().await.map_err(failed(DOING))?).await
    })
    .await;
    pool.close().await;
    prepared.map_err(failed(DOING))?
}

#[async_trait]
impl Store for PostgresStore {
    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.run(change::DOING, |on, seals| Box::pin(change::commit(on, seals, change))).await
    }

    async fn request(&self, id: RequestId) -> Result<Option<Versioned<AccessRequest>>, StoreError> {
        self.run("read a request", move |on, seals| Box::pin(queries::request(on, seals, id))).await
    }

    async fn requests(
        &self,
        query: &RequestQuery,
    ) -> Result<Vec<Versioned<AccessRequest>>, StoreError> {
        let query = query.clone();
        self.run("list requests", |on, seals| Box::pin(queries::requests(on, seals, query))).await
    }

    async fn due_requests(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Versioned<AccessRequest>>, StoreError> {
        self.run("list due requests", move |on, seals| {
            Box::pin(queries::due_requests(on, seals, nanos(now), limit))
        })
        .await
    }

    async fn grant(&self, id: GrantId) -> Result<Option<Versioned<Grant>>, StoreError> {
        self.run("read a grant", move |on, seals| Box::pin(queries::grant(on, seals, id))).await
    }

    async fn grants(&self, query: &GrantQuery) -> Result<Vec<Versioned<Grant>>, StoreError> {
        let query = query.clone();
        self.run("list grants", |on, seals| Box::pin(queries::grants(on, seals, query))).await
    }

    async fn due_grants(
        &self,
        now: Timestamp,
        ready: &[IntegrationName],
        limit: u32,
    ) -> Result<Vec<Versioned<Grant>>, StoreError> {
        let ready: Vec<_> = ready.iter().map(ToString::to_string).collect();
        self.run("list due grants", move |on, seals| {
            Box::pin(queries::due_grants(on, seals, nanos(now), ready, limit))
        })
        .await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.run("find what is due next", move |on, _| Box::pin(queries::next_due(on, nanos(now))))
            .await
    }

    async fn delegations(&self, now: Timestamp) -> Result<Vec<Versioned<Delegation>>, StoreError> {
        self.run("list delegations", move |on, seals| {
            Box::pin(delegations::not_over(on, seals, now))
        })
        .await
    }

    async fn sight(&self, resources: &[ResourceId], at: Timestamp) -> Result<(), StoreError> {
        let (resources, at) = (ids(resources), nanos(at));
        self.run(sightings::DOING, move |on, _| Box::pin(sightings::note(on, resources, at))).await
    }

    async fn sightings(&self, resources: &[ResourceId]) -> Result<Vec<Sighting>, StoreError> {
        let resources = ids(resources);
        self.run("read when resources were seen", move |on, _| {
            Box::pin(sightings::of(on, resources))
        })
        .await
    }

    async fn applied_flows(&self, newer_than: u64) -> Result<Option<Applied>, StoreError> {
        self.run("read applied flows", move |on, seals| {
            Box::pin(async move { applied(seals, newer_than, &mut Log(on)).await })
        })
        .await
    }

    async fn flow_sets(&self, before: Option<u64>, limit: u32) -> Result<Vec<FlowSet>, StoreError> {
        self.run("list applied flows", move |on, seals| {
            Box::pin(async move { listed(seals, before, limit, &mut Log(on)).await })
        })
        .await
    }

    async fn idempotency(
        &self,
        principal: &PrincipalId,
        key: &str,
    ) -> Result<Option<IdempotencyKey>, StoreError> {
        let (principal, key) = (principal.clone(), key.to_owned());
        self.run("look up an idempotency key", |on, _| {
            Box::pin(queries::idempotency(on, principal, key))
        })
        .await
    }

    async fn enrolment_token(
        &self,
        secret_hash: &str,
    ) -> Result<Option<EnrolmentToken>, StoreError> {
        let secret_hash = secret_hash.to_owned();
        self.run("look up an enrolment token", |on, seals| {
            Box::pin(queries::enrolment_token(on, seals, secret_hash))
        })
        .await
    }

    async fn agent(&self, id: AgentId) -> Result<Option<AgentRecord>, StoreError> {
        self.run("read an agent", move |on, seals| Box::pin(queries::agent(on, seals, id))).await
    }

    async fn agents(&self) -> Result<Vec<AgentRecord>, StoreError> {
        self.run("list agents", |on, seals| Box::pin(queries::agents(on, seals))).await
    }

    async fn purge(&self, stale: &Stale, limit: u32) -> Result<Purged, StoreError> {
        let stale = stale.clone();
        self.run(purge::DOING, move |on, _| Box::pin(purge::purge(on, stale, limit))).await
    }

    async fn take_notices(
        &self,
        channel: &ChannelName,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        let (channel, now, until) = (channel.to_string(), nanos(now), nanos(until));
        self.run("take notices", move |on, seals| {
            Box::pin(outbox::take(on, seals, channel, now, until, limit))
        })
        .await
    }

    async fn notice_delivered(&self, id: NoticeId) -> Result<(), StoreError> {
        self.run("note a delivery", move |on, _| Box::pin(outbox::delivered(on, id))).await
    }

    async fn notice_failed(
        &self,
        id: NoticeId,
        next: Option<Timestamp>,
        why: &str,
    ) -> Result<(), StoreError> {
        let why = why.to_owned();
        self.run("note a failed delivery", move |on, _| {
            Box::pin(outbox::failed_until(on, id, next.map(nanos), why))
        })
        .await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        self.run("count what waits in the outbox", |on, _| Box::pin(outbox::backlog(on))).await
    }

    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        self.run("read the audit log", move |on, _| Box::pin(queries::audit(on, after, limit)))
            .await
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.run("read the end of the audit chain", |on, _| Box::pin(queries::audit_head(on)))
            .await?
            .audit()
    }

    async fn audit_head_holds(&self) -> Result<bool, StoreError> {
        self.run("read the end of the audit chain", |on, seals| {
            Box::pin(async { Ok(seals.holds(&queries::audit_head(on).await?)) })
        })
        .await
    }

    fn broken_seals(&self) -> u64 {
        self.seals.broken()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.run("answer", |on, _| Box::pin(queries::ping(on))).await
    }
}

#[cfg(test)]
mod tests;
