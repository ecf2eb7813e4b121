//! More time for a grant that lives: its deadline moves later by a new order. Until the place that
//! has the grant says that it knows, the old deadline may still be the one that ends it there, and
//! the order is sent again and again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Attempts, Grant, GrantState, warning};
use crate::{
    audit::{Action, Actor},
    duration::AccessDuration,
    refusal::Refusal,
    transition::{Effect, Transition},
};

/// More time that its place has not confirmed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extending {
    /// The deadline that the place knows for certain.
    pub from: Timestamp,
    /// How often the order was tried.
    pub attempts: Attempts,
}

impl Grant {
    /// Lets it last longer. Nothing for one that is ending or over, or whose time is up: what has
    /// ended never comes back (I5).
    pub fn extend(
        &self,
        by: AccessDuration,
        actor: Actor,
        now: Timestamp,
    ) -> Option<Transition<Self>> {
        let live = matches!(
            self.state,
            GrantState::Planned | GrantState::Provisioning(_) | GrantState::Active
        );
        if !live || self.is_past_deadline(now) {
            return None;
        }
        // No rule lets a grant last longer than the longest that can be written.
        let duration = self.duration.longer_by(by)?;
        let deadline = self.deadline.map(|from| by.after(from));
        let mut next = Self { duration, deadline, ..self.clone() };
        next.warn_at = deadline.and_then(|end| warning::at(end, duration, self.warn, now));
        let event = self
            .event(Action::GrantExtending, actor, now)
            .detail("by", by.to_string())
            .detail("lasts_seconds", duration.seconds())
            .detail("from", self.deadline.map(|from| from.to_string()))
            .detail("deadline", deadline.map(|end| end.to_string()));
        let Some(from) = self.deadline else {
            // Nothing was sent yet: the first order carries it.
            return Some(Transition::to(next).record(event));
        };
        let state = match &self.state {
            GrantState::Provisioning(attempts) => GrantState::Provisioning(attempts.again(now)),
            state => {
                let from = self.extending.as_ref().map_or(from, |earlier| earlier.from);
                next.extending = Some(Extending { from, attempts: Attempts::first(now) });
                state.clone()
            }
        };
        let seq = self.seq + 1;
        Some(next.order_again(state).record(event.detail("seq", seq)))
    }

    /// The order that lets it last longer, once more.
    pub(super) fn extend_again(&self, extending: &Extending, now: Timestamp) -> Transition<Self> {
        let attempts = extending.attempts.again(now);
        let extending = Some(Extending { attempts, ..extending.clone() });
        Self { extending, ..self.clone() }.order_again(self.state.clone())
    }

    /// Its place knows of the later deadline.
    pub(super) fn extended(&self, seq: u64, actor: Actor, now: Timestamp) -> Transition<Self> {
        let until = self.deadline.map(|end| end.to_string());
        let event = self
            .event(Action::GrantExtended, actor, now)
            .detail("deadline", until.clone())
            .detail("seq", seq);
        let text = format!(
            "{} on {} lasts until {}",
            self.permission,
            self.resource,
            until.unwrap_or_default()
        );
        let notice = self.notice("grant.extended", text);
        let next = Self { extending: None, ..self.clone() };
        Transition::to(next).with(Effect::Notify(notice)).record(event)
    }

    /// Its place could not be told, or could not do it. It is tried again; with the first failure
    /// its principal hears that the old deadline may still hold.
    pub(super) fn extend_failed(
        &self,
        extending: &Extending,
        error: &str,
        actor: Actor,
        now: Timestamp,
    ) -> Transition<Self> {
        let attempts = extending.attempts.fail(self.id, error, now);
        let event = self
            .event(Action::GrantExtendFailed, actor, now)
            .detail("error", error)
            .detail("attempt", attempts.failed)
            .detail("next_at", attempts.next_at.to_string());
        let first = attempts.failed == 1;
        let extending = Some(Extending { attempts, ..extending.clone() });
        let next = Transition::to(Self { extending, ..self.clone() }).record(event);
        let Some(Extending { from, .. }) = self.extending.as_ref().filter(|_| first) else {
            return next;
        };
        let text = format!(
            "more time for {} on {} has not reached its target yet, where it may still end at \
             {from}: {error}",
            self.permission, self.resource
        );
        next.with(Effect::Notify(self.notice("grant.extend_failed", text)))
    }

    /// What an answer to the order for more time is about; none where it is about something else.
    pub(super) fn extension_answered(&self, seq: u64) -> Result<Option<&Extending>, Refusal> {
        match (&self.state, &self.extending) {
            (GrantState::Active, Some(extending)) => {
                self.check_seq(seq)?;
                Ok(Some(extending))
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        grant::tests::{active, agent, at, order, planned},
        order::{EndCause, Finding, OrderAction, Provisioned},
        placing::{Candidate, Runner},
    };

    fn minutes(n: u32) -> AccessDuration {
        AccessDuration::from_seconds(n * 60).unwrap()
    }

    fn somebody() -> Actor {
        Actor::Principal("ben@example.com".parse().unwrap())
    }

    fn extended() -> Transition<Grant> {
        active().extend(minutes(2), somebody(), at(30)).unwrap()
    }

    #[test]
    fn a_live_grant_gets_a_later_deadline_by_a_new_order() {
        let more = extended();
        assert_eq!((order(&more).action, order(&more).seq), (OrderAction::Provision, 2));
        assert_eq!(order(&more).spec.deadline, at(180));
        assert_eq!((more.state.deadline, more.state.duration), (Some(at(180)), minutes(3)));
        let told = more.state.provisioned(2, &Provisioned::default(), agent(), at(31)).unwrap();
        assert_eq!(told.events[0].action, Action::GrantExtended);
        assert_eq!(told.state.active_since, Some(at(1)), "it has been active all the time");
        assert!(told.state.extending.is_none());
        assert!(told.state.advance(at(60)).is_none(), "the old deadline means nothing any more");
        assert_eq!(order(&told.state.advance(at(180)).unwrap()).action, OrderAction::Revoke);
    }

    #[test]
    fn unanswered_it_is_ordered_again_until_the_end() {
        let mut grant = extended().state;
        for seconds in [60, 90, 120, 150] {
            assert!(grant.advance(at(seconds - 1)).is_none());
            let again = grant.advance(at(seconds)).unwrap();
            assert_eq!(order(&again).action, OrderAction::Provision);
            assert_eq!(order(&again).spec.deadline, at(180));
            grant = again.state;
        }
        assert_eq!(order(&grant.advance(at(180)).unwrap()).action, OrderAction::Revoke);
        let late = grant.provisioned(2, &Provisioned::default(), agent(), at(151)).unwrap_err();
        assert_eq!(late.code(), "stale_order", "an answer to an order that is not the newest");
    }

    #[test]
    fn a_failure_is_told_once_and_tried_again() {
        let mut grant = extended().state;
        let mut told = 0;
        for _ in 0..4 {
            let failed = grant.provision_failed(grant.seq, "away", true, Actor::Broker, at(31));
            let failed = failed.unwrap();
            assert_eq!(failed.events[0].action, Action::GrantExtendFailed);
            assert_eq!(failed.state.state_name(), "active", "what it has it keeps");
            told += failed.effects.len();
            let next = failed.state.due_at().unwrap();
            grant = failed.state.advance(next).unwrap().state;
        }
        assert_eq!(told, 1);
    }

    #[test]
    fn a_place_that_never_heard_of_it_ends_at_the_old_deadline() {
        let finding = Finding {
            checked_at: at(60),
            closed_at: at(60),
            sessions_ended: 0,
            summary: "gone".to_owned(),
        };
        let ended = extended().state.torn_down(1, finding, EndCause::Deadline, agent(), at(200));
        let ended = ended.unwrap();
        assert!(ended.state.is_over());
        let details = &ended.events[0].details;
        assert_eq!(
            (&details["reason"], &details["not_extended"]),
            (&"expired".into(), &true.into())
        );
        assert!(!details.contains_key("late_ms"), "it was not late");
    }

    #[test]
    fn what_is_ending_or_over_gets_no_more_time() {
        use crate::grant::RevokeReason;
        let released = active().revoke(RevokeReason::Released, &agent(), at(2)).unwrap().state;
        assert!(released.extend(minutes(1), somebody(), at(3)).is_none());
        let due = active();
        assert!(due.extend(minutes(1), somebody(), at(60)).is_none(), "its time is up");
        assert!(due.extend(minutes(1), somebody(), at(59)).is_some());
    }

    #[test]
    fn one_that_has_not_begun_lasts_longer_from_its_first_order_on() {
        let more = planned().extend(minutes(1), somebody(), at(0)).unwrap();
        assert!(more.effects.is_empty());
        assert_eq!(order(&more.state.advance(at(5)).unwrap()).spec.deadline, at(125));
        let begun = planned().advance(at(0)).unwrap().state;
        let more = begun.extend(minutes(1), somebody(), at(1)).unwrap();
        assert_eq!((order(&more).seq, order(&more).spec.deadline), (2, at(120)));
        let stale = more.state.provisioned(1, &Provisioned::default(), agent(), at(2)).unwrap_err();
        assert_eq!(stale.code(), "stale_order", "that place has the old deadline");
        assert_eq!(
            more.state
                .provisioned(2, &Provisioned::default(), agent(), at(2))
                .unwrap()
                .state
                .state_name(),
            "active"
        );
    }

    #[test]
    fn it_stays_where_it_is_while_its_agent_is_there() {
        let candidate = |name: &str, draining| Candidate {
            name: name.parse().unwrap(),
            draining,
            clock: crate::clock_offset::ClockState::Ok,
        };
        let grant = Grant { place: Some("db-1".parse().unwrap()), ..active() };
        let more = grant.extend(minutes(1), somebody(), at(5)).unwrap();
        let both = Runner::Agents(vec![candidate("db-1", true), candidate("db-2", false)]);
        let stays = more.clone().placed(&both, at(5)).state;
        assert_eq!(stays.place, grant.place, "an agent that drains keeps what it has");
        let other = Runner::Agents(vec![candidate("db-2", false)]);
        let moves = more.placed(&other, at(5)).state;
        assert_eq!(moves.place, Some("db-2".parse().unwrap()));
    }
}
