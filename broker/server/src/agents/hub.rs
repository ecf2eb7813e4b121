//! The agents that are connected now, and the orders on their way to them.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use ebbgate_connector_api::{ConnectorError, Credential, ErrorKind};
use ebbgate_domain::{
    Timestamp,
    ids::GrantId,
    names::{AgentName, IntegrationName},
    order::Order,
    scram::ScramVerifier,
};
use ebbgate_proto::v1;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::convert;

/// How long a person waits for an agent's answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Everything that waits for an agent's answer to one credential order.
type Waiting = HashMap<(GrantId, u64), oneshot::Sender<v1::CredentialOutcome>>;

/// The agents that are connected now.
#[derive(Default)]
pub(crate) struct Hub {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next_session: u64,
    sessions: BTreeMap<AgentName, Session>,
    waiting: Waiting,
}

struct Session {
    number: u64,
    outbound: mpsc::UnboundedSender<v1::BrokerMessage>,
    integrations: Vec<IntegrationName>,
}

impl Hub {
    /// Takes up a connected agent, whose first message is `welcome`. A former stream under its name
    /// ends: its sender is dropped. Gives the number by which [`Hub::leave`] knows this stream.
    pub(crate) fn join(
        &self,
        agent: &AgentName,
        integrations: Vec<IntegrationName>,
        welcome: v1::BrokerMessage,
    ) -> (u64, mpsc::UnboundedReceiver<v1::BrokerMessage>) {
        // Unbounded, but never long: an order is sent once for each change of a live grant.
        let (outbound, receiver) = mpsc::unbounded_channel();
        let mut inner = self.inner.lock();
        inner.next_session += 1;
        let number = inner.next_session;
        // Before anybody can find the session: nothing may overtake the welcome.
        let sent = outbound.send(welcome);
        debug_assert!(sent.is_ok(), "the receiver is in our hands");
        inner.sessions.insert(agent.clone(), Session { number, outbound, integrations });
        (number, receiver)
    }

    /// An agent's stream ended. Nothing where a newer one has taken its place.
    pub(crate) fn leave(&self, agent: &AgentName, number: u64) {
        let mut inner = self.inner.lock();
        if inner.sessions.get(agent).is_some_and(|session| session.number == number) {
            inner.sessions.remove(agent);
        }
    }

    /// Ends all streams: the broker stops. Agents come back to the next one.
    pub(crate) fn close(&self) {
        self.inner.lock().sessions.clear();
    }

    /// Whether an agent of that name is connected.
    pub(crate) fn is_connected(&self, agent: &AgentName) -> bool {
        self.inner.lock().sessions.contains_key(agent)
    }

    /// Whether the agent is connected and serves the integration.
    pub(crate) fn serves(&self, agent: &AgentName, integration: &IntegrationName) -> bool {
        let inner = self.inner.lock();
        inner.sessions.get(agent).is_some_and(|session| session.integrations.contains(integration))
    }

    /// Sends a message to an agent; false where it is not connected.
    pub(crate) fn tell(&self, agent: &AgentName, message: v1::broker_message::Message) -> bool {
        let inner = self.inner.lock();
        inner.sessions.get(agent).is_some_and(|session| {
            session.outbound.send(v1::BrokerMessage { message: Some(message) }).is_ok()
        })
    }

    /// Sends an order to an agent that serves its integration; false where there is none.
    pub(crate) fn order(&self, agent: &AgentName, order: &Order, now: Timestamp) -> bool {
        self.serves(agent, &order.spec.integration)
            && self.tell(agent, v1::broker_message::Message::Order(convert::order(order, now)))
    }

    /// Passes a verifier to an agent and waits for its answer. The verifier is kept nowhere.
    pub(crate) async fn credential(
        &self,
        agent: &AgentName,
        grant: GrantId,
        seq: u64,
        verifier: &ScramVerifier,
    ) -> Result<Credential, ConnectorError> {
        let doing = "register the password's verifier";
        let (sender, receiver) = oneshot::channel();
        self.inner.lock().waiting.insert((grant, seq), sender);
        let message = v1::broker_message::Message::CredentialOrder(v1::CredentialOrder {
            seq,
            grant_id: grant.to_string(),
            scram_verifier: verifier.to_sql_text(),
        });
        let answer = if self.tell(agent, message) {
            tokio::time::timeout(PATIENCE, receiver).await.ok().and_then(Result::ok)
        } else {
            let away = format!("the agent {agent} is not connected");
            self.inner.lock().waiting.remove(&(grant, seq));
            return Err(ConnectorError::new(ErrorKind::AgentAway, doing).because(away));
        };
        self.inner.lock().waiting.remove(&(grant, seq));
        match answer {
            Some(outcome) => convert::credential(outcome),
            None => {
                let silent =
                    format!("the agent {agent} did not answer within {} s", PATIENCE.as_secs());
                Err(ConnectorError::new(ErrorKind::Unreachable, doing).because(silent))
            }
        }
    }

    /// An agent answered a credential order. An answer that nobody waits for any more is dropped:
    /// the person was told that it failed and asks again.
    pub(crate) fn answered(&self, grant: GrantId, outcome: v1::CredentialOutcome) {
        let waiting = self.inner.lock().waiting.remove(&(grant, outcome.seq));
        if let Some(waiting) = waiting
            && waiting.send(outcome).is_err()
        {
            tracing::debug!(grant.id = %grant, "nobody waits for this credential any more");
        }
    }
}
