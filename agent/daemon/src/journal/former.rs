//! An upgrade with grants that live: the journal of a former release is read, and loses no timer.

use std::fs;

use ebbgate_agent_core::{Agent, BootTime, Effect, Reading, Step};
use ebbgate_domain::{ids::GrantId, order::EndCause};

use super::{Journal, NAME, look};
use crate::testing::{at, grant, orders};

/// A journal that release 0.1.0 wrote, in the middle of everything that it knew.
const FORMER: &[u8] = include_bytes!("../../tests/journals/0.1.0.journal");

#[test]
fn an_upgrade_loses_no_timer() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(NAME), FORMER).unwrap();
    let (_, recovered) = Journal::open(dir.path()).unwrap();
    assert_eq!(recovered.damage, []);
    let now = Reading {
        wall: at(170).wall,
        boot: BootTime { id: "3c1f6a52-9c5e-4a63-8a0f-6d1c7f0b2e11".to_owned(), ms: 1_170_000 },
    };
    let stand = |n: u8| {
        let held = recovered.state.get(grant(n)).unwrap();
        (held.state_name(), held.seq, held.deadline.left(&now).as_secs(), held.failures)
    };
    assert_eq!(stand(1), ("active", 3, 430, 0));
    assert!(recovered.state.get(grant(2)).is_none(), "it was forgotten");
    assert_eq!(stand(3), ("revoking", 2, 730, 1));
    assert_eq!(stand(4), ("active", 3, 530, 0));
    assert_eq!(stand(5), ("provisioning", 3, 630, 0));
    assert_eq!(stand(6), ("revoking", 1, 580, 0));
    assert_eq!(stand(7), ("revoked", 2, 470, 0));
    assert_eq!(recovered.state.get(grant(6)).unwrap().cause, Some(EndCause::NotStanding));

    // What it held ends when it was to end, and what it had begun is taken up.
    let mut agent = Agent::new(recovered.state, [orders()].into());
    let begun = |steps: Vec<Step>| -> Vec<GrantId> {
        let effects = steps.into_iter().filter_map(|step| match step {
            Step::Begin(Effect::Revoke(spec)) => Some(spec.grant),
            _ => None,
        });
        effects.collect()
    };
    assert_eq!(begun(agent.on_start(&now)), [grant(3), grant(6)]);
    let later = |s: i64| Reading {
        wall: now.wall + jiff::SignedDuration::from_secs(s),
        boot: BootTime { ms: now.boot.ms + u64::try_from(s).unwrap() * 1_000, ..now.boot.clone() },
    };
    assert_eq!(begun(agent.on_tick(&later(429))), []);
    assert_eq!(begun(agent.on_tick(&later(430))), [grant(1)]);
    assert_eq!(begun(agent.on_tick(&later(700))), [grant(4), grant(5)]);
}

#[test]
fn a_former_journal_says_the_same_once_it_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(NAME), FORMER).unwrap();
    let (_, before) = Journal::open(dir.path()).unwrap();
    assert_ne!(fs::read(dir.path().join(NAME)).unwrap(), FORMER);
    assert_eq!(look(dir.path()).unwrap().state, before.state);
}
