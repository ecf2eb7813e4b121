//! The agents that are connected now, and the orders on their way to them.

use std::{collections::BTreeMap, sync::Arc};

use ebbgate_domain::{
    Timestamp,
    clock_offset::ClockState,
    grant::Grant,
    ids::AgentId,
    names::{AgentName, IntegrationName},
    order::{Order, OrderAction},
    placing::Candidate,
};
use ebbgate_proto::v1::{self, broker_message::Message};
use jiff::SignedDuration;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{convert, questions::Questions};
use crate::{metrics::Metrics, tls::OrderKey};

/// The agents that are connected now.
pub(crate) struct Hub {
    streams: Mutex<Streams>,
    pub(super) key: OrderKey,
    metrics: Arc<Metrics>,
    pub(super) questions: Questions,
}

#[derive(Default)]
struct Streams {
    last: u64,
    by_agent: BTreeMap<AgentName, Stream>,
}

struct Stream {
    number: u64,
    agent: AgentId,
    outbound: mpsc::UnboundedSender<v1::BrokerMessage>,
    integrations: Vec<IntegrationName>,
    pulse: Pulse,
    /// Cancelled when the stream must end.
    stop: CancellationToken,
}

/// What an agent last said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pulse {
    /// How far its clock is ahead of the broker's.
    pub(crate) offset: SignedDuration,
    /// Whether it takes no new grants.
    pub(crate) draining: bool,
    /// How many grants it has given and not torn down.
    pub(crate) held: u32,
}

impl Pulse {
    /// What its clock's offset means.
    pub(crate) fn clock(&self) -> ClockState {
        ClockState::of(self.offset)
    }
}

/// A stream that was taken up.
pub(crate) struct Joined {
    /// By which [`Hub::leave`] knows it.
    pub(crate) number: u64,
    /// What goes out on it.
    pub(crate) outbound: mpsc::UnboundedReceiver<v1::BrokerMessage>,
    /// Cancelled when it must end.
    pub(crate) stop: CancellationToken,
}

impl Hub {
    /// A hub of which nobody is part yet; what it sends is signed with `key`.
    pub(crate) fn new(key: OrderKey, metrics: Arc<Metrics>) -> Self {
        Self { streams: Mutex::default(), key, metrics, questions: Questions::default() }
    }

    /// The public keys by which agents know the broker's orders.
    pub(crate) fn order_keys(&self) -> Vec<Vec<u8>> {
        self.key.public()
    }

    /// An order as it is sent to that agent now.
    pub(crate) fn signed(&self, order: &Order, agent: AgentId, now: Timestamp) -> v1::Signed {
        self.key.order(&convert::order(order, agent, now))
    }

    /// Takes up a connected agent, whose first message is `welcome`. A former stream under its name
    /// ends.
    pub(crate) fn join(
        &self,
        name: &AgentName,
        agent: AgentId,
        integrations: Vec<IntegrationName>,
        pulse: Pulse,
        welcome: v1::Welcome,
    ) -> Joined {
        // Unbounded, but never long: an order is sent once for each change of a live grant.
        let (sender, outbound) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let mut streams = self.streams.lock();
        streams.last += 1;
        let number = streams.last;
        // Before anybody can find the stream: nothing may overtake the welcome.
        let sent = sender.send(message(Message::Welcome(welcome)));
        debug_assert!(sent.is_ok(), "the receiver is in our hands");
        let stream =
            Stream { number, agent, outbound: sender, integrations, pulse, stop: stop.clone() };
        if let Some(former) = streams.by_agent.insert(name.clone(), stream) {
            former.stop.cancel();
        }
        self.metrics.clock_offset(name, pulse.offset);
        Joined { number, outbound, stop }
    }

    /// An agent's stream ended. Nothing where a newer one has taken its place.
    pub(crate) fn leave(&self, name: &AgentName, number: u64) {
        self.end_where(|named, stream| named == name && stream.number == number);
    }

    /// Ends the stream under that name: its agent has come anew, and what is sent from now on must
    /// not go into the old one.
    pub(crate) fn evict(&self, name: &AgentName) {
        self.end_where(|named, _| named == name);
    }

    /// Ends the stream of that agent.
    pub(crate) fn shut_out(&self, agent: AgentId) {
        self.end_where(|_, stream| stream.agent == agent);
    }

    /// Ends all streams: the broker stops. Agents come back to the next one.
    pub(crate) fn close(&self) {
        self.end_where(|_, _| true);
    }

    fn end_where(&self, ends: impl Fn(&AgentName, &Stream) -> bool) {
        let mut streams = self.streams.lock();
        streams.by_agent.retain(|name, stream| {
            if !ends(name, stream) {
                return true;
            }
            stream.stop.cancel();
            self.metrics.agent_left(name);
            self.questions.forget(name);
            false
        });
    }

    /// Takes up what an agent says of itself; gives what it said before. None where its stream is
    /// no more.
    pub(crate) fn beat(&self, name: &AgentName, number: u64, pulse: Pulse) -> Option<Pulse> {
        let mut streams = self.streams.lock();
        let stream = streams.by_agent.get_mut(name).filter(|stream| stream.number == number)?;
        self.metrics.clock_offset(name, pulse.offset);
        Some(std::mem::replace(&mut stream.pulse, pulse))
    }

    /// What an agent last said of itself; none where it is not connected.
    pub(crate) fn pulse(&self, name: &AgentName, agent: AgentId) -> Option<Pulse> {
        let streams = self.streams.lock();
        streams.by_agent.get(name).filter(|stream| stream.agent == agent).map(|stream| stream.pulse)
    }

    /// Those of the agents that are connected and serve the integration.
    pub(crate) fn candidates(
        &self,
        integration: &IntegrationName,
        names: &[AgentName],
    ) -> Vec<Candidate> {
        let streams = self.streams.lock();
        let serving = names.iter().filter_map(|name| {
            let stream = streams.by_agent.get(name)?;
            stream.integrations.contains(integration).then(|| Candidate {
                name: name.clone(),
                draining: stream.pulse.draining,
                clock: stream.pulse.clock(),
            })
        });
        serving.collect()
    }

    /// Sends a message to an agent; false where it is not connected.
    pub(crate) fn tell(&self, name: &AgentName, said: Message) -> bool {
        self.tell_signed(name, |_| said)
    }

    /// Sends a message that is made for the agent's own id; false where it is not connected.
    pub(super) fn tell_signed(
        &self,
        name: &AgentName,
        said: impl FnOnce(AgentId) -> Message,
    ) -> bool {
        let streams = self.streams.lock();
        let stream = streams.by_agent.get(name);
        stream.is_some_and(|stream| stream.outbound.send(message(said(stream.agent))).is_ok())
    }

    /// Sends an order to an agent that serves its integration; false where it is away. The others
    /// that serve it hear before it goes out that a grant will be held elsewhere.
    pub(crate) fn order(&self, name: &AgentName, order: &Order, now: Timestamp) -> bool {
        let integration = &order.spec.integration;
        let streams = self.streams.lock();
        let serves = |stream: &&Stream| stream.integrations.contains(integration);
        let Some(stream) = streams.by_agent.get(name).filter(serves) else { return false };
        if order.action == OrderAction::Provision {
            let elsewhere = v1::Elsewhere {
                integration: integration.to_string(),
                grant_id: order.spec.grant.to_string(),
            };
            for other in streams.by_agent.values().filter(serves) {
                if other.number != stream.number {
                    // One that leaves just now hears it in its next welcome.
                    let _ = other.outbound.send(message(Message::Elsewhere(elsewhere.clone())));
                }
            }
        }
        let signed = self.signed(order, stream.agent, now);
        stream.outbound.send(message(Message::Order(signed))).is_ok()
    }

    /// Tells the agents that did not hold it that a grant is over.
    pub(crate) fn over(&self, grant: &Grant) {
        let over = v1::ElsewhereOver {
            integration: grant.integration.to_string(),
            grant_id: grant.id.to_string(),
        };
        for (name, stream) in &self.streams.lock().by_agent {
            let holds = grant.place.as_ref() == Some(name);
            if !holds && stream.integrations.contains(&grant.integration) {
                // One that leaves just now hears in its next welcome what stands.
                let _ = stream.outbound.send(message(Message::ElsewhereOver(over.clone())));
            }
        }
    }
}

fn message(message: Message) -> v1::BrokerMessage {
    v1::BrokerMessage { message: Some(message) }
}
