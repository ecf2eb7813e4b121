//! Whom the agent obeys: orders that the broker signed for it, and no others.

use ebbgate_proto::v1::{self, broker_message::Message as Told};
use prost::Message as _;

use crate::{
    agent::Agent,
    broker::Broker,
    support::{Grant, now},
};

#[tokio::test]
async fn an_order_that_is_not_signed_by_the_broker_is_not_carried_out() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let (forged, real) = (Grant::of(1, 600), Grant::of(2, 600));
    let payload = forged.provision(1).encode_to_vec();
    let mut changed = stream.signed(&forged.provision(1));
    changed.payload.push(0);
    let other_kind = v1::Signed { payload: payload.clone(), ..stream.signed(&real.provision(1)) };
    for signed in [v1::Signed { payload, signature: vec![0; 64] }, changed, other_kind] {
        stream.tell(Told::Order(signed));
    }
    stream.order(real.provision(1));
    stream.provisioned(&real, 1).await;
    assert!(!forged.is_there(&agent.server).await);
    assert_eq!(agent.log().matches("order-signature").count(), 3, "{}", agent.log());
}

#[tokio::test]
async fn an_order_for_another_agent_is_not_carried_out() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let (others, ours) = (Grant::of(1, 600), Grant::of(2, 600));
    let another = "agt_0190a6f4c1de7000aaaaaaaaaaaaaaaa".to_owned();
    stream.order(v1::Order { agent_id: another, ..others.provision(1) });
    stream.order(ours.provision(1));
    stream.provisioned(&ours, 1).await;
    assert!(!others.is_there(&agent.server).await);
}

#[tokio::test]
async fn a_key_that_the_broker_changed_is_learned_with_the_next_certificate() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    broker.change_order_key();
    agent.start();
    let stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 600);
    stream.order(grant.provision(1));
    agent.logs("order-signature").await;
    assert!(!grant.is_there(&agent.server).await);
    assert!(agent.stop().await.success());

    // Its certificate is made anew at once where it lives so short.
    broker.certificates_live(std::time::Duration::from_secs(40));
    let enrolled = agent.enroll(&broker.url(), &broker.token(), &["--force"]);
    assert!(enrolled.status.success(), "{enrolled:?}");
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    stream.order(grant.provision(2));
    stream.provisioned(&grant, 2).await;
}

#[tokio::test]
async fn an_agent_of_before_there_were_keys_asks_for_them_before_it_attends() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    let grant = Grant::of(1, 600);
    std::fs::remove_file(agent.dir().join("order_keys.pem")).unwrap();
    let renewed = broker.renewed();
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    stream.order(grant.provision(2));
    stream.provisioned(&grant, 2).await;
    assert_eq!(broker.renewed(), renewed + 1);
}

#[tokio::test]
async fn a_standing_order_that_is_forged_neither_gives_nor_takes() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let (held, forged) = (Grant::of(1, 600), Grant::of(2, 600));
    stream.order(held.provision(1));
    stream.provisioned(&held, 1).await;
    drop(stream);
    // The one that is held is not listed; what is listed was changed on the way.
    broker.forge_next_welcome();
    let stream = broker.welcome(vec![forged.provision(1)]).await;
    agent.logs("order-signature").await;
    drop(stream);
    let mut stream = broker.welcome(vec![held.provision(1)]).await;
    stream.provisioned(&held, 1).await;
    assert!(held.is_there(&agent.server).await && !forged.is_there(&agent.server).await);
}

#[tokio::test]
async fn a_genuine_order_that_is_sent_again_later_does_nothing() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 600);
    let recorded = stream.signed(&grant.provision(1));
    stream.tell(Told::Order(recorded.clone()));
    stream.provisioned(&grant, 1).await;
    stream.order(grant.revoke(2));
    stream.torn_down(&grant, 2).await;
    stream.recorded(&grant, 2);
    stream.tell(Told::Order(recorded));
    let (_, _, result) = stream.outcome().await;
    assert!(matches!(result, v1::outcome::Result::Stale(_)), "{result:?}");
    assert!(!grant.is_there(&agent.server).await);
}

#[tokio::test]
async fn an_order_that_was_held_up_on_its_way_gives_nothing_until_it_is_sent_anew() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 600);
    let minute_ago = now().as_millisecond() - 60_000;
    stream.order(v1::Order { sent_at_ms: minute_ago, ..grant.provision(1) });
    let (_, _, result) = stream.outcome().await;
    let v1::outcome::Result::ProvisionFailed(failure) = result else { panic!("{result:?}") };
    assert!(failure.may_pass && failure.message.contains("fresh"), "{failure:?}");
    assert!(!grant.is_there(&agent.server).await);
    stream.order(v1::Order { sent_at_ms: now().as_millisecond(), ..grant.provision(2) });
    stream.provisioned(&grant, 2).await;
}
