//! The suite, and what only SQLite can get wrong.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::PathBuf};

use ebbgate_broker_ports::{
    Store as _, StoreError,
    store::{Change, GrantQuery, RequestQuery},
    verify_audit,
};
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent, BrokenChain},
};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::SqliteStore;

async fn fresh() -> (SqliteStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("broker.db")).await.unwrap();
    (store, directory)
}

ebbgate_broker_ports::store_conformance!(fresh);

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
    let document = "'{\"id\": 7}'";
    let broken_ones = format!(
        "INSERT INTO requests (id, version, requester, state, is_over, due_at_ns, document)
         VALUES ('{id}', 1, 'ana@example.com', 'pending', 0, 1, {document});
         INSERT INTO grants (id, version, request_id, principal, integration, state, is_over,
                             due_at_ns, document)
         VALUES ('grt_1', 1, '{id}', 'ana@example.com', 'prod-db', 'active', 0, 1, {document});
         INSERT INTO agents (id, name, retired, document) VALUES ('agt_1', 'a', 0, {document});",
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
    let notices = format!(
        "INSERT INTO outbox (id, request_id, at_ns, due_at_ns, document) VALUES
         ('ntc_0198f3a0000070008000000000000001', 'r', 1, 1, '{{'),
         ('ntc_0198f3a0000070008000000000000002', 'r', 2, 2, '{good}');"
    );
    by_hand(&directory, &notices).await.unwrap();
    let (now, until) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
    assert_eq!(store.take_notices(now, until, 9).await.unwrap(), []);
    let next = store.take_notices(now, until, 9).await.unwrap();
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].id.to_string(), "ntc_0198f3a0000070008000000000000002");
}

#[tokio::test]
async fn only_its_owner_may_read_its_files() {
    let (store, directory) = fresh().await;
    store.commit(three_events()).await.unwrap();
    let modes: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), entry.metadata().unwrap().permissions().mode() & 0o777))
        .collect();
    assert!(modes.len() >= 2, "the file and its WAL: {modes:?}");
    assert!(modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
    store.close().await;

    fs::set_permissions(path(&directory), fs::Permissions::from_mode(0o644)).unwrap();
    SqliteStore::open(&path(&directory)).await.unwrap();
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

    let again = SqliteStore::open(&path(&directory)).await.unwrap();
    assert_eq!(verify_audit(&again).await.unwrap().unwrap().records(), 3);
}

#[tokio::test]
async fn a_reader_beside_the_broker_reads_and_cannot_write() {
    let (store, directory) = fresh().await;
    store.commit(three_events()).await.unwrap();
    let reader = SqliteStore::open_existing_read_only(&path(&directory)).await.unwrap();
    assert_eq!(verify_audit(&reader).await.unwrap().unwrap().records(), 3);
    assert!(reader.commit(three_events()).await.is_err());

    let missing = directory.path().join("missing.db");
    assert!(SqliteStore::open_existing_read_only(&missing).await.is_err());
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(path(&directory), "x".repeat(4_096)).unwrap();
    assert!(SqliteStore::open(&path(&directory)).await.is_err());
    let nowhere = directory.path().join("no/such/directory.db");
    let StoreError::Failed { source, .. } = SqliteStore::open(&nowhere).await.unwrap_err() else {
        panic!("another error")
    };
    let kind = source.downcast_ref::<io::Error>().map(io::Error::kind);
    assert_eq!(kind, Some(io::ErrorKind::NotFound));
}
