//! The warning before the end: due once for each deadline, and noted in the same transaction as the
//! notice, so that it is sent neither twice nor never.

use jiff::{SignedDuration, Timestamp};

use super::Grant;
use crate::{
    audit::{Action, Actor},
    duration::AccessDuration,
    transition::{Effect, Transition},
};

/// When to warn of `deadline` a grant that lasts `duration` in all; none where the flow asks for no
/// warning, the grant is no longer than that, or the moment has passed.
pub(super) fn at(
    deadline: Timestamp,
    duration: AccessDuration,
    warn: Option<AccessDuration>,
    now: Timestamp,
) -> Option<Timestamp> {
    let before = warn.filter(|before| *before < duration)?;
    let before = SignedDuration::from_secs(i64::from(before.seconds()));
    deadline.checked_sub(before).ok().filter(|due| *due > now)
}

impl Grant {
    /// Warns its principal that it ends soon.
    pub(super) fn warn(&self, now: Timestamp) -> Transition<Self> {
        let deadline = self.deadline.map(|end| end.to_string()).unwrap_or_default();
        let event = self
            .event(Action::GrantEndingSoon, Actor::Broker, now)
            .detail("deadline", deadline.as_str());
        let text = format!("{} on {} ends at {deadline}", self.permission, self.resource);
        let notice = self.notice("grant.ending_soon", text);
        let next = Self { warn_at: None, ..self.clone() };
        Transition::to(next).with(Effect::Notify(notice)).record(event)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{
        grant::tests::{agent, at as moment, planned},
        order::Provisioned,
    };

    fn seconds(n: u32) -> AccessDuration {
        AccessDuration::from_seconds(n).unwrap()
    }

    #[rstest]
    #[case::none_asked_for(None, 60, None)]
    #[case::well_before(Some(15), 60, Some(45))]
    #[case::as_long_as_the_grant(Some(60), 60, None)]
    #[case::longer_than_the_grant(Some(900), 60, None)]
    fn when(#[case] warn: Option<u32>, #[case] lasts: u32, #[case] expected: Option<i64>) {
        let due = at(moment(60), seconds(lasts), warn.map(seconds), moment(0));
        assert_eq!(due, expected.map(moment));
    }

    #[test]
    fn it_is_sent_once_and_again_only_for_a_later_end() {
        let mut grant = planned();
        grant.warn = Some(seconds(15));
        let grant = grant.advance(moment(0)).unwrap().state;
        let grant =
            grant.provisioned(1, &Provisioned::default(), agent(), moment(1)).unwrap().state;
        assert!(grant.advance(moment(44)).is_none());
        let warned = grant.advance(moment(45)).unwrap();
        assert_eq!(warned.effects.len(), 1);
        let Effect::Notify(notice) = &warned.effects[0] else { panic!("{warned:?}") };
        assert_eq!(notice.event, "grant.ending_soon");
        assert!(warned.state.advance(moment(59)).is_none(), "not a second time");

        let more = warned.state.extend(seconds(30), agent(), moment(50)).unwrap().state;
        let more = more.provisioned(2, &Provisioned::default(), agent(), moment(51)).unwrap().state;
        assert!(more.advance(moment(74)).is_none());
        assert_eq!(more.advance(moment(75)).unwrap().events[0].action, Action::GrantEndingSoon);
    }

    #[test]
    fn an_end_that_is_near_when_it_is_told_needs_no_warning() {
        let mut grant = planned();
        grant.warn = Some(seconds(15));
        let grant = grant.advance(moment(0)).unwrap().state;
        let grant =
            grant.provisioned(1, &Provisioned::default(), agent(), moment(1)).unwrap().state;
        let warned = grant.advance(moment(45)).unwrap().state;
        let more = warned.extend(seconds(5), agent(), moment(55)).unwrap().state;
        assert_eq!(more.warn_at, None);
    }

    #[test]
    fn a_warning_that_is_overdue_with_the_end_is_left_out() {
        let mut grant = planned();
        grant.warn = Some(seconds(15));
        let grant = grant.advance(moment(0)).unwrap().state;
        let late = grant.advance(moment(600)).unwrap();
        assert_eq!(late.state.state_name(), "revoking");
    }
}
