//! Death by SIGKILL at every step of giving and of taking, as the crash points allow.

use ebbgate_proto::v1;

use crate::{agent::Agent, broker::Broker, support::Grant};

async fn dies_while_provisioning(point: &str) {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start_to_crash_at(point);
    let grant = Grant::of(1, 600);
    let stream = broker.welcome(vec![]).await;
    stream.order(grant.provision(1));
    agent.crashes().await;
    let was_there = grant.is_there(&agent.server).await;
    let made = point.ends_with("after_effect") || point.ends_with("after_record");
    assert_eq!(was_there, made, "{point}");

    agent.start();
    let mut stream = broker.welcome(vec![grant.provision(1)]).await;
    let on_record = usize::from(!point.ends_with("before_intent"));
    assert_eq!(stream.hello.held.len(), on_record, "the intent is on record before the effect");
    stream.provisioned(&grant, 1).await;
    stream.order(grant.revoke(2));
    stream.torn_down(&grant, 2).await;
    assert!(!grant.is_there(&agent.server).await);
}

async fn dies_while_tearing_down(point: &str) {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start_to_crash_at(point);
    let grant = Grant::of(1, 8);
    let mut stream = broker.welcome(vec![grant.provision(1)]).await;
    stream.provisioned(&grant, 1).await;
    broker.go_away();
    agent.crashes().await;
    agent.start();
    grant.goes_away(&agent.server).await;
    broker.come_back().await;
    let mut stream = broker.welcome(vec![grant.revoke(2)]).await;
    stream.torn_down(&grant, 2).await;
}

/// What was done for some of them stands on the server, and not a word of it in the journal.
async fn dies_while_tearing_down_many(point: &str) {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    let grants: Vec<_> = (1..=12).map(|n| Grant::of(n, 600)).collect();
    let orders = |order: fn(&Grant) -> v1::Order| grants.iter().map(order).collect::<Vec<_>>();
    agent.start();
    let mut stream = broker.welcome(orders(|grant| grant.provision(1))).await;
    for _ in &grants {
        let (_, _, result) = stream.outcome().await;
        assert!(matches!(result, v1::outcome::Result::Provisioned(_)), "{result:?}");
    }
    agent.kill();
    agent.start_to_crash_at(point);
    let _stream = broker.welcome(orders(|grant| grant.revoke(2))).await;
    agent.crashes().await;

    agent.start();
    let mut stream = broker.welcome(orders(|grant| grant.revoke(2))).await;
    for _ in &grants {
        let (_, _, result) = stream.outcome().await;
        assert!(matches!(result, v1::outcome::Result::TornDown(_)), "{result:?}");
    }
    for grant in &grants {
        assert!(!grant.is_there(&agent.server).await);
    }
}

macro_rules! deaths {
    ($($name:ident: $death:ident at $point:literal;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $death($point).await;
            }
        )*
    };
}

deaths! {
    before_a_provision_is_on_record: dies_while_provisioning at "agent.provision.before_intent";
    after_a_provision_is_on_record: dies_while_provisioning at "agent.provision.after_intent";
    after_a_provision_is_done: dies_while_provisioning at "agent.provision.after_effect";
    after_a_provisions_end_is_on_record: dies_while_provisioning at "agent.provision.after_record";
    before_a_teardown_is_on_record: dies_while_tearing_down at "agent.revoke.before_intent";
    after_a_teardown_is_on_record: dies_while_tearing_down at "agent.revoke.after_intent";
    after_a_teardown_is_done: dies_while_tearing_down at "agent.revoke.after_effect";
    after_many_lost_their_log_in: dies_while_tearing_down_many at "postgres.together.closed";
    after_many_were_dropped: dies_while_tearing_down_many at "postgres.together.dropped";
    after_a_teardowns_end_is_on_record: dies_while_tearing_down at "agent.revoke.after_record";
}
