//! The agent's clock against the broker's: 5 seconds alarm, a minute refuses.

use crate::support::*;
use ebbgate_agent_core::{Agent, Alarm, ClockState, Record, Step};
use jiff::SignedDuration;

/// A heartbeat at `asked`, answered at `heard` with what the broker's clock said, all in seconds.
fn beat(agent: &mut Agent, asked: i64, broker: i64, heard: i64) -> Vec<String> {
    agent.on_asking(false, &at(asked));
    words(&agent.on_broker_time(at(broker).wall, &at(heard)))
}

fn refused(agent: &mut Agent, n: u8, s: i64) -> bool {
    words(&agent.on_order(provision(n, 1, 5_000), false, &at(s))).join(", ").contains("clock is")
}

#[test]
fn clocks_that_agree_are_not_worth_a_word() {
    let mut agent = agent();
    assert!(beat(&mut agent, 10, 10, 10).is_empty());
    assert!(beat(&mut agent, 20, 15, 20).is_empty(), "five seconds are within bounds");
    assert_eq!(agent.clock_offset(), Some(SignedDuration::from_secs(5)));
    assert!(!refused(&mut agent, 1, 20));
}

#[test]
fn more_than_five_seconds_alarm_and_more_than_a_minute_refuse_until_it_is_set_right() {
    let mut agent = agent();
    assert_eq!(beat(&mut agent, 100, 94, 100), ["alarm clock-skew"]);
    assert_eq!(beat(&mut agent, 110, 104, 110), [""; 0], "once is enough");
    assert!(!refused(&mut agent, 1, 110));
    assert_eq!(beat(&mut agent, 120, 181, 120), ["alarm clock-skew"]);
    assert_eq!(agent.clock_state(), ClockState::Refuses);
    assert!(refused(&mut agent, 2, 120));
    assert_eq!(
        words(&agent.on_order(revoke(1, 2, 5_000), false, &at(120)))[0],
        "write revoke-intended Ordered"
    );
    assert_eq!(beat(&mut agent, 130, 130, 130), [""; 0]);
    assert!(!refused(&mut agent, 2, 130));
}

#[test]
fn a_grant_that_is_held_goes_on_whatever_the_clock_says() {
    let mut agent = provisioned();
    beat(&mut agent, 100, 300, 100);
    let again = agent.on_order(provision(1, 2, 600), false, &at(101));
    assert_eq!(words(&again), ["write seq 2", "tell 2 provisioned"]);
}

#[test]
fn half_of_the_round_trip_is_taken_off_and_a_slow_answer_proves_little() {
    let mut agent = agent();
    // The broker's clock is right; its answer took 40 seconds, one way or the other.
    assert_eq!(beat(&mut agent, 100, 100, 140), [""; 0]);
    assert_eq!(agent.clock_offset(), Some(SignedDuration::from_secs(20)));
    assert_eq!(beat(&mut agent, 200, 201, 202), [""; 0]);
    assert_eq!(agent.clock_offset(), Some(SignedDuration::ZERO));
}

#[test]
fn a_welcome_tells_the_time_too() {
    let mut agent = agent();
    agent.on_asking(true, &at(0));
    let steps = agent.on_welcome(welcome(vec![], at(100).wall), false, &at(0));
    assert_eq!(words(&steps), ["alarm clock-skew"]);
}

#[test]
fn answers_belong_to_questions_in_their_order() {
    let mut agent = agent();
    agent.on_asking(false, &at(10));
    agent.on_asking(false, &at(20));
    agent.on_broker_time(at(12).wall, &at(21));
    agent.on_broker_time(at(20).wall, &at(21));
    assert_eq!(agent.clock_offset(), Some(SignedDuration::from_millis(500)));
    // A new stream has no answers to what was asked before.
    agent.on_asking(true, &at(30));
    agent.on_broker_time(at(30).wall, &at(30));
    assert_eq!(agent.clock_offset(), Some(SignedDuration::ZERO));
}

#[test]
fn a_jump_alarms_and_keeps_new_grants_out_before_the_broker_has_said_a_word() {
    let mut agent = agent();
    beat(&mut agent, 10, 10, 10);
    agent.on_tick(&at(10));
    let jumped = reading(-3_600_000, "a", 21_000);
    let steps = words(&agent.on_tick(&jumped));
    assert_eq!(steps[..3], ["alarm clock-jumped", "alarm clock-skew", "write clock"]);
    assert_eq!(agent.clock_state(), ClockState::Refuses);
    let text = Alarm::ClockJumped { by: SignedDuration::from_secs(-3601) }.to_string();
    assert!(text.contains("backward by 3601.0 s"), "{text}");
}

#[test]
fn what_the_clock_is_goes_on_record_for_people_to_see() {
    let mut agent = agent();
    agent.on_heard(&at(1));
    let offset = |steps: &[Step]| {
        steps.iter().find_map(|step| match step {
            Step::Append(Record::Contact { offset_ms, .. }) => Some(*offset_ms),
            _ => None,
        })
    };
    assert_eq!(offset(&agent.on_tick(&at(1))), Some(None), "the first word");
    beat(&mut agent, 10, 10, 10);
    agent.on_heard(&at(10));
    assert_eq!(offset(&agent.on_tick(&at(10))), None, "nothing new");
    beat(&mut agent, 20, 0, 20);
    agent.on_heard(&at(20));
    assert_eq!(offset(&agent.on_tick(&at(20))), Some(Some(20_000)));
    agent.on_heard(&at(81));
    assert_eq!(offset(&agent.on_tick(&at(81))), Some(Some(20_000)), "and once a minute");
}
