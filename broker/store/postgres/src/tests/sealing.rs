//! What only several brokers and a server that outlives them can get wrong about seals.

use ebbgate_broker_ports::{Store as _, chain, verify_audit};
use ebbgate_broker_store_common::SealKeyFile;

use super::{PostgresStore, fresh, open, three_events};

#[tokio::test]
async fn a_broker_with_another_key_is_refused_and_makes_none() {
    let (store, database) = fresh().await;
    store.commit(three_events()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let other = SealKeyFile::in_dir(directory.path());
    let error = chain(&PostgresStore::connect(&database.url(), &other).await.unwrap_err());
    assert!(error.contains("copy it from another broker"), "{error}");
    assert!(other.read().unwrap().is_none());
    other.read_or_make().unwrap();
    let error = chain(&PostgresStore::connect(&database.url(), &other).await.unwrap_err());
    assert!(error.contains("is not the key"), "{error}");
}

#[tokio::test]
async fn seals_that_were_all_removed_are_made_by_the_operator_alone() {
    let (store, database) = fresh().await;
    store.commit(three_events()).await.unwrap();
    store.close().await;
    let none = "UPDATE audit_head SET seal = NULL;
        INSERT INTO agents (id, name, retired, document) VALUES ('agt_1', 'a', false, '{}');
        INSERT INTO enrolment_tokens (id, secret_hash, agent, expires_at_ns)
            VALUES ('tok_1', 'aa', 'a', 1);
        INSERT INTO outbox (id, request_id, at_ns, document) VALUES ('ntc_1', 'r', 1, '{}');";
    database.by_hand(none).await.unwrap();
    let error = chain(&open(&database).await.unwrap_err());
    assert!(error.contains("ebbgate-broker seal --accept"), "{error}");
    let seal = async |accept| {
        let sealed = PostgresStore::seal(&database.url(), &database.key(), accept).await;
        sealed.unwrap().len()
    };
    assert_eq!([seal(false).await, seal(true).await, seal(true).await], [4, 4, 0]);
    let store = open(&database).await.unwrap();
    verify_audit(&store).await.unwrap().unwrap();
}

/// One broker's end of a grant is known to the other one.
#[tokio::test]
async fn brokers_learn_from_each_other_s_records() {
    let (store, database) = fresh().await;
    let other = open(&database).await.unwrap();
    for _ in 0..3 {
        store.commit(three_events()).await.unwrap();
        other.commit(three_events()).await.unwrap();
    }
    let head = "CREATE TABLE before_it AS SELECT * FROM audit_head";
    database.by_hand(head).await.unwrap();
    store.commit(three_events()).await.unwrap();
    assert_eq!(other.agents().await.unwrap(), []);
    assert_eq!(other.broken_seals(), 0);
    let back = "DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM before_it";
    database.by_hand(back).await.unwrap();
    assert_eq!(other.agents().await.unwrap(), []);
    assert_eq!(other.broken_seals(), 1);
}
