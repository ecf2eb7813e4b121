//! The suite, and what only SQLite can get wrong.

mod sealing;

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::PathBuf};

use async_trait::async_trait;
use ebbgate_broker_ports::{
    Store as _, StoreError,
    conformance::{ByHand, Checked},
    store::{Change, GrantQuery, RequestQuery},
    verify_audit,
};
use ebbgate_broker_store_common::{SealKeyFile, Sealed, Table};
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent, BrokenChain},
};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::SqliteStore;

async fn fresh() -> (SqliteStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await.unwrap();
    (store, directory)
}

async fn open(directory: &TempDir) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(&path(directory), &key(directory)).await
}

fn key(directory: &TempDir) -> SealKeyFile {
    SealKeyFile::in_dir(&directory.path().join("keys"))
}

ebbgate_broker_ports::store_conformance!(fresh);

struct Hand(TempDir);

#[async_trait]
impl ByHand for Hand {
    async fn by_hand(&self, sql: &str) -> Checked {
        Ok(by_hand(&self.0, sql).await?)
    }
}

async fn in_reach() -> (SqliteStore, Hand) {
    let (store, directory) = fresh().await;
    (store, Hand(directory))
}

ebbgate_broker_ports::sealed_store_conformance!(in_reach);

fn path(directory: &TempDir) -> PathBuf {
    directory.path().join("broker.db")
}

/// What somebody with the file and a shell would do.
async fn by_hand(directory: &TempDir, sql: &str) -> Result<(), sqlx::Error> {
    let url = format!("sqlite://{}", path(directory).display());
    let mut connection = SqliteConnection::connect(&url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}

/// The seal of somebody who has the key.
fn seal(file: &SealKeyFile, table: Table, id: &str, version: i64, content: &str) -> String {
    file.read().unwrap().unwrap().seal(Sealed { table, id, version, content }, 0)
}

fn three_events() -> Change {
    let event = |seconds| {
        let at = Timestamp::from_second(seconds).unwrap();
        AuditEvent::new(Action::BrokerStarted, Actor::Broker, at)
    };
    Change { events: (1..=3).map(event).collect(), ..Change::default() }
}

async fn broken(store: &SqliteStore) -> BrokenChain {
    verify_audit(store).await.unwrap().unwrap_err()
}

const WITHOUT_TRIGGERS: &str = "DROP TRIGGER audit_records_are_not_changed; \
                                DROP TRIGGER audit_records_are_not_deleted;";

#[tokio::test]
async fn a_changed_audit_record_is_named() {
    let (store, directory) = fresh().await;
    store.commit(three_events()).await.unwrap();
    let tamper = "UPDATE audit_records SET body = replace(body, 'broker', 'mallory') WHERE seq = 2";
    by_hand(&directory, &format!("{WITHOUT_TRIGGERS}{tamper}")).await.unwrap();
    assert_eq!(broken(&store).await.seq, 2);
}

#[tokio::test]
async fn a_cut_off_tail_is_named() {
    let (store, directory) = fresh().await;
    store.commit(three_events()).await.unwrap();
    let tamper = "DELETE FROM audit_records WHERE seq = 3";
    by_hand(&directory, &format!("{WITHOUT_TRIGGERS}{tamper}")).await.unwrap();
    assert_eq!(broken(&store).await, BrokenChain { seq: 3, reason: "it is missing" });
}

#[tokio::test]
async fn audit_records_refuse_to_be_changed_by_accident() {
    let (store, directory) = fresh().await;
    store.commit(three_events()).await.unwrap();
    for accident in ["UPDATE audit_records SET body = ''", "DELETE FROM audit_records"] {
        let error = by_hand(&directory, accident).await.unwrap_err().to_string();
        assert!(error.contains("audit records are not"), "{error}");
    }
    verify_audit(&store).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_unreadable_record_is_left_out_of_lists_and_named_alone() {
    let (store, directory) = fresh().await;
    let id = "req_0198f3a0000070008000000000000001".parse().unwrap();
    let broken = "{\"id\": 7}";
    let seal = |table, id: &str, version| seal(&key(&directory), table, id, version, broken);
    let (request, grant, agent) = (
        seal(Table::Requests, &format!("{id}"), 1),
        seal(Table::Grants, "grt_1", 1),
        seal(Table::Agents, "agt_1", 0),
    );
    let document = format!("'{broken}'");
    let broken_ones = format!(
        "INSERT INTO requests (id, version, requester, state, is_over, due_at_ns, document, seal)
         VALUES ('{id}', 1, 'ana@example.com', 'pending', 0, 1, {document}, '{request}');
         INSERT INTO grants (id, version, request_id, principal, integration, state, is_over,
                             due_at_ns, document, seal)
         VALUES ('grt_1', 1, '{id}', 'ana@example.com', 'prod-db', 'active', 0, 1, {document}, '{grant}');
         INSERT INTO agents (id, name, retired, document, seal)
         VALUES ('agt_1', 'a', 0, {document}, '{agent}');",
    );
    by_hand(&directory, &broken_ones).await.unwrap();

    let now = Timestamp::UNIX_EPOCH;
    let requests = RequestQuery { limit: 9, ..RequestQuery::default() };
    let grants = GrantQuery { limit: 9, ..GrantQuery::default() };
    assert_eq!(store.requests(&requests).await.unwrap(), []);
    assert_eq!(store.grants(&grants).await.unwrap(), []);
    assert_eq!(store.due_requests(now, 9).await.unwrap(), []);
    assert_eq!(store.due_grants(now, &[], 9).await.unwrap(), []);
    assert_eq!(store.agents().await.unwrap(), []);
    let error = store.request(id).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreadable { id: named, .. } if named == id.to_string()));
}

#[tokio::test]
async fn an_unreadable_notice_is_set_aside() {
    let (store, directory) = fresh().await;
    let good = r#"{"event":"e","request":"req_0198f3a0000070008000000000000001","grant":null,"to":[],"text":"t"}"#;
    let ids = [1, 2].map(|n| format!("ntc_019800000000700080000000000000{n:02}"));
    let seal = |n: usize, document: &str| {
        let content = format!("{n} log {document}");
        seal(&key(&directory), Table::Outbox, &ids[n - 1], 0, &content)
    };
    let notices = format!(
        "INSERT INTO outbox (id, request_id, at_ns, due_at_ns, document, seal) VALUES
         ('{}', 'r', 1, 1, '{{', '{}'), ('{}', 'r', 2, 2, '{good}', '{}');",
        ids[0],
        seal(1, "{"),
        ids[1],
        seal(2, good)
    );
    by_hand(&directory, &notices).await.unwrap();
    let (now, until) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
    assert_eq!(store.take_notices(&"log".parse().unwrap(), now, until, 9).await.unwrap(), []);
    let next = store.take_notices(&"log".parse().unwrap(), now, until, 9).await.unwrap();
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].id.to_string(), ids[1]);
}

#[tokio::test]
async fn only_its_owner_may_read_its_files() {
    let (store, directory) = fresh().await;
    store.commit(three_events()).await.unwrap();
    let modes: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != "keys")
        .map(|entry| (entry.file_name(), entry.metadata().unwrap().permissions().mode() & 0o777))
        .collect();
    assert!(modes.len() >= 2, "the file and its WAL: {modes:?}");
    assert!(modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
    store.close().await;

    fs::set_permissions(path(&directory), fs::Permissions::from_mode(0o644)).unwrap();
    open(&directory).await.unwrap();
    let mode = fs::metadata(path(&directory)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[tokio::test]
async fn commits_are_durable_and_found_again() {
    let (store, directory) = fresh().await;
    store.commit(three_events()).await.unwrap();
    let mut connection = store.writer.acquire().await.unwrap();
    let mode: String =
        sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await.unwrap();
    let synchronous: i64 =
        sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await.unwrap();
    assert_eq!((mode.as_str(), synchronous), ("wal", 2));
    drop(connection);
    store.close().await;

    let again = open(&directory).await.unwrap();
    assert_eq!(verify_audit(&again).await.unwrap().unwrap().records(), 3);
}

#[tokio::test]
async fn a_reader_beside_the_broker_reads_and_cannot_write() {
    let (store, directory) = fresh().await;
    store.commit(three_events()).await.unwrap();
    let reader =
        SqliteStore::open_existing_read_only(&path(&directory), &key(&directory)).await.unwrap();
    assert_eq!(verify_audit(&reader).await.unwrap().unwrap().records(), 3);
    assert!(reader.commit(three_events()).await.is_err());

    let missing = directory.path().join("missing.db");
    assert!(SqliteStore::open_existing_read_only(&missing, &key(&directory)).await.is_err());
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(path(&directory), "x".repeat(4_096)).unwrap();
    assert!(open(&directory).await.is_err());
    let nowhere = directory.path().join("no/such/directory.db");
    let StoreError::Failed { source, .. } =
        SqliteStore::open(&nowhere, &key(&directory)).await.unwrap_err()
    else {
        panic!("another error")
    };
    let kind = source.downcast_ref::<io::Error>().map(io::Error::kind);
    assert_eq!(kind, Some(io::ErrorKind::NotFound));
}
