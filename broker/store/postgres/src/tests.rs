//! The suite, and what only PostgreSQL can get wrong, on a real server.

mod database;
mod sealing;

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use ebbgate_broker_ports::{
    Store as _, StoreError,
    conformance::{self, ByHand, Checked},
    store::{Change, GrantQuery, RequestQuery, Versioned, Write},
    verify_audit,
};
use ebbgate_broker_store_common::{SealKeyFile, Sealed, Table};
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent, BrokenChain},
    request::AccessRequest,
};
use ebbgate_testkit_postgres::{PrivateServer, shared_url};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use self::database::TestDatabase;
use super::PostgresStore;

async fn fresh() -> (PostgresStore, TestDatabase) {
    // Starting a server blocks, and the first of the tests does it.
    tokio::task::spawn_blocking(|| shared_url().map(drop)).await.unwrap().unwrap();
    let database = TestDatabase::create().await;
    (open(&database).await.unwrap(), database)
}

async fn open(database: &TestDatabase) -> Result<PostgresStore, StoreError> {
    PostgresStore::connect(&database.url(), &database.key()).await
}

ebbgate_broker_ports::store_conformance!(fresh);
ebbgate_broker_ports::sealed_store_conformance!(fresh);

#[async_trait]
impl ByHand for TestDatabase {
    async fn by_hand(&self, sql: &str) -> Checked {
        Ok(TestDatabase::by_hand(self, sql).await?)
    }
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

async fn broken(store: &PostgresStore) -> BrokenChain {
    verify_audit(store).await.unwrap().unwrap_err()
}

const WITHOUT_TRIGGER: &str = "DROP TRIGGER audit_records_stay ON audit_records;";

#[tokio::test]
async fn a_changed_audit_record_is_named() {
    let (store, database) = fresh().await;
    store.commit(three_events()).await.unwrap();
    let tamper = "UPDATE audit_records SET body = replace(body, 'broker', 'mallory') WHERE seq = 2";
    database.by_hand(&format!("{WITHOUT_TRIGGER}{tamper}")).await.unwrap();
    assert_eq!(broken(&store).await.seq, 2);
}

#[tokio::test]
async fn a_cut_off_tail_is_named() {
    let (store, database) = fresh().await;
    store.commit(three_events()).await.unwrap();
    let tamper = "DELETE FROM audit_records WHERE seq = 3";
    database.by_hand(&format!("{WITHOUT_TRIGGER}{tamper}")).await.unwrap();
    assert_eq!(broken(&store).await, BrokenChain { seq: 3, reason: "it is missing" });
}

#[tokio::test]
async fn audit_records_refuse_to_be_changed_by_accident() {
    let (store, database) = fresh().await;
    store.commit(three_events()).await.unwrap();
    for accident in [
        "UPDATE audit_records SET body = ''",
        "DELETE FROM audit_records",
        "TRUNCATE audit_records",
    ] {
        let error = database.by_hand(accident).await.unwrap_err().to_string();
        assert!(error.contains("neither changed nor deleted"), "{error}");
    }
    verify_audit(&store).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_unreadable_record_is_left_out_of_lists_and_named_alone() {
    let (store, database) = fresh().await;
    let id = "req_0198f3a0000070008000000000000001".parse().unwrap();
    let broken = "{\"id\": 7}";
    let seal = |table, id: &str, version| seal(&database.key(), table, id, version, broken);
    let (request, grant, agent) = (
        seal(Table::Requests, &format!("{id}"), 1),
        seal(Table::Grants, "grt_1", 1),
        seal(Table::Agents, "agt_1", 0),
    );
    let document = format!("'{broken}'");
    let broken_ones = format!(
        "INSERT INTO requests (id, version, requester, state, is_over, due_at_ns, document, seal)
         VALUES ('{id}', 1, 'ana@example.com', 'pending', false, 1, {document}, '{request}');
         INSERT INTO grants (id, version, request_id, principal, integration, state, is_over,
                             due_at_ns, document, seal)
         VALUES ('grt_1', 1, '{id}', 'ana@example.com', 'prod-db', 'active', false, 1, {document}, '{grant}');
         INSERT INTO agents (id, name, retired, document, seal)
         VALUES ('agt_1', 'a', false, {document}, '{agent}');",
    );
    database.by_hand(&broken_ones).await.unwrap();

    let now = Timestamp::UNIX_EPOCH + Duration::from_secs(1);
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
    let (store, database) = fresh().await;
    let good = r#"{"event":"e","request":"req_0198f3a0000070008000000000000001","grant":null,"to":[],"text":"t"}"#;
    let ids = [1, 2].map(|n| format!("ntc_019800000000700080000000000000{n:02}"));
    let seal = |n: usize, document: &str| {
        let content = format!("{n} log {document}");
        seal(&database.key(), Table::Outbox, &ids[n - 1], 0, &content)
    };
    let notices = format!(
        "INSERT INTO outbox (id, request_id, at_ns, due_at_ns, document, seal) VALUES
         ('{}', 'r', 1, 1, '{{', '{}'), ('{}', 'r', 2, 2, '{good}', '{}');",
        ids[0],
        seal(1, "{"),
        ids[1],
        seal(2, good)
    );
    database.by_hand(&notices).await.unwrap();
    let (now, until) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
    assert_eq!(store.take_notices(&"log".parse().unwrap(), now, until, 9).await.unwrap(), []);
    let next = store.take_notices(&"log".parse().unwrap(), now, until, 9).await.unwrap();
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].id.to_string(), ids[1]);
}

/// Brokers that start together migrate one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_brokers_may_start_at_once() {
    tokio::task::spawn_blocking(|| shared_url().map(drop)).await.unwrap().unwrap();
    let database = TestDatabase::create().await;
    let brokers: Vec<_> = (0..6)
        .map(|_| {
            let (url, key) = (database.url(), database.key());
            tokio::spawn(async move {
                let store = PostgresStore::connect(&url, &key).await?;
                store.commit(three_events()).await?;
                store.close().await;
                Ok::<(), StoreError>(())
            })
        })
        .collect();
    for broker in brokers {
        broker.await.unwrap().unwrap();
    }
    let store = open(&database).await.unwrap();
    assert_eq!(verify_audit(&store).await.unwrap().unwrap().records(), 18);
}

/// A connection that went back to the pool in a transaction would hold what its next user locks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_leaves_no_transaction_open() {
    let (store, database) = fresh().await;
    conformance::a_caller_may_go_away_at_any_point(&store).await.unwrap();
    let mut observer = PgConnection::connect(&database.url()).await.unwrap();
    let busy = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()";
    for polls in 1..=12 {
        conformance::abandon_a_commit(&store, polls).await;
        until(&mut observer, busy, |busy| busy == 0).await;
    }
}

/// Work that overstays its time gives up its connection, and the next one gets another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_is_given_up() {
    let (mut store, database) = fresh().await;
    let mut holder = PgConnection::connect(&database.url()).await.unwrap();
    execute(&mut holder, "BEGIN; SELECT * FROM audit_head FOR UPDATE").await;
    store.patience = Duration::from_millis(200);
    let error = store.commit(three_events()).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed { doing: "commit a change", .. }), "{error:?}");

    execute(&mut holder, "ROLLBACK").await;
    store.patience = super::PATIENCE;
    store.commit(three_events()).await.unwrap();
    assert_eq!(verify_audit(&store).await.unwrap().unwrap().records(), 3);
}

/// The store must not inherit an isolation under which overlapping commits fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stricter_default_isolation_makes_no_conflicts() {
    let (_, database) = fresh().await;
    let stricter = format!(
        "ALTER DATABASE {} SET default_transaction_isolation = 'serializable'",
        database.name
    );
    database.by_hand(&stricter).await.unwrap();
    let store = open(&database).await.unwrap();
    conformance::the_chain_has_no_gaps_under_concurrent_commits(&store).await.unwrap();
}

/// PostgreSQL ends one of two transactions that wait for each other; its caller reads again as
/// after any conflict.
///
/// A trigger makes the store's transaction pause between its two requests, so that somebody else
/// can lock them the other way round. The store is the one that notices: its time-out is short.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_a_conflict() {
    let (store, database) = fresh().await;
    let [first, second] = [1, 2].map(|n| request(n).value);
    let put = [first.clone(), second.clone()].map(Write::Insert).into();
    store.commit(Change { requests: put, ..Change::default() }).await.unwrap();
    let pause = format!(
        "CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END';
         CREATE TRIGGER pause AFTER UPDATE ON requests FOR EACH ROW
             WHEN (NEW.id = '{}') EXECUTE FUNCTION pause();
         ALTER DATABASE {} SET deadlock_timeout = '50ms'",
        first.id, database.name
    );
    database.by_hand(&pause).await.unwrap();
    let store = open(&database).await.unwrap();
    let mut gate = PgConnection::connect(&database.url()).await.unwrap();
    execute(&mut gate, "SELECT pg_advisory_lock(1)").await;

    let both = [request(1), request(2)].map(Write::Update).into();
    let change = Change { requests: both, ..Change::default() };
    let ours = tokio::spawn(async move { store.commit(change).await });
    until_waiting(&mut gate, 1).await;
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    execute(&mut other, "SET deadlock_timeout = '1h'").await;
    execute(&mut other, &format!("BEGIN; {}", lock(&second))).await;
    let theirs = tokio::spawn(async move { execute(&mut other, &lock(&first)).await });
    until_waiting(&mut gate, 2).await;
    execute(&mut gate, "SELECT pg_advisory_unlock(1)").await;

    let result = ours.await.unwrap();
    assert!(matches!(result, Err(StoreError::Conflict)), "{result:?}");
    theirs.await.unwrap();
}

fn request(n: u8) -> Versioned<AccessRequest> {
    let id = format!("req_0198f3a00000700080000000000000{n:02}");
    let value = serde_json::json!({
        "id": id, "requester": "ana@example.com", "flow_version": "1", "items": [],
        "duration": "1h", "reason": null, "ticket": null, "quorum": null, "reviews": [],
        "created_at": "2026-03-01T10:00:00Z", "lapses_at": null, "state": {"state": "pending"},
        "flow": {
            "name": "shop", "requesters": [], "access": [], "approval": {"kind": "automatic"},
            "duration": {"default": "1h", "max": "1h"},
            "justification": {"required": false, "ticket": null},
        },
    });
    Versioned { version: 1, value: serde_json::from_value(value).unwrap() }
}

fn lock(request: &AccessRequest) -> String {
    format!("SELECT id FROM requests WHERE id = '{}' FOR UPDATE", request.id)
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

/// Until so many sessions in this database wait for a lock.
async fn until_waiting(connection: &mut PgConnection, sessions: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until(connection, waiting, |waiting| waiting >= sessions).await;
}

/// Until the count is as wanted; less long than it takes the server to end idle transactions.
async fn until(connection: &mut PgConnection, count: &'static str, wanted: impl Fn(i64) -> bool) {
    let found = async {
        loop {
            let count: i64 = sqlx::query_scalar(count).fetch_one(&mut *connection).await.unwrap();
            if wanted(count) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.unwrap();
}

/// A server that is restarted is found again without anybody's help.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_is_used_again() {
    let mut server = tokio::task::spawn_blocking(PrivateServer::start).await.unwrap().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let key = SealKeyFile::in_dir(directory.path());
    let store = PostgresStore::connect(&server.url(), &key).await.unwrap();
    store.commit(three_events()).await.unwrap();

    server = tokio::task::spawn_blocking(move || {
        server.kill9().unwrap();
        server
    })
    .await
    .unwrap();
    let error = store.commit(three_events()).await.unwrap_err();
    assert_eq!(error.to_string(), "the store could not commit a change");
    assert!(store.ping().await.is_err());

    let _server = tokio::task::spawn_blocking(move || {
        server.start_again().unwrap();
        server
    })
    .await
    .unwrap();
    store.ping().await.unwrap();
    store.commit(three_events()).await.unwrap();
    assert_eq!(verify_audit(&store).await.unwrap().unwrap().records(), 6);
}

#[tokio::test]
async fn a_refused_connection_is_told_as_such_and_at_once() {
    let nowhere = SealKeyFile::in_dir(Path::new("/nonexistent"));
    let url = "postgres://ebbgate:pw@127.0.0.1:1/x";
    let error = PostgresStore::connect(url, &nowhere).await.unwrap_err();
    let StoreError::Failed { doing, source } = error else { panic!("another error") };
    assert_eq!(doing, "connect to its database");
    assert!(source.to_string().contains("refused"), "{source}");
}

#[tokio::test]
async fn an_error_never_tells_the_password() {
    for url in [
        "postgres://ebbgate:hunter2@127.0.0.1:1/ebbgate",
        "postgres://ebbgate:hunter2@127.0.0.1:99999/ebbgate",
        "postgres://ebbgate:hunter2@127.0.0.1:1/ebbgate?sslmode=hunter3",
    ] {
        let nowhere = SealKeyFile::in_dir(Path::new("/nonexistent"));
        let error = PostgresStore::connect(url, &nowhere).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
