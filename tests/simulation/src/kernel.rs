//! One thread, virtual time. A task is a future that lives on a node; a step polls one of those
//! that can go on, chosen by the seed, and where none can, time goes to the next timer. A node can
//! be killed (its tasks are dropped where they stand, as a process is) or frozen (as SIGSTOP and
//! suspend do).

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{rng::Rng, trace::Trace};

/// Milliseconds of true time since the run began. No node sees it: each has clocks of its own.
pub type Millis = u64;

type Work = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    /// Tasks that were begun and not taken up yet. Not in the world itself, because a task need not
    /// be able to change its thread, and what the ports hold must.
    static BORN: RefCell<Vec<(Node, Work)>> = const { RefCell::new(Vec::new()) };
}

/// Where a task lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// People, servers, wires, misfortune: what never crashes.
    World,
    /// The broker's process.
    Broker,
    /// An agent's process.
    Agent(usize),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::World => f.write_str("world"),
            Self::Broker => f.write_str("broker"),
            Self::Agent(n) => write!(f, "agent-{n}"),
        }
    }
}

/// What tasks see of the simulation. Cheap to clone.
#[derive(Clone)]
pub struct Sim(Arc<Shared>);

struct Shared {
    now: AtomicU64,
    ties: AtomicU64,
    rng: Mutex<Rng>,
    ready: Arc<Mutex<BTreeSet<u64>>>,
    timers: Mutex<BTreeMap<(Millis, u64), Waker>>,
    dying: Mutex<Vec<Node>>,
    frozen: Mutex<BTreeSet<Node>>,
    deaths: Mutex<BTreeMap<Node, Arc<Notify>>>,
    trace: Mutex<Trace>,
}

impl Sim {
    /// A world that is empty, at its beginning.
    pub fn new(seed: u64) -> Self {
        // What another run of this thread has left behind.
        drop(BORN.take());
        Self(Arc::new(Shared {
            now: AtomicU64::new(0),
            ties: AtomicU64::new(0),
            rng: Mutex::new(Rng::new(seed)),
            ready: Arc::default(),
            timers: Mutex::default(),
            dying: Mutex::default(),
            frozen: Mutex::default(),
            deaths: Mutex::default(),
            trace: Mutex::default(),
        }))
    }

    /// True time.
    pub fn now(&self) -> Millis {
        self.0.now.load(Ordering::Relaxed)
    }

    /// A random number below `end`.
    pub fn below(&self, end: u64) -> u64 {
        self.0.rng.lock().below(end)
    }

    /// A random number from `least` to `most`.
    pub fn between(&self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True in so many of a thousand cases.
    pub fn chance(&self, per_mille: u64) -> bool {
        per_mille > 0 && self.below(1_000) < per_mille
    }

    /// One of them; none where there is none.
    pub fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        from.get(usize::try_from(self.below(from.len() as u64)).unwrap_or(0))
    }

    /// Writes a line into the trace.
    pub fn note(&self, node: Node, what: fmt::Arguments<'_>) {
        self.0.trace.lock().note(self.now(), node, what);
    }

    /// Counts that something happened, so that a run that tries nothing is noticed.
    pub fn count(&self, what: &'static str) {
        self.0.trace.lock().count(what);
    }

    /// The trace so far, taken out.
    pub fn take_trace(&self) -> Trace {
        std::mem::take(&mut self.0.trace.lock())
    }

    /// Waits so long, in true time.
    pub fn sleep(&self, pause: Millis) -> Sleep {
        self.sleep_until(self.now().saturating_add(pause))
    }

    /// Waits until then.
    pub fn sleep_until(&self, until: Millis) -> Sleep {
        Sleep { sim: self.clone(), until, key: None }
    }

    /// Lets others go first, maybe.
    pub async fn yield_now(&self) {
        let mut yielded = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Begins a task on a node.
    pub fn spawn(&self, node: Node, work: impl Future<Output = ()> + 'static) {
        BORN.with_borrow_mut(|born| born.push((node, Box::pin(work))));
    }

    /// Ends every task on a node once the present poll is over; none of them runs any code.
    pub fn kill(&self, node: Node) {
        self.0.dying.lock().push(node);
    }

    /// Kills the node that this is called on: does not return.
    pub async fn die(&self, node: Node) {
        self.kill(node);
        std::future::pending::<()>().await;
    }

    /// Stops a node's tasks, or lets them go on.
    pub fn freeze(&self, node: Node, frozen: bool) {
        let mut all = self.0.frozen.lock();
        if frozen {
            all.insert(node);
        } else {
            all.remove(&node);
        }
    }

    /// Whether a node stands still.
    pub fn is_frozen(&self, node: Node) -> bool {
        self.0.frozen.lock().contains(&node)
    }

    /// Rings when a node has been killed.
    pub fn death(&self, node: Node) -> Arc<Notify> {
        Arc::clone(self.0.deaths.lock().entry(node).or_default())
    }

    fn tie(&self) -> u64 {
        self.0.ties.fetch_add(1, Ordering::Relaxed)
    }
}

/// A wait in true time.
pub struct Sleep {
    sim: Sim,
    until: Millis,
    key: Option<(Millis, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.sim.now() >= self.until {
            return Poll::Ready(());
        }
        let key = match self.key {
            Some(key) => key,
            None => (self.until, self.sim.tie()),
        };
        self.key = Some(key);
        self.sim.0.timers.lock().insert(key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.sim.0.timers.lock().remove(&key);
        }
    }
}

struct Bell {
    task: u64,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.lock().insert(self.task);
    }
}

struct Task {
    node: Node,
    work: Work,
    waker: Waker,
}

/// Polls the tasks.
pub struct Kernel {
    sim: Sim,
    tasks: BTreeMap<u64, Task>,
    next: u64,
}

impl Kernel {
    /// A kernel of that world.
    pub fn new(sim: Sim) -> Self {
        Self { sim, tasks: BTreeMap::new(), next: 0 }
    }

    /// Polls one task, or lets time pass to the next timer. False where nothing will ever happen.
    pub fn step(&mut self) -> bool {
        self.adopt();
        let Some(id) = self.choose() else { return self.pass_time() };
        self.sim.0.ready.lock().remove(&id);
        if let Some(task) = self.tasks.get_mut(&id) {
            let waker = task.waker.clone();
            if task.work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                self.tasks.remove(&id);
            }
        }
        self.reap();
        true
    }

    fn adopt(&mut self) {
        let born = BORN.take();
        for (node, work) in born {
            let id = self.next;
            self.next += 1;
            let ready = Arc::clone(&self.sim.0.ready);
            let waker = Waker::from(Arc::new(Bell { task: id, ready }));
            self.tasks.insert(id, Task { node, work, waker });
            self.sim.0.ready.lock().insert(id);
        }
    }

    /// One of the tasks that can go on.
    fn choose(&mut self) -> Option<u64> {
        let can_run: Vec<u64> = {
            let mut ready = self.sim.0.ready.lock();
            ready.retain(|id| self.tasks.contains_key(id));
            let frozen = self.sim.0.frozen.lock();
            let runs = |id: &&u64| self.tasks.get(id).is_some_and(|t| !frozen.contains(&t.node));
            ready.iter().filter(runs).copied().collect()
        };
        if can_run.len() < 2 { can_run.first().copied() } else { self.sim.pick(&can_run).copied() }
    }

    fn pass_time(&mut self) -> bool {
        let due: Vec<Waker> = {
            let mut timers = self.sim.0.timers.lock();
            let Some((&(when, _), _)) = timers.first_key_value() else { return false };
            self.sim.0.now.fetch_max(when, Ordering::Relaxed);
            let later = timers.split_off(&(when, u64::MAX));
            std::mem::replace(&mut *timers, later).into_values().collect()
        };
        due.into_iter().for_each(Waker::wake);
        true
    }

    fn reap(&mut self) {
        loop {
            let dying = std::mem::take(&mut *self.sim.0.dying.lock());
            if dying.is_empty() {
                return;
            }
            for node in dying {
                self.adopt();
                // Collected first: what is dropped may look at the world.
                let (dead, alive) = std::mem::take(&mut self.tasks)
                    .into_iter()
                    .partition::<BTreeMap<_, _>, _>(|(_, task)| task.node == node);
                self.tasks = alive;
                self.sim.freeze(node, false);
                // What is down already does not die again.
                if !dead.is_empty() {
                    drop(dead);
                    self.sim.death(node).notify_one();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(sim: &Sim, steps: usize) {
        let mut kernel = Kernel::new(sim.clone());
        for _ in 0..steps {
            if !kernel.step() {
                return;
            }
        }
    }

    #[test]
    fn time_passes_only_when_nobody_can_go_on() {
        let sim = Sim::new(1);
        let seen = Arc::new(Mutex::new(Vec::new()));
        for pause in [30, 10, 20] {
            let (world, log) = (sim.clone(), Arc::clone(&seen));
            sim.spawn(Node::World, async move {
                world.sleep(pause).await;
                log.lock().push((world.now(), pause));
            });
        }
        run(&sim, 100);
        assert_eq!(*seen.lock(), [(10, 10), (20, 20), (30, 30)]);
    }

    #[test]
    fn a_killed_node_does_nothing_more_and_a_frozen_one_goes_on_later() {
        let sim = Sim::new(1);
        let seen = Arc::new(Mutex::new(Vec::new()));
        for node in [Node::Broker, Node::Agent(0)] {
            let (world, log) = (sim.clone(), Arc::clone(&seen));
            sim.spawn(node, async move {
                world.sleep(10).await;
                log.lock().push((node, world.now()));
            });
        }
        let world = sim.clone();
        sim.spawn(Node::World, async move {
            world.kill(Node::Broker);
            world.freeze(Node::Agent(0), true);
            world.sleep(50).await;
            world.freeze(Node::Agent(0), false);
        });
        run(&sim, 100);
        assert_eq!(*seen.lock(), [(Node::Agent(0), 50)]);
    }
}
