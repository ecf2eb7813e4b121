//! Which agent carries out an order where several serve an integration. Exactly one does: the choice
//! is written into the grant together with the order, and changes only when the chosen one is away.

use aws_lc_rs::digest;

use crate::{clock_offset::ClockState, ids::GrantId, names::AgentName};

/// An agent that is connected and serves the integration, as the choice sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: AgentName,
    /// Whether it was told to take no new grants.
    pub draining: bool,
    /// How its clock stands.
    pub clock: ClockState,
}

impl Candidate {
    /// Whether it takes new grants.
    pub fn takes_new_grants(&self) -> bool {
        !self.draining && self.clock != ClockState::Refused
    }
}

/// Who could carry out an order for an integration now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runner {
    /// The broker itself.
    Broker,
    /// One of these agents; none where all are away.
    Agents(Vec<Candidate>),
    /// Nobody: the settings do not have the integration any more.
    Nobody,
}

/// What an agent is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To make a grant that nobody holds yet.
    Make,
    /// To keep a grant that is there, on other terms.
    Keep,
    /// To end a grant.
    End,
}

impl Runner {
    /// Whether a new grant could be made now.
    pub fn takes_new_grants(&self) -> bool {
        match self {
            Self::Broker => true,
            Self::Agents(agents) => agents.iter().any(Candidate::takes_new_grants),
            Self::Nobody => false,
        }
    }

    /// The agent for a grant that is at `place` now, or nowhere yet. None where there is no choice:
    /// the broker runs it, or nobody who may take it is there.
    ///
    /// Who has it keeps it: to end or keep a grant whenever they are there, to make one while they take new
    /// ones. Otherwise the grant's id decides among the others, so that all replicas and a second
    /// look choose alike, and grants spread evenly (rendezvous hashing).
    pub fn choose(
        &self,
        grant: GrantId,
        place: Option<&AgentName>,
        purpose: Purpose,
    ) -> Option<&AgentName> {
        let Self::Agents(agents) = self else { return None };
        let there = place.and_then(|place| agents.iter().find(|agent| agent.name == *place));
        let willing: Vec<_> = agents.iter().filter(|agent| agent.takes_new_grants()).collect();
        let chosen = match (purpose, there) {
            (Purpose::End | Purpose::Keep, Some(there)) => Some(there),
            // A clock that is off does not keep an agent from ending what must end now.
            (Purpose::End, None) if willing.is_empty() => heaviest(grant, agents),
            (Purpose::Make, Some(there)) if there.takes_new_grants() => Some(there),
            _ => heaviest(grant, willing),
        };
        chosen.map(|agent| &agent.name)
    }
}

fn heaviest<'a>(
    grant: GrantId,
    agents: impl IntoIterator<Item = &'a Candidate>,
) -> Option<&'a Candidate> {
    agents.into_iter().max_by_key(|agent| weight(grant, &agent.name))
}

fn weight(grant: GrantId, agent: &AgentName) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(grant.to_string().as_bytes());
    context.update(&[0]);
    context.update(agent.as_str().as_bytes());
    let mut weight = [0; 32];
    weight.copy_from_slice(context.finish().as_ref());
    weight
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn grant(n: u8) -> GrantId {
        GrantId::new(Timestamp::UNIX_EPOCH, [n; 10])
    }

    fn name(n: u8) -> AgentName {
        format!("agent-{n}").parse().unwrap()
    }

    fn candidate(n: u8) -> Candidate {
        Candidate { name: name(n), draining: false, clock: ClockState::Ok }
    }

    fn agents(numbers: &[u8]) -> Runner {
        Runner::Agents(numbers.iter().map(|n| candidate(*n)).collect())
    }

    #[test]
    fn who_has_it_keeps_it_while_they_are_there() {
        let three = agents(&[1, 2, 3]);
        for place in [1, 2, 3].map(name) {
            for purpose in [Purpose::Make, Purpose::End] {
                assert_eq!(three.choose(grant(1), Some(&place), purpose), Some(&place));
            }
        }
        let gone = name(4);
        assert!(three.choose(grant(1), Some(&gone), Purpose::End).is_some());
        assert_eq!(agents(&[]).choose(grant(1), Some(&gone), Purpose::End), None);
    }

    #[test]
    fn new_grants_go_to_none_that_drains_or_whose_clock_is_far_off() {
        let draining = Candidate { draining: true, ..candidate(1) };
        let wrong = Candidate { clock: ClockState::Refused, ..candidate(2) };
        let late = Candidate { clock: ClockState::Alarm, ..candidate(3) };
        let mixed = Runner::Agents(vec![draining.clone(), wrong.clone(), late]);
        for n in 0..32 {
            assert_eq!(mixed.choose(grant(n), None, Purpose::Make), Some(&name(3)));
            // One that was given to it before, and perhaps never arrived there.
            assert_eq!(mixed.choose(grant(n), Some(&name(1)), Purpose::Make), Some(&name(3)));
        }
        let unwilling = Runner::Agents(vec![draining, wrong]);
        assert!(!unwilling.takes_new_grants());
        assert_eq!(unwilling.choose(grant(1), None, Purpose::Make), None);
        assert_eq!(unwilling.choose(grant(1), Some(&name(2)), Purpose::End), Some(&name(2)));
        assert!(unwilling.choose(grant(1), Some(&name(9)), Purpose::End).is_some());
    }

    #[test]
    fn the_broker_and_nobody_leave_no_choice() {
        assert!(Runner::Broker.takes_new_grants() && !Runner::Nobody.takes_new_grants());
        for runner in [Runner::Broker, Runner::Nobody] {
            assert_eq!(runner.choose(grant(1), None, Purpose::Make), None);
        }
    }

    #[test]
    fn grants_spread_over_the_agents() {
        let three = agents(&[1, 2, 3]);
        for n in 1..=3 {
            let share =
                (0..90).filter(|g| three.choose(grant(*g), None, Purpose::Make) == Some(&name(n)));
            assert!((15..=45).contains(&share.count()), "agent {n}");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_candidates_means_nothing_and_a_departure_moves_only_its_own(
            n: u8,
            gone in 0..4_usize,
        ) {
            let all = agents(&[1, 2, 3, 4]);
            let chosen = all.choose(grant(n), None, Purpose::Make).cloned();
            let turned = agents(&[4, 3, 2, 1]);
            prop_assert_eq!(turned.choose(grant(n), None, Purpose::Make), chosen.as_ref());
            let mut fewer = vec![1, 2, 3, 4];
            let left = name(fewer.remove(gone));
            let fewer = agents(&fewer);
            let again = fewer.choose(grant(n), None, Purpose::Make).cloned();
            prop_assert!(chosen == Some(left) || again == chosen);
        }
    }
}
