//! Substitutes: an approver who is away names somebody who speaks in their place for a time.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    audit::{Action, Actor, AuditEvent},
    ids::DelegationId,
    names::PrincipalId,
    principal::Directory,
    refusal::Refusal,
};

/// The longest delegation, in days. A longer one would be a change of the flow without its review.
pub const LONGEST_DAYS: i64 = 92;

/// One person's word that another speaks in their place. It is not passed on: a substitute's
/// substitute speaks for the substitute alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// Its name.
    pub id: DelegationId,
    /// Who is away.
    pub from: PrincipalId,
    /// Who speaks in their place.
    pub to: PrincipalId,
    /// From when.
    pub since: Timestamp,
    /// Until before when.
    pub until: Timestamp,
    /// When it was ended before its time, or taken back before it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

impl Delegation {
    /// Whether it holds at `at`.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.since <= at && at < self.end()
    }

    /// When it ends or ended.
    pub fn end(&self) -> Timestamp {
        self.ended_at.map_or(self.until, |ended| ended.min(self.until))
    }

    /// Looks at a new delegation by the rules.
    ///
    /// # Errors
    /// To oneself, to nobody, over already or too long, or part of a loop with `others`.
    pub fn check(
        &self,
        others: &[Self],
        directory: &Directory,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let refuse = |why: DelegationMistake| Err(Refusal::DelegationRefused { why });
        if self.from == self.to {
            return refuse(DelegationMistake::ToOneself);
        }
        if directory.active(&self.to).is_none() {
            return refuse(DelegationMistake::Unknown(self.to.clone()));
        }
        if self.until <= now || self.until <= self.since {
            return refuse(DelegationMistake::Over);
        }
        let longest = SignedDuration::from_hours(LONGEST_DAYS * 24);
        if self.until.duration_since(self.since.max(now)) > longest {
            return refuse(DelegationMistake::TooLong);
        }
        if let Some(path) = self.loop_with(others) {
            return refuse(DelegationMistake::Loop(path));
        }
        Ok(())
    }

    /// The people of a loop that this delegation would close at some moment.
    fn loop_with(&self, others: &[Self]) -> Option<Vec<PrincipalId>> {
        let mut path = vec![self.from.clone(), self.to.clone()];
        close(&self.from, others, self.since, self.end(), &mut path).then_some(path)
    }
}

/// Whether a chain of delegations that all hold at one moment between `since` and `end` leads from
/// the path's last person to `home`.
fn close(
    home: &PrincipalId,
    others: &[Delegation],
    since: Timestamp,
    end: Timestamp,
    path: &mut Vec<PrincipalId>,
) -> bool {
    let last = path[path.len() - 1].clone();
    for next in others.iter().filter(|next| next.from == last) {
        let (since, end) = (since.max(next.since), end.min(next.end()));
        if since >= end || (next.to != *home && path.contains(&next.to)) {
            continue;
        }
        path.push(next.to.clone());
        if next.to == *home || close(home, others, since, end, path) {
            return true;
        }
        path.pop();
    }
    false
}

impl Delegation {
    /// What the audit log says of it.
    pub fn event(&self, action: Action, by: &PrincipalId, at: Timestamp) -> AuditEvent {
        AuditEvent::new(action, Actor::Principal(by.clone()), at)
            .detail("delegation", self.id.to_string())
            .detail("from", self.from.to_string())
            .detail("to", self.to.to_string())
            .detail("since", self.since.to_string())
            .detail("until", self.end().to_string())
    }
}

/// What is wrong with a delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DelegationMistake {
    /// Nobody is their own substitute.
    ToOneself,
    /// There is no such person, or they are disabled.
    Unknown(PrincipalId),
    /// It would end before it begins, or has ended already.
    Over,
    /// Longer than [`LONGEST_DAYS`].
    TooLong,
    /// It closes a loop.
    Loop(Vec<PrincipalId>),
}

impl fmt::Display for DelegationMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToOneself => f.write_str("nobody is their own substitute"),
            Self::Unknown(person) => write!(f, "there is no active user {person}"),
            Self::Over => f.write_str("it must end in the future, and after it begins"),
            Self::TooLong => write!(f, "at most {LONGEST_DAYS} days: change the flow instead"),
            Self::Loop(path) => {
                let path: Vec<_> = path.iter().map(ToString::to_string).collect();
                write!(f, "it closes a loop: {}", path.join(" -> "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::principal::tests::person;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3_600).unwrap()
    }

    fn delegation(from: &str, to: &str, since: i64, until: i64) -> Delegation {
        Delegation {
            id: DelegationId::new(at(0), [1; 10]),
            from: format!("{from}@example.com").parse().unwrap(),
            to: format!("{to}@example.com").parse().unwrap(),
            since: at(since),
            until: at(until),
            ended_at: None,
        }
    }

    fn check(new: &Delegation, others: &[Delegation]) -> Option<String> {
        let mut gone = person("gone", &[]);
        gone.disabled = true;
        let directory =
            Directory::new([person("a", &[]), person("b", &[]), person("c", &[]), gone]);
        new.check(others, &directory, at(0)).err().map(|refusal| refusal.to_string())
    }

    #[rstest]
    #[case::plain(delegation("a", "b", 0, 24), None)]
    #[case::later(delegation("a", "b", 48, 72), None)]
    #[case::oneself(delegation("a", "a", 0, 24), Some("own substitute"))]
    #[case::unknown(delegation("a", "nobody", 0, 24), Some("no active user nobody"))]
    #[case::disabled(delegation("a", "gone", 0, 24), Some("no active user gone"))]
    #[case::over(delegation("a", "b", -24, 0), Some("in the future"))]
    #[case::backwards(delegation("a", "b", 24, 12), Some("after it begins"))]
    #[case::a_quarter(delegation("a", "b", 0, 92 * 24), None)]
    #[case::too_long(delegation("a", "b", 0, 92 * 24 + 1), Some("at most 92 days"))]
    fn one_alone(#[case] new: Delegation, #[case] mistake: Option<&str>) {
        let found = check(&new, &[]);
        match mistake {
            None => assert_eq!(found, None),
            Some(part) => assert!(found.as_ref().is_some_and(|f| f.contains(part)), "{found:?}"),
        }
    }

    #[rstest]
    #[case::there_and_back(&[delegation("b", "a", 0, 24)], true)]
    #[case::one_after_the_other(&[delegation("b", "a", 24, 48)], false)]
    #[case::in_a_ring(&[delegation("b", "c", 0, 24), delegation("c", "a", 12, 48)], true)]
    #[case::a_ring_that_never_is_whole(&[delegation("b", "c", 0, 6), delegation("c", "a", 6, 24)], false)]
    #[case::a_chain(&[delegation("b", "c", 0, 24)], false)]
    #[case::two_substitutes(&[delegation("a", "c", 0, 24)], false)]
    #[case::a_loop_of_others(&[delegation("b", "c", 0, 24), delegation("c", "b", 0, 24)], false)]
    fn loops(#[case] others: &[Delegation], #[case] closes: bool) {
        let found = check(&delegation("a", "b", 0, 24), others);
        assert_eq!(found.is_some_and(|f| f.contains("loop")), closes);
    }

    #[test]
    fn one_that_was_ended_closes_no_loop() {
        let mut back = delegation("b", "a", 0, 24);
        back.ended_at = Some(at(0));
        assert_eq!(check(&delegation("a", "b", 0, 24), &[back.clone()]), None);
        assert!(!back.holds(at(0)));
    }
}
