//! A disk that is full, torn or damaged.

use std::fs;

use ebbgate_proto::v1;

use crate::{agent::Agent, broker::Broker, support::Grant};

#[tokio::test]
async fn on_a_full_disk_nothing_new_is_given_and_everything_is_taken() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start_with_little_disk(4);
    let mut stream = broker.welcome(vec![]).await;
    let mut given = Vec::new();
    let failure = loop {
        let grant = Grant::of(u8::try_from(given.len()).unwrap(), 600);
        stream.order(grant.provision(1));
        match stream.outcome().await.2 {
            v1::outcome::Result::Provisioned(_) => given.push(grant),
            v1::outcome::Result::ProvisionFailed(failure) => {
                assert!(!grant.is_there(&agent.server).await, "nothing without a record");
                break failure;
            }
            other => panic!("{other:?}"),
        }
        assert!(given.len() < 20, "the disk is never full");
    };
    assert!(
        failure.may_pass && failure.message.contains("cannot write its journal"),
        "{failure:?}"
    );
    assert!(!given.is_empty());
    agent.logs("journal-not-written").await;
    for grant in &given {
        stream.order(grant.revoke(2));
        stream.torn_down(grant, 2).await;
        assert!(!grant.is_there(&agent.server).await);
    }
}

#[tokio::test]
async fn a_torn_record_costs_nothing_but_itself() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let (first, last) = (Grant::of(1, 600), Grant::of(2, 600));
    for grant in [&first, &last] {
        stream.order(grant.provision(1));
        stream.provisioned(grant, 1).await;
    }
    agent.kill();
    // The last record, that the second grant is provisioned, is cut in two.
    let path = agent.dir().join("journal.log");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();

    agent.start();
    agent.logs("the journal's last record is not whole").await;
    let mut stream = broker.welcome(vec![first.provision(1), last.provision(1)]).await;
    stream.provisioned(&first, 1).await;
    stream.provisioned(&last, 1).await;
}

#[tokio::test]
async fn a_damaged_record_never_blocks_the_start_and_what_it_told_of_is_found_again() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let (lost, kept) = (Grant::of(1, 600), Grant::of(2, 600));
    for grant in [&lost, &kept] {
        stream.order(grant.provision(1));
        stream.provisioned(grant, 1).await;
    }
    agent.kill();
    let path = agent.dir().join("journal.log");
    let damaged =
        fs::read_to_string(&path).unwrap().replacen("ana@example.com", "eve@example.com", 1);
    fs::write(&path, damaged).unwrap();

    agent.start();
    agent.logs("journal-damaged").await;
    assert!(agent.dir().join("journal.damaged").exists());
    let mut stream = broker.welcome(vec![lost.provision(1), kept.provision(1)]).await;
    assert_eq!(stream.hello.held.len(), 1);
    for _ in 0..2 {
        assert!(matches!(stream.outcome().await.2, v1::outcome::Result::Provisioned(_)));
    }
    stream.order(lost.revoke(2));
    stream.torn_down(&lost, 2).await;
}

#[tokio::test]
async fn a_second_agent_in_the_same_directory_is_kept_out() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let _stream = broker.welcome(vec![]).await;
    let second = agent.enroll(&broker.url(), &broker.token(), &["--force"]);
    assert!(!second.status.success());
    let error = crate::agent::stderr(&second);
    assert!(error.contains("another ebbgate-agent uses"), "{error}");
}
