//! One run: a seed, and what became of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    check::{Checker, Violation, left_over},
    kernel::{Kernel, Millis, Node, Sim},
    scenario::Sabotage,
    trace::Trace,
    world::World,
};

/// How long after misfortune everything may take to settle: the longest grant, the longest pause
/// between attempts and a sweep fit in several times.
const SETTLES_WITHIN: Millis = 3 * 3_600_000;
/// How often it is looked whether it has.
const LOOK_EVERY: Millis = 5_000;
/// More steps than any run needs.
const MOST_STEPS: u64 = 3_000_000;

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What did not hold.
    pub violation: Option<Violation>,
    /// What happened.
    pub trace: Trace,
    /// How many steps it took.
    pub steps: u64,
    /// How long it lasted, in true time.
    pub lasted: Millis,
}

/// Runs one seed, with something broken on purpose or nothing.
///
/// # Panics
/// Where the machine can have no timer: the use cases' time-outs want one, though none ever fires.
pub fn run(seed: u64, sabotage: Option<Sabotage>) -> Report {
    // Time-outs inside the use cases ask for a runtime. Nobody turns its clock.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let sim = Sim::new(seed);
    let mut steps = 0;
    let ended = catch_unwind(AssertUnwindSafe(|| go(&sim, sabotage, &mut steps)));
    let violation = match ended {
        Ok(checked) => checked.err(),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(Violation::new("panic", text.unwrap_or_default()))
        }
    };
    Report { seed, violation, lasted: sim.now(), trace: sim.take_trace(), steps }
}

fn go(sim: &Sim, sabotage: Option<Sabotage>, steps: &mut u64) -> Result<(), Violation> {
    let world = World::begin(sim, sabotage);
    let mut kernel = Kernel::new(sim.clone());
    let mut checker = Checker::default();
    let mut next_look = world.profile.busy;
    loop {
        *steps += 1;
        if !kernel.step() {
            return Err(Violation::new("stuck", "nothing will ever happen any more"));
        }
        checker.look(&world)?;
        if sim.now() < next_look || !*world.healed.lock() {
            continue;
        }
        next_look = sim.now() + LOOK_EVERY;
        let left = left_over(&world);
        if left.is_empty() {
            sim.note(Node::World, format_args!("all is quiet"));
            return checker.look_back(&world);
        }
        if sim.now() > world.profile.busy + SETTLES_WITHIN || *steps > MOST_STEPS {
            return Err(Violation::new("quiet", left.join("; ")));
        }
    }
}

/// Runs seeds from `from` on, on all cores, each run on one thread; gives each report to `tell` in
/// the seeds' order of ending.
pub fn run_all(
    from: u64,
    seeds: u64,
    sabotage: Option<Sabotage>,
    tell: &(dyn Fn(Report) -> bool + Sync),
) {
    let next = Arc::new(std::sync::atomic::AtomicU64::new(from));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= from.saturating_add(seeds) || !tell(run(seed, sabotage)) {
                        return;
                    }
                }
            });
        }
    });
}
