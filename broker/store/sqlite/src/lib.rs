//! The store in one SQLite file, for a broker that runs once.
//!
//! Everything that writes goes through one connection and begins with `BEGIN IMMEDIATE`, so that
//! writers queue up in this process and not in SQLite's busy handler. Readers have connections of
//! their own, which WAL lets read while somebody writes. `synchronous = FULL`: what was committed
//! survives the machine's death.

mod change;
mod delegations;
mod flow_sets;
mod opening;
mod outbox;
mod purge;
mod queries;
mod sightings;

use std::{
    fs::{self, OpenOptions, Permissions},
    future::Future,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use async_trait::async_trait;
use ebbgate_broker_ports::{
    Store, StoreError,
    store::{
        AgentRecord, Applied, AuditHead, Backlog, Change, EnrolmentToken, GrantQuery,
        IdempotencyKey, OutboxItem, Purged, RequestQuery, Sighting, Stale, Versioned,
    },
};
use ebbgate_broker_store_common::{
    SealKeyError, SealKeyFile, Seals, Table, applied, encode, failed, listed, nanos,
};
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
    ConnectOptions as _, Sqlite, SqlitePool,
    migrate::Migrator,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::queries::Log;

static MIGRATIONS: Migrator = sqlx::migrate!("../../../migrations/sqlite");

/// How long a writer waits for another process that writes, such as a back-up.
const BUSY_PATIENCE: Duration = Duration::from_secs(10);
/// How long anybody waits for a connection of ours.
const ACQUIRE_PATIENCE: Duration = Duration::from_secs(30);
/// More would only wait for the same disk.
const READERS: u32 = 4;

/// State, audit log and outbox in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    readers: SqlitePool,
    writer: SqlitePool,
    seals: Seals,
}

impl SqliteStore {
    /// Opens the file at `path`, makes it where there is none, and brings its schema up to date.
    /// Only its owner may read it from then on. A new one gets its seals' key, in `key`.
    ///
    /// # Errors
    /// The file cannot be made or opened, is no database of ours, or was written by a newer
    /// version; the key is missing, or is not the one that the store was sealed with.
    pub async fn open(path: &Path, key: &SealKeyFile) -> Result<Self, StoreError> {
        let (writer, options) = up_to_date(path).await?;
        let mut on = writer.acquire().await.map_err(failed("open its file"))?;
        let seals = opening::open(&mut on, key).await?;
        drop(on);
        let readers = pool(READERS).connect_lazy_with(options.read_only(true));
        Ok(Self { readers, writer, seals })
    }

    /// Which records bear no seal of the key; with `accept` they get one. For an operator who
    /// vouches for what is in the store, while no broker runs.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub async fn seal(
        path: &Path,
        key: &SealKeyFile,
        accept: bool,
    ) -> Result<Vec<(Table, String)>, StoreError> {
        let (writer, _) = up_to_date(path).await?;
        let mut on = writer.acquire().await.map_err(failed("open its file"))?;
        let found = opening::seal(&mut on, key, accept).await;
        drop(on);
        writer.close().await;
        found
    }

    /// Opens an existing file for reading only, to look at it or to verify its audit log while a
    /// broker runs. Whatever would write fails.
    ///
    /// # Errors
    /// The file does not exist or cannot be opened; the key is missing.
    pub async fn open_existing_read_only(
        path: &Path,
        key: &SealKeyFile,
    ) -> Result<Self, StoreError> {
        const DOING: &str = "open its seals";
        let readers = pool(READERS)
            .connect_with(options(path).read_only(true))
            .await
            .map_err(failed("open its file for reading"))?;
        let missing = || SealKeyError::Missing { path: key.path() };
        let found =
            key.read().and_then(|found| found.ok_or_else(missing)).map_err(failed(DOING))?;
        let mut on = readers.acquire().await.map_err(failed(DOING))?;
        let head = queries::audit_head(&mut on).await?.audit()?;
        drop(on);
        let seals = Seals::new(found, key.clone(), head)?;
        Ok(Self { writer: readers.clone(), readers, seals })
    }

    async fn reader(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        self.readers.acquire().await.map_err(failed("open its file for reading"))
    }

    /// Closes the file after what is under way has ended.
    pub async fn close(&self) {
        self.readers.close().await;
        // Last, so that it is the one that folds the WAL into the file.
        self.writer.close().await;
    }
}

/// The one connection that writes, to a file whose schema is up to date.
async fn up_to_date(path: &Path) -> Result<(SqlitePool, SqliteConnectOptions), StoreError> {
    make_private(path).map_err(failed("make its file private"))?;
    let options = options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true);
    let writer = pool(1).connect_with(options.clone()).await.map_err(failed("open its file"))?;
    MIGRATIONS.run(&writer).await.map_err(failed("bring its schema up to date"))?;
    Ok((writer, options))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_PATIENCE)
        .disable_statement_logging()
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_PATIENCE)
        // A connection is a file handle here: it does not grow old.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// The WAL and its index get the permissions of the file that they belong to.
fn make_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))
}

/// Runs `work` to its end even where the caller is dropped meanwhile: a transaction that is
/// abandoned half-way could stay open on a connection that goes back to its pool.
async fn to_the_end<T: Send + 'static>(
    doing: &'static str,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(work).await.map_err(failed(doing))?
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        let (writer, seals) = (self.writer.clone(), self.seals.clone());
        let work = async move { change::commit(&writer, &seals, change).await };
        to_the_end("commit a change", work).await
    }

    async fn request(&self, id: RequestId) -> Result<Option<Versioned<AccessRequest>>, StoreError> {
        queries::request(&mut *self.reader().await?, &self.seals, &id.to_string()).await
    }

    async fn requests(
        &self,
        query: &RequestQuery,
    ) -> Result<Vec<Versioned<AccessRequest>>, StoreError> {
        queries::requests(&mut *self.reader().await?, &self.seals, query).await
    }

    async fn due_requests(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Versioned<AccessRequest>>, StoreError> {
        queries::due_requests(&mut *self.reader().await?, &self.seals, nanos(now), limit).await
    }

    async fn grant(&self, id: GrantId) -> Result<Option<Versioned<Grant>>, StoreError> {
        queries::grant(&mut *self.reader().await?, &self.seals, &id.to_string()).await
    }

    async fn grants(&self, query: &GrantQuery) -> Result<Vec<Versioned<Grant>>, StoreError> {
        queries::grants(&mut *self.reader().await?, &self.seals, query).await
    }

    async fn due_grants(
        &self,
        now: Timestamp,
        ready: &[IntegrationName],
        limit: u32,
    ) -> Result<Vec<Versioned<Grant>>, StoreError> {
        queries::due_grants(&mut *self.reader().await?, &self.seals, nanos(now), ready, limit).await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        queries::next_due(&mut *self.reader().await?, nanos(now)).await
    }

    async fn delegations(&self, now: Timestamp) -> Result<Vec<Versioned<Delegation>>, StoreError> {
        delegations::not_over(&mut *self.reader().await?, &self.seals, now).await
    }

    async fn sight(&self, resources: &[ResourceId], at: Timestamp) -> Result<(), StoreError> {
        let (writer, resources) = (self.writer.clone(), encode(&resources)?);
        let work = async move { sightings::note(&writer, &resources, nanos(at)).await };
        to_the_end(sightings::DOING, work).await
    }

    async fn sightings(&self, resources: &[ResourceId]) -> Result<Vec<Sighting>, StoreError> {
        sightings::of(&mut *self.reader().await?, &encode(&resources)?).await
    }

    async fn applied_flows(&self, newer_than: u64) -> Result<Option<Applied>, StoreError> {
        applied(&self.seals, newer_than, &mut Log(&mut *self.reader().await?)).await
    }

    async fn flow_sets(&self, before: Option<u64>, limit: u32) -> Result<Vec<FlowSet>, StoreError> {
        listed(&self.seals, before, limit, &mut Log(&mut *self.reader().await?)).await
    }

    async fn idempotency(
        &self,
        principal: &PrincipalId,
        key: &str,
    ) -> Result<Option<IdempotencyKey>, StoreError> {
        queries::idempotency(&mut *self.reader().await?, principal, key).await
    }

    async fn enrolment_token(
        &self,
        secret_hash: &str,
    ) -> Result<Option<EnrolmentToken>, StoreError> {
        queries::enrolment_token(&mut *self.reader().await?, &self.seals, secret_hash).await
    }

    async fn agent(&self, id: AgentId) -> Result<Option<AgentRecord>, StoreError> {
        queries::agent(&mut *self.reader().await?, &self.seals, &id.to_string()).await
    }

    async fn agents(&self) -> Result<Vec<AgentRecord>, StoreError> {
        queries::agents(&mut *self.reader().await?, &self.seals).await
    }

    async fn purge(&self, stale: &Stale, limit: u32) -> Result<Purged, StoreError> {
        let (writer, stale) = (self.writer.clone(), stale.clone());
        to_the_end(purge::DOING, async move { purge::purge(&writer, &stale, limit).await }).await
    }

    async fn take_notices(
        &self,
        channel: &ChannelName,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        let (writer, seals, channel) = (self.writer.clone(), self.seals.clone(), channel.clone());
        let (now, until) = (nanos(now), nanos(until));
        let work =
            async move { outbox::take(&writer, &seals, channel.as_str(), now, until, limit).await };
        to_the_end("take notices", work).await
    }

    async fn notice_delivered(&self, id: NoticeId) -> Result<(), StoreError> {
        let writer = self.writer.clone();
        let work = async move { outbox::delivered(&writer, &id.to_string()).await };
        to_the_end("note a delivery", work).await
    }

    async fn notice_failed(
        &self,
        id: NoticeId,
        next: Option<Timestamp>,
        why: &str,
    ) -> Result<(), StoreError> {
        let (writer, next, why) = (self.writer.clone(), next.map(nanos), why.to_owned());
        let work = async move { outbox::failed_until(&writer, &id.to_string(), next, &why).await };
        to_the_end("note a failed delivery", work).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        outbox::backlog(&mut *self.reader().await?).await
    }

    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        queries::audit(&mut *self.reader().await?, after, limit).await
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        queries::audit_head(&mut *self.reader().await?).await?.audit()
    }

    async fn audit_head_holds(&self) -> Result<bool, StoreError> {
        Ok(self.seals.holds(&queries::audit_head(&mut *self.reader().await?).await?))
    }

    fn broken_seals(&self) -> u64 {
        self.seals.broken()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        queries::ping(&mut *self.reader().await?).await
    }
}

#[cfg(test)]
mod tests;
