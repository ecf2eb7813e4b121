//! What the agent tells of itself and of its targets: heartbeats, clocks, drift, sessions, lacks.

use ebbgate_proto::v1::{self, agent_message::Message as Said, broker_message::Message as Told};
use nix::sys::signal::Signal;
use sqlx::{Connection as _, PgConnection};

use crate::{
    agent::{Agent, command},
    broker::{Broker, Stream},
    lifecycle::credential,
    support::{Grant, eventually},
};

async fn heartbeat(stream: &mut Stream) -> v1::Heartbeat {
    loop {
        if let Said::Heartbeat(heartbeat) = stream.hear_all().await.expect("it hung up") {
            return heartbeat;
        }
    }
}

#[tokio::test]
async fn it_tells_that_it_lives_and_calls_anew_where_nobody_answers() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 600);
    stream.order(grant.provision(1));
    stream.provisioned(&grant, 1).await;
    agent.drain(&[]);
    let told = heartbeat(&mut stream).await;
    assert_eq!((told.held, told.draining), (1, true));
    // The connection stands, but nothing comes through it any more.
    broker.answer(false);
    let again = broker.stream().await;
    assert_eq!(again.hello.held.len(), 1);
    assert!(again.hello.draining);
}

#[tokio::test]
async fn a_clock_that_disagrees_with_the_brokers_keeps_new_grants_out() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    broker.clock_is_ahead(120);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 600);
    stream.order(grant.provision(1));
    let (_, _, result) = stream.outcome().await;
    let v1::outcome::Result::ProvisionFailed(failure) = result else { panic!("{result:?}") };
    assert!(failure.may_pass && failure.message.contains("clock"), "{failure:?}");
    assert!(!grant.is_there(&agent.server).await);
}

#[tokio::test]
async fn a_grant_that_somebody_removed_is_told_as_missing() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.set("", "sweep: {every: 1s, orphan_age: 0s}");
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 600);
    stream.order(grant.provision(1));
    stream.provisioned(&grant, 1).await;
    let role = grant.role(&agent.server).await.unwrap();
    let mut admin = PgConnection::connect(&agent.server.url()).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP ROLE {role}")))
        .execute(&mut admin)
        .await
        .unwrap();
    assert_eq!(stream.ended(&grant).await, v1::EndCause::Missing);
    let look = stream.swept().await;
    assert_eq!((look.integration.as_str(), look.error.as_str()), ("orders", ""));
}

#[tokio::test]
async fn sessions_are_listed_and_one_is_ended_without_its_grant() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 600);
    stream.order(grant.provision(1));
    stream.provisioned(&grant, 1).await;
    let user = credential(&mut stream, &grant, 2, "sesame").await;
    let url = agent.server.psql_url("postgres", &user, "sesame");
    let mut session = PgConnection::connect(&url).await.unwrap();

    let integration = "orders".to_owned();
    let wanted = v1::SessionsWanted { query: 7, integration: integration.clone() };
    stream.tell(Told::SessionsWanted(wanted));
    let Some(Said::SessionsFound(found)) = stream.hear().await else { panic!("no answer") };
    assert_eq!((found.query, found.failure), (7, None));
    let [live] = &found.sessions[..] else { panic!("{:?}", found.sessions) };
    assert_eq!(live.grant_id, grant.id.to_string());

    let end = v1::EndSession { query: 8, integration, session: Some(live.clone()) };
    stream.tell(Told::EndSession(end));
    let Some(Said::SessionEnded(ended)) = stream.hear().await else { panic!("no answer") };
    assert_eq!((ended.query, ended.found, ended.failure), (8, true, None));
    assert!(session.ping().await.is_err());
    PgConnection::connect(&url).await.expect("the grant stays");
}

#[tokio::test]
async fn a_host_that_slept_over_a_deadline_ends_the_grant_when_it_wakes() {
    let mut broker = Broker::start().await;
    let mut agent = Agent::enrolled(&broker);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    let grant = Grant::of(1, 4);
    stream.order(grant.provision(1));
    stream.provisioned(&grant, 1).await;
    agent.signal(Signal::SIGSTOP);
    broker.go_away();
    grant.is_over().await;
    assert!(grant.is_there(&agent.server).await);
    agent.signal(Signal::SIGCONT);
    grant.goes_away(&agent.server).await;
}

#[tokio::test]
async fn check_names_what_is_missing_and_needs_no_broker() {
    let mut broker = Broker::start().await;
    let agent = Agent::enrolled(&broker);
    broker.go_away();
    let check = |config: &std::path::Path| {
        command().args(["check", "--config"]).arg(config).output().unwrap()
    };
    let fine = check(&agent.config());
    assert!(fine.status.success(), "{fine:?}");

    let mut admin = PgConnection::connect(&agent.server.url()).await.unwrap();
    let poor = "CREATE ROLE poor LOGIN PASSWORD 'p'";
    sqlx::raw_sql(poor).execute(&mut admin).await.unwrap();
    let text = std::fs::read_to_string(agent.config()).unwrap();
    std::fs::write(agent.config(), text.replace("//postgres@", "//poor@")).unwrap();
    std::fs::write(agent.config().with_file_name("orders.password"), "p").unwrap();
    let lacking = eventually("an answer", async || Ok::<_, ()>(check(&agent.config()))).await;
    assert_eq!(lacking.status.code(), Some(1), "{lacking:?}");
    let said = String::from_utf8_lossy(&lacking.stdout).into_owned();
    assert!(said.contains(r#"ALTER ROLE "poor" CREATEROLE"#), "{said}");
}
