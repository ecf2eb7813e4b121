//! A grant's life on a real server: given, used, ended, with the broker there or gone.

use ebbgate_proto::v1::{self, agent_message::Message as Said};
use sqlx::{Connection as _, PgConnection};

use crate::{
    agent::Agent,
    broker::{Broker, Stream, agent_id},
    support::{Grant, eventually},
};

/// Registers a password for the grant and gives the account's name.
pub(crate) async fn credential(
    stream: &mut Stream,
    grant: &Grant,
    seq: u64,
    password: &str,
) -> String {
    let scram_verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
    let verifier = Some(v1::credential_order::Verifier::ScramVerifier(scram_verifier));
    let (grant_id, agent_id) = (grant.id.to_string(), agent_id().to_string());
    stream.credential_order(&v1::CredentialOrder { seq, grant_id, verifier, agent_id });
    let Some(Said::CredentialOutcome(outcome)) = stream.hear().await else { panic!("no answer") };
    match outcome.result.unwrap() {
        v1::credential_outcome::Result::User(user) => user,
        v1::credential_outcome::Result::Failure(failure) => panic!("{failure:?}"),
    }
}

#[tokio::test]
async fn a_grant_is_given_used_and_ended() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    assert_eq!(stream.hello.integrations, ["orders"]);
    let grant = Grant::of(1, 600);
    stream.order(grant.provision(1));
    stream.provisioned(&grant, 1).await;
    let status = agent.status();
    assert_eq!(status["grants"][0]["state"], "active");
    assert_eq!(status["agent"]["name"], "db-eu");

    let user = credential(&mut stream, &grant, 2, "open sesame").await;
    let url = agent.server.psql_url("postgres", &user, "open sesame");
    let mut session = PgConnection::connect(&url).await.unwrap();
    session.ping().await.unwrap();

    stream.order(grant.revoke(3));
    let finding = stream.torn_down(&grant, 3).await;
    assert_eq!(finding.sessions_ended, 1);
    assert!(session.ping().await.is_err());
    assert!(!grant.is_there(&agent.server).await);
    stream.recorded(&grant, 3);
    eventually("an empty status", async || {
        let status = agent.status();
        if status["grants"].as_array().unwrap().is_empty() { Ok(()) } else { Err(status) }
    })
    .await;

    // A late order finds it ended.
    stream.order(grant.provision(2));
    let (_, _, result) = stream.outcome().await;
    assert!(
        matches!(result, v1::outcome::Result::Stale(v1::Stale { newest_seq: 3 })),
        "{result:?}"
    );
    assert!(!grant.is_there(&agent.server).await);
    assert!(!agent.log().contains("sesame"));
}

#[tokio::test]
async fn a_grant_ends_on_time_with_the_broker_gone() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 5);
    stream.order(grant.provision(1));
    stream.provisioned(&grant, 1).await;
    let user = credential(&mut stream, &grant, 2, "open sesame").await;
    let url = agent.server.psql_url("postgres", &user, "open sesame");
    let mut session = PgConnection::connect(&url).await.unwrap();

    broker.go_away();
    grant.goes_away(&agent.server).await;
    assert!(session.ping().await.is_err(), "the session was cut");
    // The role goes first, and is then seen to be gone.
    eventually("the grant's end on record", async || {
        let state = agent.status()["grants"][0]["state"].clone();
        if state == "revoked" { Ok(()) } else { Err(state) }
    })
    .await;

    broker.come_back().await;
    let mut stream = broker.welcome(vec![grant.provision(2)]).await;
    assert_eq!(stream.hello.held.len(), 1);
    let finding = stream.torn_down(&grant, 2).await;
    let late = finding.closed_at_ms - grant.deadline.as_millisecond();
    assert!(late >= 0, "not before its time: {late} ms");
}

#[tokio::test]
async fn an_agent_that_slept_over_a_deadline_ends_it_before_it_calls_anybody() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 4);
    stream.order(grant.provision(1));
    stream.provisioned(&grant, 1).await;
    assert!(agent.stop().await.success());
    broker.go_away();
    grant.is_over().await;
    assert!(grant.is_there(&agent.server).await, "nobody was there to end it");
    agent.start();
    grant.goes_away(&agent.server).await;
}

#[tokio::test]
async fn what_the_broker_does_not_list_is_ended() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let (kept, dropped) = (Grant::of(1, 600), Grant::of(2, 600));
    let mut stream = broker.welcome(vec![kept.provision(1), dropped.provision(1)]).await;
    for _ in 0..2 {
        stream.outcome().await;
    }
    drop(stream);
    broker.come_back().await;
    let _stream = broker.welcome(vec![kept.provision(1)]).await;
    dropped.goes_away(&agent.server).await;
    assert!(kept.is_there(&agent.server).await);
}

#[tokio::test]
async fn a_role_that_nobody_knows_is_found_and_removed() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 600);
    stream.order(grant.provision(1));
    stream.provisioned(&grant, 1).await;
    agent.kill();
    std::fs::remove_file(agent.dir().join("journal.log")).unwrap();

    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let Some(Said::OrphanRemoved(orphan)) = stream.hear().await else { panic!("no orphan") };
    assert_eq!((orphan.integration.as_str(), orphan.grant_id), ("orders", grant.id.to_string()));
    assert!(!grant.is_there(&agent.server).await);
}

#[tokio::test]
async fn a_database_that_is_away_is_tried_until_it_is_back() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 600);
    stream.order(grant.provision(1));
    stream.provisioned(&grant, 1).await;
    agent.server.stop().unwrap();
    stream.order(grant.revoke(2));
    let (_, seq, result) = stream.outcome().await;
    let v1::outcome::Result::TeardownFailed(failure) = result else { panic!("{result:?}") };
    assert!(seq == 2 && failure.may_pass, "{failure:?}");
    assert!(agent.status()["grants"][0]["last_error"].is_string());
    agent.server.start_again().unwrap();
    grant.goes_away(&agent.server).await;
    loop {
        let (_, _, result) = stream.outcome().await;
        match result {
            v1::outcome::Result::TornDown(_) => break,
            other => assert!(matches!(other, v1::outcome::Result::TeardownFailed(_)), "{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_agent_that_drains_takes_nothing_new() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 600);
    agent.drain(&[]);
    assert_eq!(agent.status()["draining"], true);
    stream.order(grant.provision(1));
    let (_, _, result) = stream.outcome().await;
    let v1::outcome::Result::ProvisionFailed(failure) = result else { panic!("{result:?}") };
    assert!(failure.message.contains("draining") && failure.may_pass, "{failure:?}");
    agent.drain(&["--off"]);
    stream.order(grant.provision(2));
    stream.provisioned(&grant, 2).await;
}

#[tokio::test]
async fn stopping_hangs_up_in_good_order() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 600);
    stream.order(grant.provision(1));
    stream.provisioned(&grant, 1).await;
    let (status, last) = tokio::join!(agent.stop(), stream.hear());
    assert!(status.success(), "{status}");
    assert!(last.is_none(), "{last:?}");
    assert!(grant.is_there(&agent.server).await, "what is held stays until its deadline");
}
