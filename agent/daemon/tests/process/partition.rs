//! A broker that is gone for longer than an integration's partition policy allows.

use ebbgate_proto::v1;

use crate::{agent::Agent, broker::Broker, support::Grant};

#[tokio::test]
async fn grants_are_cut_off_when_the_broker_is_gone_for_longer_than_the_grace() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.set(", partition: {grace: 30s}", "");
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 3_600);
    stream.order(grant.provision(1));
    stream.provisioned(&grant, 1).await;
    broker.go_away();
    // A restart does not lengthen it.
    agent.kill();
    agent.start();
    assert!(grant.is_there(&agent.server).await);
    grant.goes_away(&agent.server).await;
    agent.logs("cut-off").await;
    let status = agent.status();
    assert_eq!(status["cut_off"][0], "orders", "{status}");
    assert!(status["broker"]["silent_seconds"].as_i64().unwrap() >= 30, "{status}");

    broker.come_back().await;
    let mut stream = broker.welcome(vec![grant.provision(1)]).await;
    assert_eq!(stream.ended(&grant).await, v1::EndCause::CutOff);
}
