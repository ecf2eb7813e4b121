//! A grant's life in examples, and its invariants under random events.

use proptest::prelude::*;
use rstest::rstest;

use super::{state::plus, *};
use crate::{
    audit::{Action, Actor},
    order::{EndCause, Finding, Provisioned},
    placing::{Candidate, Runner},
    transition::{Effect, Transition},
};

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(super) fn agent() -> Actor {
    Actor::Agent("db-eu".parse().unwrap())
}

pub(super) fn planned() -> Grant {
    let resource = Resource {
        id: "orders/postgres/shop".parse().unwrap(),
        integration: "orders".parse().unwrap(),
        kind: ResourceKind::Postgres,
        native: "shop".to_owned(),
        tags: std::collections::BTreeMap::new(),
    };
    let plan = Plan {
        id: GrantId::new(at(0), [1; 10]),
        request: RequestId::new(at(0), [2; 10]),
        principal: &"ana@example.com".parse().unwrap(),
        resource: &resource,
        permission: &"select".parse().unwrap(),
        rights: &[],
        flow: &"data-shop".parse().unwrap(),
        ticket: Some("OPS-1"),
        duration: "60s".parse().unwrap(),
        warn: None,
        recorded: false,
    };
    Grant::plan(plan, at(0))
}

fn provisioning() -> Grant {
    planned().advance(at(0)).unwrap().state
}

pub(super) fn active() -> Grant {
    provisioning().provisioned(1, &Provisioned::default(), agent(), at(1)).unwrap().state
}

fn finding(seconds: i64) -> Finding {
    Finding {
        checked_at: at(seconds),
        closed_at: at(seconds),
        sessions_ended: 1,
        summary: "the role is gone".to_owned(),
    }
}

/// The one order of a transition.
pub(super) fn order(transition: &Transition<Grant>) -> Order {
    let orders: Vec<_> = transition
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send(order) => Some(order.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(orders.len(), 1, "{orders:?}");
    orders[0].clone()
}

#[test]
fn from_plan_to_proof() {
    let first = planned().advance(at(5)).unwrap();
    assert_eq!(order(&first).action, OrderAction::Provision);
    assert_eq!(order(&first).spec.deadline, at(65));

    let active = first.state.provisioned(1, &Provisioned::default(), agent(), at(6)).unwrap().state;
    assert_eq!(active.deadline, Some(at(65)), "the deadline does not move");
    assert!(active.advance(at(64)).is_none());

    let ending = active.advance(at(65)).unwrap();
    assert_eq!((order(&ending).action, order(&ending).seq), (OrderAction::Revoke, 2));
    let ended = ending.state.torn_down(2, finding(66), EndCause::Ordered, agent(), at(66)).unwrap();
    assert!(ended.state.is_over());
    let proof = &ended.events[0];
    assert_eq!(proof.action, Action::GrantRevoked);
    assert_eq!(proof.details["late_ms"], 1_000);
}

#[test]
fn the_agents_own_timer_may_be_first() {
    let ended = active().torn_down(1, finding(60), EndCause::Deadline, agent(), at(60)).unwrap();
    let ended = ended.state.state;
    assert!(matches!(ended, GrantState::Revoked { reason: RevokeReason::Expired, .. }));
}

#[rstest]
#[case(EndCause::Deadline, "expired")]
#[case(EndCause::NotStanding, "expired")]
#[case(EndCause::CutOff, "cut-off")]
#[case(EndCause::Missing, "missing")]
fn an_end_that_nobody_ordered_tells_its_cause(#[case] cause: EndCause, #[case] reason: &str) {
    let ended = active().torn_down(1, finding(20), cause, agent(), at(20)).unwrap();
    assert_eq!(ended.events[0].details["reason"], reason);
    let late = ended.events[0].details.contains_key("late_ms");
    assert_eq!(late, reason == "expired", "only at a deadline something is late");
}

#[test]
fn an_end_that_was_begun_keeps_its_reason() {
    let revoking = active().revoke(RevokeReason::Released, &agent(), at(2)).unwrap().state;
    let ended = revoking.torn_down(1, finding(3), EndCause::CutOff, agent(), at(3)).unwrap();
    assert_eq!(ended.events[0].details["reason"], "released");
}

#[test]
fn a_stale_answer_changes_nothing() {
    let revoking = active().revoke(RevokeReason::Released, &agent(), at(2)).unwrap().state;
    for refused in [
        revoking.provisioned(1, &Provisioned::default(), agent(), at(3)).unwrap_err(),
        revoking.provisioned(2, &Provisioned::default(), agent(), at(3)).unwrap_err(),
        revoking.teardown_failed(1, "late", agent(), at(3)).unwrap_err(),
    ] {
        assert_eq!(refused.code(), "stale_order");
    }
}

#[test]
fn what_never_was_sent_needs_no_teardown() {
    let ended = planned().revoke(RevokeReason::Released, &agent(), at(1)).unwrap();
    assert!(ended.effects.is_empty());
    assert!(matches!(ended.state.state, GrantState::Revoked { finding: None, .. }));
}

#[test]
fn a_target_that_is_down_is_tried_for_two_minutes_then_cleared() {
    let grant = Grant { duration: "1h".parse().unwrap(), ..planned() };
    let grant = grant.advance(at(0)).unwrap().state;
    let again = grant.provision_failed(1, "down", true, agent(), at(1)).unwrap().state;
    assert_eq!(again.state_name(), "provisioning");
    let order_again = again.advance(at(5)).unwrap();
    assert_eq!(order(&order_again).seq, 2);
    let given_up = order_again.state.provision_failed(2, "down", true, agent(), at(121)).unwrap();
    assert_eq!(order(&given_up).action, OrderAction::Revoke);
    let failed = given_up.state.torn_down(3, finding(122), EndCause::Ordered, agent(), at(122));
    let failed = failed.unwrap().state;
    assert!(matches!(failed.state, GrantState::Failed { .. }));
}

#[test]
fn a_teardown_that_fails_is_stuck_but_never_given_up() {
    let mut grant = active().advance(at(60)).unwrap().state;
    let mut now = at(60);
    let mut told = 0;
    for attempt in 1..=40_u32 {
        let failed = grant.teardown_failed(grant.seq, "down", agent(), now).unwrap();
        told += failed.effects.iter().filter(|e| matches!(e, Effect::Notify(_))).count();
        assert_eq!(failed.state.is_stuck(), attempt >= STUCK_AFTER);
        let next = failed.state.due_at().unwrap();
        assert!(next > now && next <= plus(now, LONGEST_PAUSE * 5 / 4), "attempt {attempt}");
        now = next;
        let again = failed.state.advance(now).unwrap();
        assert_eq!(order(&again).action, OrderAction::Revoke);
        grant = again.state;
    }
    assert_eq!(told, 1, "people are told once that it is stuck");
}

#[test]
fn credentials_only_while_active_and_only_for_their_owner() {
    let ana: PrincipalId = "ana@example.com".parse().unwrap();
    let eve: PrincipalId = "eve@example.com".parse().unwrap();
    let code = |grant: &Grant, who, now| {
        grant.credential_requested(who, None, at(now)).map(|_| ()).map_err(|e| e.code())
    };
    assert_eq!(code(&active(), &ana, 2), Ok(()));
    assert_eq!(code(&active(), &eve, 2), Err("not_the_requester"));
    assert_eq!(code(&provisioning(), &ana, 2), Err("grant_not_active"));
    assert_eq!(code(&active(), &ana, 60), Err("grant_expired"));
    let until = active().credential_requested(&ana, Some(at(900)), at(2)).unwrap().state;
    let later = until.credential_requested(&ana, Some(at(800)), at(3)).unwrap().state;
    assert_eq!(later.credentials_until, Some(at(900)), "the latest end counts");
}

#[derive(Debug, Clone)]
enum Event {
    Pass(u16),
    Advance,
    Provisioned(u8),
    ProvisionFailed(u8, bool),
    Revoke,
    TornDown(u8),
    TeardownFailed(u8),
    Credential,
    Extend(u16),
    /// Which of two agents are connected, and which is shut out.
    Agents(bool, bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..200_u16).prop_map(Event::Pass),
        Just(Event::Advance),
        (0..3_u8).prop_map(Event::Provisioned),
        (0..3_u8, any::<bool>())
            .prop_map(|(back, may_pass)| Event::ProvisionFailed(back, may_pass)),
        Just(Event::Revoke),
        (0..3_u8).prop_map(Event::TornDown),
        (0..3_u8).prop_map(Event::TeardownFailed),
        Just(Event::Credential),
        (1..200_u16).prop_map(Event::Extend),
        any::<(bool, bool)>().prop_map(|(one, two)| Event::Agents(one, two)),
    ]
}

fn apply(
    grant: &Grant,
    event: &Event,
    runner: &Runner,
    now: Timestamp,
) -> Option<Transition<Grant>> {
    // Answers may be to older orders.
    let seq = |back: u8| grant.seq.saturating_sub(u64::from(back));
    match event {
        Event::Pass(_) => None,
        Event::Agents(..) => grant.hand_over(runner, now),
        Event::Advance => grant.advance(now),
        Event::Provisioned(back) => {
            grant.provisioned(seq(*back), &Provisioned::default(), agent(), now).ok()
        }
        Event::ProvisionFailed(back, may_pass) => {
            grant.provision_failed(seq(*back), "x", *may_pass, agent(), now).ok()
        }
        Event::Revoke => grant.revoke(RevokeReason::Released, &agent(), now).ok(),
        Event::TornDown(back) => {
            let finding = Finding { checked_at: now, closed_at: now, ..finding(0) };
            grant.torn_down(seq(*back), finding, EndCause::Deadline, agent(), now).ok()
        }
        Event::TeardownFailed(back) => grant.teardown_failed(seq(*back), "x", agent(), now).ok(),
        Event::Extend(seconds) => {
            let by = crate::duration::AccessDuration::from_seconds(u32::from(*seconds));
            grant.extend(by.unwrap(), Actor::Broker, now)
        }
        Event::Credential => grant.credential_requested(&grant.principal, None, now).ok(),
    }
}

fn agents(one: bool, two: bool) -> Runner {
    let candidate = |(name, there): (&str, bool)| {
        there.then(|| Candidate {
            name: name.parse().unwrap(),
            draining: false,
            clock: crate::clock_offset::ClockState::Ok,
        })
    };
    Runner::Agents([("db-1", one), ("db-2", two)].into_iter().filter_map(candidate).collect())
}

fn is_ending(grant: &Grant) -> bool {
    grant.is_over() || matches!(grant.state, GrantState::Revoking { .. })
}

proptest! {
    #[test]
    fn invariants_hold_under_any_events(events in prop::collection::vec(event(), 1..60)) {
        let (mut grant, mut now) = (planned(), at(0));
        grant.warn = crate::duration::AccessDuration::from_seconds(15);
        let mut runner = agents(true, true);
        for event in &events {
            if let Event::Pass(seconds) = event {
                now = plus(now, SignedDuration::from_secs(i64::from(*seconds)));
            }
            if let Event::Agents(one, two) = event {
                runner = agents(*one, *two);
            }
            let Some(next) = apply(&grant, event, &runner, now) else { continue };
            let next = next.placed(&runner, now);
            let state = &next.state;

            // I5: what ends never comes back, and orders only grow.
            prop_assert!(!is_ending(&grant) || is_ending(state));
            prop_assert!(!grant.is_over(), "nothing happens to what is over");
            prop_assert!(state.seq >= grant.seq);
            // The deadline is set once and never moves, but later by an extension while it lives.
            let extended = matches!(event, Event::Extend(_));
            prop_assert!(
                grant.deadline.is_none()
                    || grant.deadline == state.deadline
                    || (extended && grant.deadline < state.deadline)
            );
            prop_assert!(!extended || grant.deadline.is_none_or(|deadline| deadline > now));
            // I1: an order is only sent with the state that records it.
            for effect in &next.effects {
                if let Effect::Send(order) = effect {
                    prop_assert_eq!(order.seq, state.seq);
                    prop_assert!(state.seq > grant.seq);
                    prop_assert_eq!(Some(order.clone()), state.standing_order());
                    prop_assert!(order.action == OrderAction::Revoke || order.spec.deadline > now);
                }
            }
            // Exactly one place has an order, and it changes only with a new one.
            prop_assert!(state.place == grant.place || state.seq > grant.seq);
            let moved = grant.place.is_some() && state.place != grant.place;
            let told = next.events.iter().any(|event| event.action == Action::GrantMoved);
            prop_assert_eq!(moved, told);
            // I11: a change of state is told to the audit log.
            prop_assert!(state.state_name() == grant.state_name() || !next.events.is_empty());
            // I6: revoked or failed means verified, unless nothing ever was sent.
            if let GrantState::Revoked { finding, .. } = &state.state {
                prop_assert!(finding.is_some() || grant.seq == 0);
            }
            // I12: whatever is not over is due some time: nothing is forgotten.
            prop_assert_eq!(state.is_over(), state.due_at().is_none());
            grant = next.state;
        }
        // I2: at its deadline, whatever happened before, the next look ends it.
        if let Some(deadline) = grant.deadline.filter(|_| !is_ending(&grant)) {
            let ending = grant.advance(deadline.max(now));
            prop_assert!(ending.is_some_and(|ending| is_ending(&ending.state)));
        }
    }
}
