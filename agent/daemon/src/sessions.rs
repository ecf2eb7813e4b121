//! Live sessions: the broker asks, the connector looks, and the answer goes straight back. None of it
//! passes the keeper, so that no target makes a deadline late, and each answer comes in bounded time,
//! however slow its target is.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use ebbgate_agent_core::Failure;
use ebbgate_connector_api::{Connector, ConnectorError};
use ebbgate_domain::{names::IntegrationName, session::LiveSession};
use ebbgate_proto::v1;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use crate::{convert, settings::Connectors, telemetry::chain};

/// How many questions may be at work on one target at a time.
const AT_ONCE: usize = 4;
/// Asks targets for the broker.
pub(crate) struct Sessions {
    targets: BTreeMap<IntegrationName, Target>,
    /// How long the broker waits for a list, and for a session's end.
    list: Duration,
    end: Duration,
}

struct Target {
    connector: Arc<dyn Connector>,
    places: Arc<Semaphore>,
}

impl Sessions {
    pub(crate) fn new(connectors: &Connectors) -> Self {
        let target = |(name, connector): (&IntegrationName, &Arc<dyn Connector>)| {
            let places = Arc::new(Semaphore::new(AT_ONCE));
            (name.clone(), Target { connector: Arc::clone(connector), places })
        };
        let targets = connectors.iter().map(target).collect();
        Self { targets, list: Duration::from_secs(10), end: Duration::from_secs(20) }
    }

    /// Answers with the sessions that are live on an integration.
    pub(crate) fn list(
        &self,
        query: u64,
        integration: &str,
        outbox: mpsc::Sender<v1::AgentMessage>,
    ) {
        let work = self.begin(integration, |connector, place| async move {
            let _place = place;
            connector.sessions().await
        });
        let answer = move |found| convert::sessions(query, found);
        tokio::spawn(reply(work, self.list, answer, outbox));
    }

    /// Ends one session, and answers whether it was there.
    pub(crate) fn end(
        &self,
        query: u64,
        integration: &str,
        session: LiveSession,
        outbox: mpsc::Sender<v1::AgentMessage>,
    ) {
        tracing::info!(grant.id = %session.grant, session.id = session.id, integration, "ending a session");
        let work = self.begin(integration, |connector, place| async move {
            let _place = place;
            connector.end_session(&session).await
        });
        let answer = move |found| convert::session_ended(query, found);
        tokio::spawn(reply(work, self.end, answer, outbox));
    }

    /// Begins work on a target in a task of its own, which nobody cuts short: it holds its place
    /// until it has ended, also when nobody waits for it any more.
    fn begin<T, W>(
        &self,
        integration: &str,
        work: impl FnOnce(Arc<dyn Connector>, OwnedSemaphorePermit) -> W,
    ) -> Result<tokio::task::JoinHandle<Result<T, ConnectorError>>, Failure>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, ConnectorError>> + Send + 'static,
    {
        let name: Option<IntegrationName> = integration.parse().ok();
        let Some(target) = name.and_then(|name| self.targets.get(&name)) else {
            return Err(Failure::lasting(format!(
                "this agent does not serve the integration {integration}: add it to its settings"
            )));
        };
        match Arc::clone(&target.places).try_acquire_owned() {
            Ok(place) => Ok(tokio::spawn(work(Arc::clone(&target.connector), place))),
            Err(_) => Err(Failure::passing(
                "the target is still busy with earlier questions: it is slow, or hangs",
            )),
        }
    }
}

async fn reply<T>(
    work: Result<tokio::task::JoinHandle<Result<T, ConnectorError>>, Failure>,
    patience: Duration,
    answer: impl FnOnce(Result<T, Failure>) -> v1::AgentMessage,
    outbox: mpsc::Sender<v1::AgentMessage>,
) {
    let found = match work {
        Err(failure) => Err(failure),
        Ok(work) => match timeout(patience, work).await {
            Err(_) => {
                Err(Failure::passing(format!("the target did not answer within {patience:?}")))
            }
            Ok(Err(error)) => {
                tracing::error!(error = chain(&error), "a connector broke off");
                Err(Failure::passing("the connector broke off: see the agent's log"))
            }
            Ok(Ok(Err(error))) => {
                Err(Failure { message: error.chain(), may_pass: error.may_pass() })
            }
            Ok(Ok(Ok(found))) => Ok(found),
        },
    };
    if outbox.try_send(answer(found)).is_err() {
        tracing::warn!("the broker that asked for sessions is gone, or does not listen");
    }
}

#[cfg(test)]
mod tests {
    use v1::agent_message::Message;

    use super::*;
    use crate::testing::{FakeConnector, at, connectors, grant};

    struct Bench {
        sessions: Sessions,
        target: Arc<FakeConnector>,
        outbox: mpsc::Sender<v1::AgentMessage>,
        said: mpsc::Receiver<v1::AgentMessage>,
    }

    fn bench() -> Bench {
        let target = Arc::new(FakeConnector::default());
        let (outbox, said) = mpsc::channel(64);
        Bench { sessions: Sessions::new(&connectors(&target)), target, outbox, said }
    }

    fn session(id: &str) -> LiveSession {
        LiveSession {
            id: id.to_owned(),
            grant: grant(1),
            started_at: at(5).wall,
            state: "idle".to_owned(),
            state_since: Some(at(6).wall),
            client: Some("192.0.2.1".to_owned()),
            application: None,
        }
    }

    impl Bench {
        fn list(&self, query: u64, integration: &str) {
            self.sessions.list(query, integration, self.outbox.clone());
        }

        async fn found(&mut self) -> v1::SessionsFound {
            match self.said.recv().await.unwrap().message {
                Some(Message::SessionsFound(found)) => found,
                other => panic!("{other:?}"),
            }
        }

        async fn end(&mut self, id: &str) -> v1::SessionEnded {
            self.sessions.end(9, "orders", session(id), self.outbox.clone());
            match self.said.recv().await.unwrap().message {
                Some(Message::SessionEnded(ended)) => ended,
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn tells_what_is_live_and_ends_one() {
        let mut bench = bench();
        bench.target.logged_in(session("4711"));
        bench.list(7, "orders");
        let found = bench.found().await;
        assert_eq!((found.query, found.failure), (7, None));
        assert_eq!(found.sessions[0].id, "4711");
        assert_eq!(found.sessions[0].started_at_us, at(5).wall.as_microsecond());
        assert!(bench.end("4711").await.found);
        let again = bench.end("4711").await;
        assert_eq!((again.query, again.found, again.failure), (9, false, None));
    }

    #[tokio::test]
    async fn an_integration_that_is_not_served_and_a_target_that_is_away_are_told() {
        let mut bench = bench();
        bench.list(1, "billing");
        let failure = bench.found().await.failure.unwrap();
        assert!(failure.message.contains("does not serve the integration billing"), "{failure:?}");
        bench.target.away(true);
        bench.list(2, "orders");
        assert!(bench.found().await.failure.unwrap().may_pass);
        assert!(bench.end("4711").await.failure.is_some());
    }

    #[tokio::test]
    async fn a_target_that_hangs_is_not_waited_for_and_takes_no_more_than_its_places() {
        let mut bench = bench();
        bench.sessions.list = Duration::from_millis(20);
        bench.target.hang(true);
        for query in 0..4 {
            bench.list(query, "orders");
        }
        bench.list(4, "orders");
        let refused = bench.found().await;
        assert_eq!(refused.query, 4);
        assert!(refused.failure.unwrap().message.contains("busy with earlier questions"));
        for _ in 0..4 {
            let failure = bench.found().await.failure.unwrap();
            assert!(failure.message.contains("did not answer within 20ms"), "{failure:?}");
        }
        bench.list(5, "orders");
        assert!(bench.found().await.failure.unwrap().message.contains("busy"));
        bench.target.hang(false);
        tokio::task::yield_now().await;
        loop {
            bench.list(6, "orders");
            if bench.found().await.failure.is_none() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}
