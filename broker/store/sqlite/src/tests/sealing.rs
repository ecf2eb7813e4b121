//! The key's file and the store: made together, missed when it is gone; what an operator seals by
//! hand; and a file that was set back while no broker ran.

use std::fs;

use ebbgate_broker_ports::{
    Store as _, StoreError, chain,
    store::{Change, EnrolmentToken, RequestQuery},
    verify_audit,
};
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent},
};

use super::{SqliteStore, by_hand, fresh, key, open, path, three_events};

/// What a release without seals left behind: a request, an agent, a token and a notice, as its
/// tables were.
const OLD: &str = r#"
    INSERT INTO requests (id, version, requester, state, is_over, due_at_ns, document) VALUES
        ('req_0198f3a0000070008000000000000001', 3, 'ana@example.com', 'pending', 0, NULL,
         '{"id":"req_0198f3a0000070008000000000000001","requester":"ana@example.com",
           "flow_version":"1","items":[],"duration":"1h","reason":null,"ticket":null,
           "quorum":null,"reviews":[],"created_at":"2026-03-01T10:00:00Z","lapses_at":null,
           "state":{"state":"pending"},"flow":{"name":"shop","requesters":[],"access":[],
           "approval":{"kind":"automatic"},"duration":{"default":"1h","max":"1h"},
           "justification":{"required":false,"ticket":null}}}');
    INSERT INTO agents (id, name, retired, document) VALUES
        ('agt_0198f3a0000070008000000000000002', 'site-a', 0,
         '{"id":"agt_0198f3a0000070008000000000000002","name":"site-a",
           "enrolled_at":"2026-03-01T10:00:00Z","certificate_expires_at":"2026-03-02T10:00:00Z",
           "last_seen":null,"version":null,"integrations":[],"retired":false}');
    INSERT INTO enrolment_tokens (id, secret_hash, agent, expires_at_ns, spent_at_ns) VALUES
        ('tok_0198f3a0000070008000000000000003', 'aa', 'site-a', 9, NULL);
    INSERT INTO outbox (id, request_id, at_ns, due_at_ns, document) VALUES
        ('ntc_0198f3a0000070008000000000000004', 'r', 1, 1,
         '{"event":"e","request":"req_0198f3a0000070008000000000000001","grant":null,"to":[],
           "text":"t"}');
"#;

/// The tables as `OLD`'s release knew them.
const WITHOUT_SEALS: &str = "
    ALTER TABLE requests DROP COLUMN seal; ALTER TABLE grants DROP COLUMN seal;
    ALTER TABLE agents DROP COLUMN seal; ALTER TABLE enrolment_tokens DROP COLUMN seal;
    ALTER TABLE outbox DROP COLUMN seal; ALTER TABLE audit_head DROP COLUMN seal;
    DELETE FROM _sqlx_migrations WHERE version = 3;";

fn refusal(result: Result<SqliteStore, StoreError>) -> String {
    chain(&result.unwrap_err())
}

#[tokio::test]
async fn what_was_there_before_the_upgrade_is_sealed_by_the_operator_s_word() {
    let (store, directory) = fresh().await;
    store.commit(three_events()).await.unwrap();
    store.close().await;
    by_hand(&directory, &format!("{WITHOUT_SEALS}{OLD}")).await.unwrap();
    fs::remove_file(key(&directory).path()).unwrap();

    let error = refusal(open(&directory).await);
    assert!(error.contains("ebbgate-broker seal --accept"), "{error}");
    let (path, file) = (path(&directory), key(&directory));
    for _ in 0..2 {
        let found = SqliteStore::seal(&path, &file, false).await.unwrap();
        assert_eq!(found.len(), 5, "looking changes nothing: {found:?}");
        assert!(file.read().unwrap().is_none());
    }
    assert_eq!(SqliteStore::seal(&path, &file, true).await.unwrap().len(), 5);
    assert_eq!(SqliteStore::seal(&path, &file, true).await.unwrap(), []);

    let store = open(&directory).await.unwrap();
    let later = Timestamp::from_second(1).unwrap();
    let query = RequestQuery { limit: 9, ..RequestQuery::default() };
    assert_eq!(store.requests(&query).await.unwrap()[0].version, 3);
    assert_eq!(store.agents().await.unwrap().len(), 1);
    assert!(store.enrolment_token("aa").await.unwrap().is_some());
    assert_eq!(
        store.take_notices(&"log".parse().unwrap(), later, later, 9).await.unwrap().len(),
        1
    );
    verify_audit(&store).await.unwrap().unwrap();
    store.close().await;

    // From now on a row without a seal is none, also at the next start.
    let old = OLD.replace("0000000000000", "1111111111111").replace("'aa'", "'bb'");
    let old = old.replace("'site-a', 0", "'site-b', 0");
    by_hand(&directory, &old).await.unwrap();
    let store = open(&directory).await.unwrap();
    assert_eq!(store.requests(&query).await.unwrap().len(), 1);
    assert!(store.enrolment_token("bb").await.is_err());
    assert_eq!(store.agents().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_missing_key_is_told_with_the_way_out() {
    let (store, directory) = fresh().await;
    store.commit(three_events()).await.unwrap();
    store.close().await;
    let file = key(&directory).path();
    let kept = fs::read(&file).unwrap();

    fs::remove_file(&file).unwrap();
    let error = refusal(open(&directory).await);
    assert!(error.contains(&file) && error.contains("restore it from the back-up"), "{error}");
    assert!(fs::metadata(&file).is_err(), "none is made in its place");

    fs::write(&file, "ab".repeat(32)).unwrap();
    let error = refusal(open(&directory).await);
    assert!(error.contains("is not the key"), "{error}");

    fs::write(&file, kept).unwrap();
    open(&directory).await.unwrap();
}

#[tokio::test]
async fn seals_that_were_all_removed_are_not_made_anew() {
    let (store, directory) = fresh().await;
    store.commit(three_events()).await.unwrap();
    store.close().await;
    by_hand(&directory, "UPDATE audit_head SET seal = NULL").await.unwrap();
    let error = refusal(open(&directory).await);
    assert!(error.contains("bear no seals"), "{error}");

    SqliteStore::seal(&path(&directory), &key(&directory), true).await.unwrap();
    let store = open(&directory).await.unwrap();
    verify_audit(&store).await.unwrap().unwrap();
}

/// The whole file is put back as it was, seals, log and all, while no broker runs.
#[tokio::test]
async fn a_file_that_was_set_back_while_nobody_looked_gives_nothing() {
    let (store, directory) = fresh().await;
    store.commit(three_events()).await.unwrap();
    store.close().await;
    let kept = fs::read(path(&directory)).unwrap();
    let store = open(&directory).await.unwrap();
    store.commit(three_events()).await.unwrap();
    // Whoever reads looks at the log first.
    assert_eq!(store.agents().await.unwrap(), []);
    store.close().await;

    fs::write(path(&directory), kept).unwrap();
    let store = open(&directory).await.unwrap();
    assert_eq!(store.agents().await.unwrap(), []);
    assert_eq!(store.broken_seals(), 1);
    let token = EnrolmentToken {
        id: "tok_0198f3a0000070008000000000000003".parse().unwrap(),
        secret_hash: "aa".to_owned(),
        agent: "site-a".parse().unwrap(),
        integrations: None,
        expires_at: Timestamp::MAX,
        spent_at: None,
    };
    let event = AuditEvent::new(Action::AgentTokenCreated, Actor::Broker, Timestamp::UNIX_EPOCH);
    let give = Change { tokens: vec![token], events: vec![event], ..Change::default() };
    let error = store.commit(give.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::NotBelieved { id, .. } if id == "end"));
    store.commit(three_events()).await.unwrap();
    store.close().await;

    // The way out, for an operator who put it back on purpose.
    SqliteStore::seal(&path(&directory), &key(&directory), true).await.unwrap();
    let store = open(&directory).await.unwrap();
    store.commit(give).await.unwrap();
    verify_audit(&store).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_empty_store_may_be_a_new_one() {
    let (store, directory) = fresh().await;
    store.close().await;
    fs::remove_file(path(&directory)).unwrap();
    let store = open(&directory).await.unwrap();
    store.commit(three_events()).await.unwrap();
    verify_audit(&store).await.unwrap().unwrap();
}
