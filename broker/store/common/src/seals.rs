//! The seals of an open store at work: rows are sealed, checked against their seals and against the
//! audit log, and what does not hold raises the alarm.

use std::{
    collections::HashSet,
    fmt,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ebbgate_broker_ports::{
    StoreError,
    store::{AuditHead, Versioned},
};
use ebbgate_domain::audit::{AuditEvent, AuditRecord};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::{
    Book, HeadRow, Row, SealBroken, SealKey, SealKeyFile, Sealed, Table,
    documents::{Document, decode, told},
    failed,
    log::Log,
    standing::Standing,
    unsigned,
};

/// How many broken rows are remembered, so that each is told once and not with every look.
const REMEMBERED: usize = 4_096;
/// How old the mark of the log's length may get.
const MARK_EVERY: Duration = Duration::from_secs(1);

/// The key at work in an open store.
#[derive(Clone)]
pub struct Seals(Arc<Inner>);

struct Inner {
    key: SealKey,
    file: SealKeyFile,
    log: tokio::sync::Mutex<Log>,
    /// How many records of the log were heeded: what is written now was written since.
    heeded: AtomicU64,
    /// Whether the log was read as far back as the flows that were applied last.
    flows: AtomicBool,
    marked: Mutex<Option<Instant>>,
    told: Mutex<HashSet<(Table, String)>>,
    broken: AtomicU64,
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seals(…)")
    }
}

impl Seals {
    /// Seals under this key, with the log as it was marked when a broker last looked; from `head` on
    /// where none has looked yet.
    ///
    /// # Errors
    /// The mark cannot be read.
    pub fn new(key: SealKey, file: SealKeyFile, head: AuditHead) -> Result<Self, StoreError> {
        let mark = file.mark().map_err(failed("read how far its audit log had come"))?;
        let log = Log::from(&mark.unwrap_or(head))?;
        Ok(Self(Arc::new(Inner {
            key,
            file,
            heeded: AtomicU64::new(log.records()),
            log: tokio::sync::Mutex::new(log),
            flows: AtomicBool::default(),
            marked: Mutex::default(),
            told: Mutex::default(),
            broken: AtomicU64::default(),
        })))
    }

    /// How many rows were found that are not believed, since the store was opened.
    pub fn broken(&self) -> u64 {
        self.0.broken.load(Ordering::Relaxed)
    }

    /// The seal of a row that is about to be written.
    pub fn seal(&self, row: Sealed<'_>) -> String {
        self.0.key.seal(row, self.heeded())
    }

    /// Learns what the log has got to say since the last time, and gives the number of its last
    /// record. To be called before rows are read: a row that is older than what the log had said by
    /// then was set back.
    ///
    /// # Errors
    /// The log cannot be read. One that is broken raises the alarm, and what follows goes by what
    /// was known before.
    pub async fn heed(&self, book: &mut impl Book) -> Result<u64, StoreError> {
        let head = book.head().await?;
        let mut log = self.0.log.lock().await;
        if log.ends_at(&head) && !log.broken && head.holds(&self.0.key).is_ok() {
            return Ok(log.records());
        }
        let head = match unsigned(head.records) {
            Ok(records) if records >= log.records() => head,
            // Others may have followed it further since.
            _ => book.head().await?,
        };
        self.follow(&mut log, &head, book).await?;
        Ok(log.records())
    }

    /// What is known of the log without looking at it.
    pub fn heeded(&self) -> u64 {
        self.0.heeded.load(Ordering::Relaxed)
    }

    async fn follow(
        &self,
        log: &mut Log,
        head: &HeadRow,
        book: &mut impl Book,
    ) -> Result<(), StoreError> {
        log.follow(head, &self.0.key, book).await?;
        if log.broken {
            drop(self.refuse(Table::AuditHead, "end", SealBroken::Log));
            return Ok(());
        }
        self.note(log);
        Ok(())
    }

    /// A mark that cannot be written keeps nobody's access from ending.
    fn mark(&self, log: &Log) {
        let mut marked = self.0.marked.lock();
        if marked.is_some_and(|at| at.elapsed() < MARK_EVERY) {
            return;
        }
        *marked = Some(Instant::now());
        if let Err(error) = self.0.file.set_mark(&log.end()) {
            let error = ebbgate_broker_ports::chain(&error);
            tracing::error!(error, "cannot note how far the audit log has come");
        }
    }

    /// One row's value, where its seal holds and the log had not said by record `upto`, before the
    /// row was read, that it went further.
    ///
    /// # Errors
    /// [`StoreError::NotBelieved`] or [`StoreError::Unreadable`].
    pub async fn believe<T: Document + DeserializeOwned>(
        &self,
        row: Row,
        upto: u64,
        book: &mut impl Book,
    ) -> Result<Versioned<T>, StoreError> {
        let since = self.check(row.sealed(T::TABLE), row.seal.as_deref())?;
        let value: T = decode(&row.id, &row.document)?;
        self.stands(&value.standing(), since..=upto, book).await?;
        Ok(Versioned { version: unsigned(row.version)?, value })
    }

    /// The values of a list; those that cannot be read or believed are left out and logged, so that
    /// one bad record never blocks the rest. `wanted` asks the document what the query asked the
    /// columns: whoever can change columns shall not choose what is found.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn believed<T: Document + DeserializeOwned>(
        &self,
        rows: Vec<Row>,
        upto: u64,
        wanted: impl Fn(&T) -> bool + Send + Sync,
        book: &mut impl Book,
    ) -> Result<Vec<Versioned<T>>, StoreError> {
        let mut values = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.id.clone();
            let Some(found) = told(self.believe::<T>(row, upto, book).await)? else { continue };
            if wanted(&found.value) {
                values.push(found);
            } else {
                drop(self.refuse(T::TABLE, &id, SealBroken::Column));
            }
        }
        Ok(values)
    }

    /// Whether a row's seal holds; since which record the log may speak of it.
    ///
    /// # Errors
    /// [`StoreError::NotBelieved`].
    pub fn check(&self, row: Sealed<'_>, seal: Option<&str>) -> Result<u64, StoreError> {
        self.0.key.check(row, seal).map_err(|broken| self.refuse(row.table, row.id, broken))
    }

    /// Whether the log says nothing else of a row that was written after the first of these records
    /// and read after the last.
    ///
    /// # Errors
    /// [`StoreError::NotBelieved`], or the log cannot be read.
    pub async fn stands(
        &self,
        row: &Standing,
        records: RangeInclusive<u64>,
        book: &mut impl Book,
    ) -> Result<(), StoreError> {
        if row.is_over() {
            return Ok(());
        }
        let mut log = self.0.log.lock().await;
        if !log.reach_back(*records.start(), book).await? {
            return Err(self.refuse(row.table, &row.id, SealBroken::Log));
        }
        if log.contradicts(row, *records.end()) && !log.broken {
            // An agent that was enrolled after the last look bears a name that the log last gave to
            // another one.
            let head = book.head().await?;
            self.follow(&mut log, &head, book).await?;
        }
        if log.contradicts(row, *records.end()) {
            return Err(self.refuse(row.table, &row.id, SealBroken::SetBack));
        }
        Ok(())
    }

    /// The number of the flows that the log had said by record `upto` were applied last, where it was
    /// read from its record `since` on; 0 where it says nothing of any.
    ///
    /// # Errors
    /// [`StoreError::NotBelieved`], or the log cannot be read.
    pub async fn last_flows(
        &self,
        since: u64,
        upto: u64,
        book: &mut impl Book,
    ) -> Result<u64, StoreError> {
        let mut log = self.0.log.lock().await;
        if !log.reach_back(since, book).await? {
            return Err(self.refuse(Table::AuditHead, "end", SealBroken::Log));
        }
        self.0.flows.store(true, Ordering::Relaxed);
        Ok(log.last_flows(upto))
    }

    /// The same without reading anything; none where it is not known yet.
    pub async fn flows_said(&self, upto: u64) -> Option<u64> {
        let known = self.0.flows.load(Ordering::Relaxed);
        let log = self.0.log.lock().await;
        known.then(|| log.last_flows(upto))
    }

    /// Lets a commit go on that is about to write these rows, where `head` cannot move any more:
    /// nothing is written that the log contradicts, or has told already, and while the log is not what it
    /// should be, nothing that gives access. Whether the log is whole.
    ///
    /// # Errors
    /// [`StoreError::NotBelieved`], or the log cannot be read.
    pub async fn admit(
        &self,
        rows: &[Written],
        events: &[AuditEvent],
        head: &HeadRow,
        book: &mut impl Book,
    ) -> Result<bool, StoreError> {
        let mut log = self.0.log.lock().await;
        if !log.ends_at(head) || log.broken || head.holds(&self.0.key).is_err() {
            self.follow(&mut log, head, book).await?;
        }
        for Written { row, gives } in rows {
            if log.contradicts(row, log.records()) {
                return Err(self.refuse(row.table, &row.id, SealBroken::SetBack));
            }
            if *gives && log.broken {
                return Err(self.refuse(Table::AuditHead, "end", SealBroken::Log));
            }
        }
        // Whoever had read a row before the log spoke, and finds it set back, has not seen that it was.
        if let Some(event) = events.iter().find(|event| log.has_said(event)) {
            let grant = event.grant.map(|id| (Table::Grants, id.to_string()));
            let request = event.request.map(|id| (Table::Requests, id.to_string()));
            let (table, id) = grant.or(request).unwrap_or((Table::AuditHead, "end".to_owned()));
            return Err(self.refuse(table, &id, SealBroken::SetBack));
        }
        Ok(!log.broken)
    }

    /// These records were appended, and committed.
    pub async fn appended(&self, records: &[AuditRecord]) {
        let mut log = self.0.log.lock().await;
        log.append(records);
        self.note(&log);
    }

    fn note(&self, log: &Log) {
        self.0.heeded.store(log.records(), Ordering::Relaxed);
        self.mark(log);
    }

    /// The end of the log after an append: sealed, unless what stands before it is not what it
    /// should be. A new seal would hide that, and no end at all would mean that nobody's access ends.
    pub(crate) fn head(&self, head: HeadRow, whole: bool) -> HeadRow {
        if whole { head.sealed(&self.0.key) } else { HeadRow { seal: None, ..head } }
    }

    /// Whether the log's end bears its seal.
    pub fn holds(&self, head: &HeadRow) -> bool {
        head.holds(&self.0.key).is_ok()
    }

    /// Raises the alarm, once for each row.
    pub fn refuse(&self, table: Table, id: &str, broken: SealBroken) -> StoreError {
        let mut told = self.0.told.lock();
        if told.len() >= REMEMBERED {
            told.clear();
        }
        if told.insert((table, id.to_owned())) {
            self.0.broken.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                alarm = "seal-broken",
                code = "record_not_believed",
                record.table = table.name(),
                record.id = id,
                reason = %broken,
                "a record is not believed and not acted on"
            );
        }
        StoreError::NotBelieved { table: table.name(), id: id.to_owned(), source: broken.into() }
    }
}

/// A row that a commit writes.
#[derive(Debug)]
pub struct Written {
    pub(crate) row: Standing,
    /// Whether somebody may get access by it.
    pub(crate) gives: bool,
}
