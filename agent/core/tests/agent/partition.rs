//! How long grants outlive the broker's last word.

use std::collections::BTreeSet;

use crate::support::*;
use ebbgate_agent_core::{Agent, AgentState, Done, Reading, Record, Step};
use ebbgate_domain::order::EndCause;
use ebbgate_domain::order::Provisioned;
use jiff::SignedDuration;
use proptest::prelude::*;

const GRACE_S: i64 = 300;

/// With this in its journal, an agent whose integration is cut off after five minutes.
fn strict(state: AgentState) -> Agent {
    Agent::new(state, BTreeSet::from([orders()]))
        .with_grace(orders(), SignedDuration::from_secs(GRACE_S))
}

/// Such an agent, with grant 1 provisioned at second 1, when the broker was last heard of.
fn given() -> Agent {
    let mut agent = strict(AgentState::default());
    agent.on_start(&at(0));
    agent.on_heard(&at(0));
    agent.on_order(provision(1, 1, 5_000), false, &at(0));
    agent.on_tick(&at(0));
    agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(1));
    agent.on_heard(&at(1));
    agent.on_tick(&at(1));
    agent
}

fn cut(steps: &[Step]) -> bool {
    words(steps).contains(&"write revoke-intended CutOff".to_owned())
}

#[test]
fn the_brokers_last_word_is_on_record_before_what_depends_on_it() {
    let mut agent = strict(AgentState::default());
    agent.on_start(&at(0));
    agent.on_heard(&at(0));
    let steps = agent.on_order(provision(1, 1, 600), false, &at(0));
    assert_eq!(words(&steps), ["write contact", "write provision-intended", "provision"]);
}

#[test]
fn silence_cuts_off_when_the_grace_is_over_and_not_before() {
    let mut agent = given();
    assert!(!cut(&agent.on_tick(&at(300))));
    let steps = agent.on_tick(&at(301));
    assert!(words(&steps).contains(&"alarm cut-off".to_owned()));
    assert!(cut(&steps) && words(&steps).contains(&"revoke".to_owned()));
    assert_eq!(agent.state().get(grant(1)).unwrap().cause, Some(EndCause::CutOff));
    assert!(!cut(&agent.on_tick(&at(302))), "once");
}

#[test]
fn a_word_in_time_keeps_the_grants() {
    let mut agent = given();
    for s in (1..4_000).step_by(250) {
        agent.on_heard(&at(s));
        assert!(!cut(&agent.on_tick(&at(s))));
    }
}

#[test]
fn without_a_grace_the_deadline_alone_counts() {
    let mut agent = provisioned();
    agent.on_heard(&at(1));
    assert!(!cut(&agent.on_tick(&at(599))));
}

#[test]
fn a_clock_that_jumps_does_not_cut_off_and_does_not_keep() {
    let mut agent = given();
    let forward = reading(3_600_000, "a", 12_000);
    assert!(!cut(&agent.on_tick(&forward)), "the boot clock says that a second has passed");
    let backward = reading(-3_600_000, "a", 10_000 + 302_000);
    assert!(cut(&agent.on_tick(&backward)));
}

#[test]
fn a_restart_takes_up_the_silence_where_it_was() {
    let state = given().state().clone();
    let mut late = strict(state.clone());
    assert!(cut(&late.on_start(&at(310))), "before anybody is called");
    let mut early = strict(state);
    assert!(!cut(&early.on_start(&at(200))));
    assert!(cut(&early.on_tick(&at(301))));
}

#[test]
fn a_boot_takes_up_the_silence_too_and_a_wrong_clock_gives_no_more_of_it() {
    let mut agent = given();
    agent.on_tick(&at(100));
    let state = agent.state().clone();
    let mut booted = strict(state.clone());
    assert!(!cut(&booted.on_start(&reading(150_000, "b", 1_000))));
    assert!(cut(&booted.on_tick(&reading(350_000, "b", 201_000))));
    let mut wrong_clock = strict(state);
    wrong_clock.on_start(&reading(-9_000_000, "b", 1_000));
    assert!(cut(&wrong_clock.on_tick(&reading(-8_700_000, "b", 301_000))));
}

#[test]
fn a_grace_that_is_new_begins_with_the_start_and_restarts_do_not_lengthen_it() {
    let mut agent = strict(provisioned().state().clone());
    let steps = agent.on_start(&at(100));
    assert!(words(&steps).contains(&"write contact".to_owned()) && !cut(&steps));
    let mut again = strict(agent.state().clone());
    assert!(!cut(&again.on_start(&at(399))));
    assert!(cut(&again.on_tick(&at(400))));
}

/// What happens to an agent with a grace.
#[derive(Debug, Clone)]
enum Event {
    Pass { s: u64 },
    Heard,
    WallJump { s: i64 },
    Restart,
    Reboot { off_s: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1..200_u64).prop_map(|s| Event::Pass { s }),
        4 => Just(Event::Heard),
        1 => (-5_000..5_000_i64).prop_map(|s| Event::WallJump { s }),
        2 => Just(Event::Restart),
        1 => (0..200_u64).prop_map(|off_s| Event::Reboot { off_s }),
    ]
}

proptest! {
    /// Whatever happens: when time that was really lived since the broker's last word reaches the
    /// grace, nothing is given any more; while the broker was heard of well within it, everything is.
    #[test]
    fn nothing_outlives_the_grace(events in prop::collection::vec(event(), 1..40)) {
        let mut journal = Vec::new();
        let (mut wall_ms, mut boot, mut boot_ms) = (0_i64, 0_u32, 10_000_u64);
        // By a clock that nobody can touch: since the last word, and how much of it may be counted
        // twice because a record of it was lost.
        let (mut silent_s, mut slack_s) = (0_u64, 0_u64);
        let mut agent = strict(AgentState::default());
        let deadline_s = 30 * 86_400;
        let now = |wall_ms: i64, boot: u32, boot_ms: u64| -> Reading {
            reading(wall_ms, &format!("boot-{boot}"), boot_ms)
        };
        let keep = |journal: &mut Vec<Record>, steps: Vec<Step>| {
            journal.extend(steps.into_iter().filter_map(|step| match step {
                Step::Append(record) => Some(record),
                _ => None,
            }));
        };
        let first = now(wall_ms, boot, boot_ms);
        keep(&mut journal, agent.on_start(&first));
        agent.on_heard(&first);
        keep(&mut journal, agent.on_order(provision(1, 1, deadline_s), false, &first));
        keep(&mut journal, agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &first));
        for event in events {
            match event {
                Event::Pass { s } => {
                    for _ in 0..s {
                        wall_ms += 1_000;
                        boot_ms += 1_000;
                        silent_s += 1;
                        keep(&mut journal, agent.on_tick(&now(wall_ms, boot, boot_ms)));
                    }
                }
                Event::Heard => {
                    agent.on_heard(&now(wall_ms, boot, boot_ms));
                    (silent_s, slack_s) = (0, 0);
                }
                Event::WallJump { s } => wall_ms += s * 1_000,
                Event::Restart => {
                    // Up to ten seconds of contact were not on record.
                    slack_s += 10;
                    agent = strict(AgentState::fold(journal.clone()));
                    keep(&mut journal, agent.on_start(&now(wall_ms, boot, boot_ms)));
                }
                Event::Reboot { off_s } => {
                    (boot, boot_ms) = (boot + 1, 1_000);
                    wall_ms += i64::try_from(off_s).unwrap() * 1_000;
                    // Silence is counted by the wall clock across a boot, which may have jumped
                    // since the last record, up to a minute ago; forward it only cuts off early.
                    silent_s += off_s;
                    slack_s += 6_000;
                    agent = strict(AgentState::fold(journal.clone()));
                    keep(&mut journal, agent.on_start(&now(wall_ms, boot, boot_ms)));
                    // So much may not have been on record of what had been lived before.
                    silent_s = silent_s.saturating_sub(off_s + 60);
                }
            }
            keep(&mut journal, agent.on_tick(&now(wall_ms, boot, boot_ms)));
            prop_assert_eq!(&AgentState::fold(journal.clone()), agent.state());
            let is_given = agent.state().get(grant(1)).is_some_and(|held| held.is_given());
            if silent_s >= 300 {
                prop_assert!(!is_given, "silent for {silent_s} s");
            }
            if is_given {
                continue;
            }
            prop_assert!(silent_s + slack_s + 60 >= 300, "cut off after {silent_s} s");
            break;
        }
    }
}
