//! Where a grant's orders go: the choice of a place becomes part of the transition that sends the
//! order, so that it is on record before the order leaves (I1).

use jiff::Timestamp;

use super::{Grant, GrantState};
use crate::{
    audit::{Action, Actor},
    names::AgentName,
    order::OrderAction,
    placing::{Purpose, Runner},
    transition::{Effect, Transition},
};

impl Transition<Grant> {
    /// Says which agent the transition's order goes to. One that sends none stays as it is, and so
    /// does the place where there is no choice: the order then waits for its agent.
    pub fn placed(mut self, runner: &Runner, now: Timestamp) -> Self {
        let stands = self.state.state == GrantState::Active;
        let purpose = self.effects.iter().find_map(|effect| match effect {
            Effect::Send(order) if order.action == OrderAction::Provision && stands => {
                Some(Purpose::Keep)
            }
            Effect::Send(order) if order.action == OrderAction::Provision => Some(Purpose::Make),
            Effect::Send(_) => Some(Purpose::End),
            _ => None,
        });
        let grant = &self.state;
        let chosen =
            purpose.and_then(|purpose| runner.choose(grant.id, grant.place.as_ref(), purpose));
        if let Some(agent) = chosen.filter(|agent| grant.place.as_ref() != Some(*agent)).cloned() {
            match grant.in_flight_until.filter(|until| *until > now) {
                Some(until) if purpose == Some(Purpose::End) => self.wait(until),
                _ => self.move_to(agent, now),
            }
        }
        self
    }

    /// Sends nothing yet. What its place was ordered to give it may still give, after another agent
    /// has looked and found nothing: that would be no proof (I6).
    fn wait(&mut self, until: Timestamp) {
        self.effects.retain(|effect| !matches!(effect, Effect::Send(_)));
        if let GrantState::Revoking { attempts, .. } = &mut self.state.state {
            attempts.next_at = until;
        }
    }

    fn move_to(&mut self, agent: AgentName, now: Timestamp) {
        if let Some(former) = self.state.place.replace(agent.clone()) {
            let moved = self
                .state
                .event(Action::GrantMoved, Actor::Broker, now)
                .detail("from", former.to_string())
                .detail("to", agent.to_string())
                .detail("seq", self.state.seq);
            self.events.push(moved);
        }
    }
}

impl Grant {
    /// Gives a live grant whose place is away, or was never told, to another agent of its
    /// integration, which gets the standing order under a new number. None where there is no other,
    /// nothing was ever sent, or it is over or about to be.
    pub fn hand_over(&self, runner: &Runner, now: Timestamp) -> Option<Transition<Self>> {
        let Runner::Agents(agents) = runner else { return None };
        if agents.iter().any(|agent| self.place.as_ref() == Some(&agent.name)) {
            return None;
        }
        let state = match &self.state {
            GrantState::Provisioning(_) | GrantState::Active if self.is_past_deadline(now) => {
                return None;
            }
            GrantState::Provisioning(attempts) => GrantState::Provisioning(attempts.again(now)),
            GrantState::Active => GrantState::Active,
            GrantState::Revoking { reason, attempts } => {
                GrantState::Revoking { reason: reason.clone(), attempts: attempts.again(now) }
            }
            GrantState::Planned | GrantState::Revoked { .. } | GrantState::Failed { .. } => {
                return None;
            }
        };
        let moved = self.order_again(state).placed(runner, now);
        (moved.state.place != self.place).then_some(moved)
    }

    /// Notes which agent holds a grant that was made before agents' names were kept with grants.
    pub fn claimed(&self, agent: &AgentName, now: Timestamp) -> Option<Transition<Self>> {
        if self.place.is_some() || self.is_over() || self.state == GrantState::Planned {
            return None;
        }
        let state = Self { place: Some(agent.clone()), ..self.clone() };
        let event = self
            .event(Action::GrantMoved, Actor::Broker, now)
            .detail("to", agent.to_string())
            .detail("seq", self.seq);
        Some(Transition::to(state).record(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock_offset::ClockState,
        grant::{
            RevokeReason,
            tests::{active, agent, at, planned},
        },
        order::{EndCause, Finding, Provisioned},
        placing::Candidate,
    };

    fn there(names: &[&str]) -> Runner {
        Runner::Agents(
            names
                .iter()
                .map(|name| Candidate {
                    name: name.parse().unwrap(),
                    draining: false,
                    clock: ClockState::Ok,
                })
                .collect(),
        )
    }

    fn name(name: &str) -> Option<AgentName> {
        Some(name.parse().unwrap())
    }

    fn at_one() -> Grant {
        Grant { place: name("db-1"), ..active() }
    }

    #[test]
    fn the_first_order_is_placed_without_a_move() {
        let first = planned().advance(at(0)).unwrap().placed(&there(&["db-1"]), at(0));
        assert_eq!(first.state.place, name("db-1"));
        assert!(first.events.iter().all(|event| event.action != Action::GrantMoved));
    }

    #[test]
    fn a_due_end_goes_to_another_agent_where_the_first_is_away() {
        let ending = at_one().advance(at(60)).unwrap();
        let stays = ending.clone().placed(&there(&["db-1", "db-2"]), at(60));
        assert_eq!(stays.state.place, name("db-1"));
        let moves = ending.clone().placed(&there(&["db-2"]), at(60));
        assert_eq!(moves.state.place, name("db-2"));
        let told = moves.events.last().unwrap();
        assert_eq!(told.action, Action::GrantMoved);
        assert_eq!((&told.details["from"], &told.details["to"]), (&"db-1".into(), &"db-2".into()));
        let waits = ending.placed(&there(&[]), at(60));
        assert_eq!(waits.state.place, name("db-1"), "nobody else is there");
    }

    #[test]
    fn an_unanswered_provision_moves_with_its_next_try() {
        let sent = planned().advance(at(0)).unwrap().placed(&there(&["db-1"]), at(0)).state;
        assert!(sent.advance(at(29)).is_none(), "it may still be under way");
        let again = sent.advance(at(30)).unwrap().placed(&there(&["db-2"]), at(30)).state;
        assert_eq!((again.place.clone(), again.seq), (name("db-2"), 2));
        // What the former place says of it is out of date; that it is gone stays true.
        assert_eq!(
            again.provisioned(1, &Provisioned::default(), agent(), at(31)).unwrap_err().code(),
            "stale_order"
        );
        assert!(again.provisioned(2, &Provisioned::default(), agent(), at(31)).is_ok());
    }

    #[test]
    fn an_end_waits_for_an_order_to_give_it_that_is_under_way_to_another_agent() {
        let sent = planned().advance(at(0)).unwrap().placed(&there(&["db-1"]), at(0)).state;
        let ends = |grant: &Grant, now, runner: &Runner| {
            let ending = grant.revoke(RevokeReason::Released, &agent(), at(now)).unwrap();
            ending.placed(runner, at(now))
        };
        let here = ends(&sent, 5, &there(&["db-1", "db-2"]));
        assert_eq!((here.effects.len(), here.state.place), (1, name("db-1")));

        // Its agent is away, and may have read the order without having carried it out.
        let waits = ends(&sent, 5, &there(&["db-2"]));
        assert!(waits.effects.is_empty());
        assert_eq!((&waits.state.place, waits.state.due_at()), (&name("db-1"), Some(at(30))));
        assert!(waits.state.hand_over(&there(&["db-2"]), at(29)).is_none());
        let back = waits.state.hand_over(&there(&["db-1"]), at(29));
        assert!(back.is_none(), "it has its order by its welcome");
        assert!(waits.state.advance(at(29)).is_none());
        let moves = waits.state.advance(at(30)).unwrap().placed(&there(&["db-2"]), at(30));
        assert_eq!((moves.effects.len(), moves.state.place), (1, name("db-2")));

        // What was answered is under way no more.
        let active = sent.provisioned(1, &Provisioned::default(), agent(), at(2)).unwrap().state;
        let moves = ends(&active, 5, &there(&["db-2"]));
        assert_eq!((moves.effects.len(), moves.state.place), (1, name("db-2")));
        let more = active.extend("2m".parse().unwrap(), agent(), at(5)).unwrap().state;
        let waits = ends(&more, 6, &there(&["db-2"]));
        assert_eq!((waits.effects.len(), waits.state.due_at()), (0, Some(at(35))));
    }

    #[test]
    fn a_live_grant_is_handed_over_under_a_new_number() {
        let grant = at_one();
        assert!(grant.hand_over(&there(&["db-1", "db-2"]), at(5)).is_none(), "it is there");
        assert!(grant.hand_over(&there(&[]), at(5)).is_none(), "nobody else is");
        assert!(grant.hand_over(&Runner::Broker, at(5)).is_none());
        let moved = grant.hand_over(&there(&["db-2"]), at(5)).unwrap();
        assert_eq!((moved.state.state_name(), moved.state.seq), ("active", grant.seq + 1));
        assert_eq!(moved.effects.len(), 1, "its new place gets the standing order");
        assert!(grant.hand_over(&there(&["db-2"]), at(60)).is_none(), "it is about to end");
        let revoking = grant.revoke(RevokeReason::Released, &agent(), at(5)).unwrap().state;
        let moved = revoking.hand_over(&there(&["db-2"]), at(600)).unwrap();
        assert_eq!(moved.state.place, name("db-2"));
    }

    #[test]
    fn what_a_former_place_says_of_the_end_is_no_proof() {
        let finding = Finding {
            checked_at: at(6),
            closed_at: at(6),
            sessions_ended: 0,
            summary: "gone".to_owned(),
        };
        let says = |grant: &Grant, who: &str| {
            let actor = Actor::Agent(who.parse().unwrap());
            grant.torn_down(grant.seq, finding.clone(), EndCause::Deadline, actor, at(7))
        };
        // The successor may have made it after that look.
        let moved = at_one().hand_over(&there(&["db-2"]), at(5)).unwrap().state;
        let ending = says(&moved, "db-1").unwrap();
        assert_eq!(ending.state.state_name(), "revoking");
        assert_eq!(ending.effects.len(), 1, "its present place gets the order");
        assert_eq!(says(&ending.state, "db-1").unwrap_err().code(), "stale_order");
        assert!(says(&ending.state, "db-2").unwrap().state.is_over());
    }

    #[test]
    fn a_grant_without_a_place_is_claimed_once() {
        let claimed = active().claimed(&"db-1".parse().unwrap(), at(5)).unwrap();
        assert_eq!(claimed.state.place, name("db-1"));
        assert_eq!(claimed.events.len(), 1);
        assert!(claimed.state.claimed(&"db-2".parse().unwrap(), at(5)).is_none());
        assert!(planned().claimed(&"db-1".parse().unwrap(), at(5)).is_none());
    }
}
