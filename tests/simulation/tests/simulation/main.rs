//! The simulation as a test: seeds that must hold, that a seed decides everything, and that the
//! checker can fail.

use std::sync::Mutex;

use ebbgate_simulation::{
    run::{Report, run, run_all},
    scenario::Sabotage,
    store::MemoryStore,
};

/// How many seeds a change must pass; `cargo xtask simulate` runs more.
const SEEDS: u64 = 100;
/// Within so many seeds whatever is broken on purpose is found out.
const FOUND_WITHIN: u64 = 40;

async fn fresh() -> (MemoryStore, ()) {
    (MemoryStore::default(), ())
}

ebbgate_broker_ports::store_conformance!(fresh);

#[test]
fn the_invariants_hold_for_these_seeds() {
    let failed: Mutex<Option<Report>> = Mutex::new(None);
    run_all(0, SEEDS, None, &|report| {
        let mut failed = failed.lock().unwrap();
        if report.violation.is_some() {
            failed.get_or_insert(report);
        }
        failed.is_none()
    });
    if let Some(report) = failed.into_inner().unwrap() {
        for line in report.trace.lines() {
            println!("{line}");
        }
        let violation = report.violation.unwrap();
        panic!("{violation}\nagain: cargo xtask simulate --seed {}", report.seed);
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in [3, 41] {
        assert!(run(seed, None) == run(seed, None), "seed {seed} went two ways");
    }
}

#[test]
fn whatever_is_broken_on_purpose_is_found_out() {
    for sabotage in Sabotage::ALL {
        let found = (0..FOUND_WITHIN).find_map(|seed| run(seed, Some(sabotage)).violation);
        assert!(found.is_some(), "{sabotage:?} went unnoticed for {FOUND_WITHIN} seeds");
    }
}
