//! The network between agents and the broker: for each agent at most one stream that counts, as
//! gRPC over one connection gives it. On a stream messages keep their order and come late; a stream
//! that breaks loses a tail of what was under way, each way for itself; in a partition nothing
//! comes through, and each end notices that when its own keep-alive runs out.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use ebbgate_domain::names::AgentName;
use futures_util::future::select;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    kernel::{Millis, Node, Sim},
    messages::{ToAgent, ToBroker},
};

/// When an end whose peer is silent gives a stream up.
const KEEP_ALIVE: (Millis, Millis) = (10_000, 30_000);

/// One direction of a stream.
pub struct Pipe<T> {
    sim: Sim,
    inner: Arc<Mutex<Flow<T>>>,
    changed: Arc<Notify>,
}

struct Flow<T> {
    queue: VecDeque<(Millis, T)>,
    last: Millis,
    blocked: bool,
    over: bool,
}

impl<T> Clone for Pipe<T> {
    fn clone(&self) -> Self {
        Self {
            sim: self.sim.clone(),
            inner: Arc::clone(&self.inner),
            changed: Arc::clone(&self.changed),
        }
    }
}

impl<T> Pipe<T> {
    fn new(sim: &Sim) -> Self {
        let flow = Flow { queue: VecDeque::new(), last: 0, blocked: false, over: false };
        Self { sim: sim.clone(), inner: Arc::new(Mutex::new(flow)), changed: Arc::default() }
    }

    /// Puts a message on its way; false where the stream is over.
    pub fn send(&self, message: T) -> bool {
        let delay = match self.sim.below(20) {
            0 => self.sim.between(100, 3_000),
            _ => self.sim.between(1, 40),
        };
        let mut flow = self.inner.lock();
        if flow.over {
            return false;
        }
        flow.last = flow.last.max(self.sim.now() + delay);
        let due = flow.last;
        flow.queue.push_back((due, message));
        drop(flow);
        self.changed.notify_one();
        true
    }

    /// The next message; none where the stream is over.
    pub async fn recv(&self) -> Option<T> {
        loop {
            let wait = {
                let mut flow = self.inner.lock();
                match flow.queue.front() {
                    Some((due, _)) if *due <= self.sim.now() && !flow.blocked => {
                        return flow.queue.pop_front().map(|(_, message)| message);
                    }
                    None if flow.over => return None,
                    Some((due, _)) if !flow.blocked => Some(*due),
                    _ => None,
                }
            };
            let changed = Box::pin(self.changed.notified());
            match wait {
                Some(due) => drop(select(changed, self.sim.sleep_until(due)).await),
                None => changed.await,
            }
        }
    }

    /// Whether nothing more can be sent.
    pub fn is_over(&self) -> bool {
        self.inner.lock().over
    }

    /// Ends it; of what is under way only the first `kept` messages still arrive.
    fn end(&self, kept: u64) {
        let mut flow = self.inner.lock();
        flow.over = true;
        flow.blocked = false;
        flow.queue.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        drop(flow);
        self.changed.notify_one();
    }

    fn block(&self, blocked: bool) {
        self.inner.lock().blocked = blocked;
        self.changed.notify_one();
    }

    fn under_way(&self) -> u64 {
        self.inner.lock().queue.len() as u64
    }
}

/// One stream, as both ends have it.
#[derive(Clone)]
pub struct Stream {
    /// Whose it is.
    pub agent: AgentName,
    /// What the agent says.
    pub to_broker: Pipe<ToBroker>,
    /// What the broker says.
    pub to_agent: Pipe<ToAgent>,
}

impl Stream {
    fn new(sim: &Sim, agent: AgentName) -> Self {
        Self { agent, to_broker: Pipe::new(sim), to_agent: Pipe::new(sim) }
    }

    /// Breaks it: some of what is under way is lost, each way for itself.
    pub fn break_off(&self) {
        let sim = &self.to_broker.sim;
        self.to_broker.end(sim.below(self.to_broker.under_way() + 1));
        self.to_agent.end(sim.below(self.to_agent.under_way() + 1));
    }

    fn block(&self, blocked: bool) {
        self.to_broker.block(blocked);
        self.to_agent.block(blocked);
    }
}

#[derive(Default)]
struct Link {
    cut: bool,
    stream: Option<Stream>,
}

/// All links.
pub struct Wire {
    sim: Sim,
    links: Mutex<BTreeMap<AgentName, Link>>,
    door: Mutex<Option<tokio::sync::mpsc::UnboundedSender<Stream>>>,
}

impl Wire {
    /// A network in which everything works.
    pub fn new(sim: &Sim) -> Self {
        Self { sim: sim.clone(), links: Mutex::default(), door: Mutex::new(None) }
    }

    /// The broker listens, or does not any more.
    pub fn set_door(&self, door: Option<tokio::sync::mpsc::UnboundedSender<Stream>>) {
        *self.door.lock() = door;
    }

    /// An agent opens a stream; none where it cannot.
    pub async fn dial(&self, agent: &AgentName) -> Option<Stream> {
        self.sim.sleep(self.sim.between(5, 60)).await;
        if self.links.lock().entry(agent.clone()).or_default().cut {
            self.sim.sleep(5_000).await;
            return None;
        }
        let stream = Stream::new(&self.sim, agent.clone());
        let taken = self.door.lock().as_ref().is_some_and(|door| door.send(stream.clone()).is_ok());
        if !taken {
            return None;
        }
        self.links.lock().entry(agent.clone()).or_default().stream = Some(stream.clone());
        Some(stream)
    }

    /// Whether an agent's messages reach the broker's machine.
    pub fn is_cut(&self, agent: &AgentName) -> bool {
        self.links.lock().get(agent).is_some_and(|link| link.cut)
    }

    /// Breaks an agent's present stream.
    pub fn break_stream(&self, agent: &AgentName) {
        let stream = self.links.lock().get_mut(agent).and_then(|link| link.stream.take());
        if let Some(stream) = stream {
            stream.break_off();
        }
    }

    /// Breaks every stream: the broker is gone.
    pub fn break_all(&self) {
        let agents: Vec<_> = self.links.lock().keys().cloned().collect();
        agents.iter().for_each(|agent| self.break_stream(agent));
    }

    /// Nothing comes through for a while. Each end that hears nothing for too long gives up.
    pub async fn partition(&self, agent: &AgentName, duration: Millis) {
        let stream = {
            let mut links = self.links.lock();
            let link = links.entry(agent.clone()).or_default();
            if link.cut {
                return;
            }
            link.cut = true;
            link.stream.clone()
        };
        self.sim.note(Node::World, format_args!("{agent} is cut off for {duration} ms"));
        if let Some(stream) = &stream {
            stream.block(true);
        }
        let heals = self.sim.now() + duration;
        let mut ends: Vec<(Millis, bool)> = [true, false]
            .map(|agents_end| {
                (self.sim.now() + self.sim.between(KEEP_ALIVE.0, KEEP_ALIVE.1), agents_end)
            })
            .into_iter()
            .filter(|(when, _)| *when < heals)
            .collect();
        ends.sort_unstable();
        for (when, agents_end) in ends {
            self.sim.sleep_until(when).await;
            if let Some(stream) = &stream {
                // What this end has not heard by now it never will; it says nothing more either.
                if agents_end {
                    stream.to_agent.end(0);
                } else {
                    stream.to_broker.end(0);
                }
            }
        }
        self.sim.sleep_until(heals).await;
        self.sim.note(Node::World, format_args!("{agent} is reachable again"));
        if let Some(stream) = stream {
            if stream.to_agent.is_over() || stream.to_broker.is_over() {
                // The other end learns it now; what was buffered there was never sent.
                stream.to_broker.end(0);
                stream.to_agent.end(0);
            } else {
                stream.block(false);
            }
        }
        if let Some(link) = self.links.lock().get_mut(agent) {
            link.cut = false;
        }
    }

    /// The broker's end of an agent's stream gives up: the agent's machine has been silent for
    /// too long.
    pub fn give_up_on(&self, agent: &AgentName) {
        let stream = self.links.lock().get(agent).and_then(|link| link.stream.clone());
        if let Some(stream) = stream {
            stream.to_broker.end(0);
            let arrives = stream.to_agent.under_way();
            stream.to_agent.end(arrives);
        }
    }
}
