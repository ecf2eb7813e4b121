//! More time for access that lasts: a new decision on the same request, by the same rules, never
//! past the flow's maximum. Its approvers are asked, reminded and counted as those of the request
//! itself were.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AccessRequest, RequestState, needed::approval_needed};
use crate::{
    approval::{Claim, Quorum, Review, Told},
    audit::{Action, Actor},
    duration::AccessDuration,
    flow::{Activation, Policies},
    names::PrincipalId,
    people::People,
    refusal::Refusal,
    transition::{Effect, Transition},
};

/// More time that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// How much.
    pub by: AccessDuration,
    /// For how long access then is in all; the rules were judged with this.
    pub total: AccessDuration,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Why.
    pub reason: Option<String>,
    /// Who must approve; none where the policy is automatic for all items.
    pub quorums: Vec<Quorum>,
    /// What was said of it.
    pub reviews: Vec<Review>,
    /// Who is looking at it, or was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
    /// Who was told that it waits for them.
    pub told: Option<Vec<Told>>,
    /// When it should be looked at next.
    pub wakes_at: Option<Timestamp>,
    /// When it lapses if nobody decides.
    pub lapses_at: Option<Timestamp>,
    /// How it stands.
    pub state: ExtensionState,
}

/// How the wish for more time stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExtensionState {
    /// Waits for approvers.
    Pending,
    /// Granted.
    Approved,
    /// Somebody said no.
    Denied,
    /// Nobody decided in time.
    Lapsed,
}

impl ExtensionState {
    /// The state in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Lapsed => "lapsed",
        }
    }
}

impl AccessRequest {
    /// The more time that waits for a decision. When access has ended nothing waits any more.
    pub fn pending_extension(&self) -> Option<&Extension> {
        let live = matches!(self.state, RequestState::Approved | RequestState::Active);
        self.extensions.last().filter(|more| live && more.state == ExtensionState::Pending)
    }

    /// When something is due for the more time that is asked for.
    pub(super) fn extension_due(&self) -> Option<Timestamp> {
        let more = self.pending_extension()?;
        more.lapses_at.into_iter().chain(more.wakes_at).min()
    }

    /// Its requester asks for more time.
    ///
    /// # Errors
    /// Somebody else's request, a flow that gives none, access that has not begun or is over, a
    /// decision that is still awaited, more than the maximum, too little said, or too few people
    /// who could approve it.
    pub fn extend(
        &self,
        by: &PrincipalId,
        more: AccessDuration,
        reason: Option<&str>,
        people: &People<'_>,
    ) -> Result<Transition<Self>, Refusal> {
        let no = |why| Err(Refusal::ExtensionNotPossible { why });
        if *by != self.requester {
            return Err(Refusal::NotTheRequester);
        }
        match self.state {
            RequestState::Approved if self.awaits_activation() => {
                return no("access has not begun");
            }
            RequestState::Approved | RequestState::Active => {}
            _ => return no("access does not last any more, or was never given"),
        }
        if !self.flow.duration.extend {
            return no("this flow gives none: ask anew when it has ended");
        }
        if !self.flow.admits(by, people.directory) {
            let (principal, flow) = (by.clone(), self.flow.name.clone());
            return Err(Refusal::NotARequester { principal, flow });
        }
        if self.pending_extension().is_some() {
            return no("a decision on more time is still awaited");
        }
        let total = self.duration.longer_by(more);
        let max = self.flow.duration.longest(self.items.iter().map(|item| &item.permission));
        let Some(total) = total.filter(|total| *total <= max) else {
            return Err(Refusal::ExtensionTooLong { total, max });
        };
        self.flow.justification.check(reason, self.ticket.as_deref())?;
        let needed = approval_needed(&self.flow, by, &self.items, total, people)?;
        let asked = Extension {
            by: more,
            total,
            asked_at: people.now,
            reason: reason.map(ToOwned::to_owned),
            lapses_at: needed.timeout.map(|timeout| timeout.after(people.now)),
            quorums: needed.quorums,
            reviews: Vec::new(),
            claims: Vec::new(),
            told: Some(Vec::new()),
            wakes_at: None,
            state: ExtensionState::Pending,
        };
        let mut event = self
            .event(Action::ExtensionAsked, Actor::Principal(by.clone()), people.now)
            .detail("by", more.to_string())
            .detail("total", total.to_string())
            .detail("extension", self.extensions.len() + 1);
        if let Some(reason) = reason {
            event = event.detail("reason", reason);
        }
        if !needed.rules.is_empty() {
            event = event.detail("rules", needed.rules);
        }
        let mut again = self.asking_again(&asked);
        let step = if asked.quorums.is_empty() {
            again.approved([].into(), people)
        } else {
            let (effects, events) = again.ask(people);
            Transition { state: again, effects, events }
        };
        let mut next = self.clone();
        next.extensions.push(asked);
        let mut asked = next.after_step(step);
        asked.events.insert(0, event);
        Ok(asked)
    }

    /// The request as if it asked for nothing but the more time: the same rules decide on it.
    pub(super) fn asking_again(&self, more: &Extension) -> Self {
        let mut again = self.clone();
        again.quorums = more.quorums.clone();
        again.reviews = more.reviews.clone();
        again.claims = more.claims.clone();
        again.told = more.told.clone();
        again.wakes_at = more.wakes_at;
        again.created_at = more.asked_at;
        again.lapses_at = more.lapses_at;
        again.reason = more.reason.clone();
        again.duration = more.by;
        again.state = RequestState::Pending;
        again.extensions.clear();
        // An approval of it begins nothing: what is there lasts longer.
        again.flow.activation = Activation::ByRequester { within: more.by };
        again
    }

    /// Lets somebody decide on the more time that is asked for.
    pub(super) fn decide_extension(
        &self,
        decide: impl FnOnce(Self) -> Result<Transition<Self>, Refusal>,
    ) -> Result<Transition<Self>, Refusal> {
        let Some(more) = self.pending_extension() else {
            return Err(Refusal::AlreadyDecided { state: self.state_name() });
        };
        Ok(self.after_step(decide(self.asking_again(more))?))
    }

    /// Does what is due for the more time that is asked for.
    pub(super) fn advance_extension(
        &self,
        policies: &Policies,
        people: &People<'_>,
    ) -> Option<Transition<Self>> {
        let more = self.pending_extension()?;
        Some(self.after_step(self.asking_again(more).advance(policies, people)?))
    }

    /// What a step of the request that [`Self::asking_again`] gave means for this one.
    fn after_step(&self, step: Transition<Self>) -> Transition<Self> {
        let Transition { state: again, effects, events } = step;
        let mut next = self.clone();
        let mut granted = None;
        if let Some(more) = next.extensions.last_mut() {
            more.reviews = again.reviews;
            more.claims = again.claims;
            more.told = again.told;
            more.wakes_at = again.wakes_at;
            more.state = match again.state {
                RequestState::Pending => ExtensionState::Pending,
                RequestState::Approved => ExtensionState::Approved,
                RequestState::Denied => ExtensionState::Denied,
                // Its requester left: their access ends for that reason too.
                _ => ExtensionState::Lapsed,
            };
            if more.state == ExtensionState::Approved {
                next.duration = more.total;
                granted = Some(more.by);
            }
        }
        let mut transition = Transition::to(next);
        transition.effects = effects
            .into_iter()
            .map(|effect| match effect {
                Effect::Notify(mut notice) => {
                    notice.event = notice.event.replacen("request.", "extension.", 1);
                    notice.text = format!("more time: {}", notice.text);
                    Effect::Notify(notice)
                }
                other => other,
            })
            .chain(granted.map(Effect::Extend))
            .collect();
        let number = self.extensions.len();
        transition.events = events
            .into_iter()
            .map(|mut event| {
                event.action = match event.action {
                    Action::RequestApproved => Action::ExtensionApproved,
                    Action::RequestDenied => Action::ExtensionDenied,
                    Action::RequestLapsed | Action::RequestCancelled => Action::ExtensionLapsed,
                    other => other,
                };
                event.detail("extension", number)
            })
            .collect();
        transition
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::{
        approval::Verdict,
        condition::Condition,
        flow::{AccessFlow, ApprovalPolicy, ApprovalRule},
        principal::{Directory, tests::person},
        request::time_tests::{active, approve, at, dba, directory, flow, id, notices, policies},
    };

    const HOUR: i64 = 3_600;

    fn span(text: &str) -> AccessDuration {
        text.parse().unwrap()
    }

    fn asks(approval: ApprovalPolicy) -> AccessFlow {
        flow(Activation::AtApproval, approval)
    }

    fn more(
        request: &AccessRequest,
        by: &str,
        now: i64,
    ) -> Result<Transition<AccessRequest>, Refusal> {
        request.extend(
            &id("ana"),
            span(by),
            Some("not done yet"),
            &People::new(&directory(), at(now)),
        )
    }

    fn says(
        request: &AccessRequest,
        who: &str,
        verdict: Verdict,
        now: i64,
    ) -> Result<Transition<AccessRequest>, Refusal> {
        let review = Review::new(id(who), verdict, Some("seen".to_owned()), at(now));
        request.review(review, &People::new(&directory(), at(now)))
    }

    fn granted(step: &Transition<AccessRequest>) -> Vec<AccessDuration> {
        let grants = step.effects.iter().filter_map(|effect| match effect {
            Effect::Extend(by) => Some(*by),
            Effect::Plan(_) => panic!("nothing new is planned"),
            _ => None,
        });
        grants.collect()
    }

    #[test]
    fn the_same_people_decide_on_more_time() {
        let request = active(asks(dba()));
        let asked = more(&request, "2h", 600).unwrap();
        assert!(granted(&asked).is_empty());
        assert_eq!(notices(&asked)[0].event, "extension.created");
        assert_eq!(notices(&asked)[0].to, [id("ben")].into());
        assert!(asked.state.waits_for(&id("ben"), &People::new(&directory(), at(700))));
        assert_eq!(
            says(&asked.state, "sam", Verdict::Approve, 700).unwrap_err().code(),
            "not_an_approver"
        );
        assert_eq!(
            says(&asked.state, "ana", Verdict::Approve, 700).unwrap_err().code(),
            "own_request"
        );

        let approved = approve(&asked.state, 800);
        assert_eq!(granted(&approved), [span("2h")]);
        assert_eq!(approved.state.state, RequestState::Active, "the request stays what it is");
        assert_eq!(approved.state.duration, span("3h"));
        assert_eq!(approved.state.activated_at, request.activated_at);
        assert!(approved.events.iter().any(|event| event.action == Action::ExtensionApproved));
        let late = says(&approved.state, "ben", Verdict::Approve, 900).unwrap_err();
        assert_eq!(late.code(), "already_reviewed", "of the request itself");
    }

    #[test]
    fn where_nobody_must_approve_it_is_granted_at_once() {
        let given = more(&active(asks(ApprovalPolicy::Automatic)), "1h", 60).unwrap();
        assert_eq!(granted(&given), [span("1h")]);
        let actions: Vec<_> = given.events.iter().map(|event| event.action).collect();
        assert_eq!(actions, [Action::ExtensionAsked, Action::ExtensionApproved]);
        assert!(given.state.pending_extension().is_none());
    }

    #[test]
    fn the_rules_are_judged_with_the_time_in_all() {
        let mut flow = asks(dba());
        let when = Condition { duration_at_most: Some(span("2h")), ..Condition::default() };
        flow.rules = vec![ApprovalRule { when, policy: ApprovalPolicy::Automatic }];
        let request = active(flow);
        let given = more(&request, "1h", 60).unwrap();
        assert_eq!(granted(&given), [span("1h")], "two hours in all ask nobody");
        let asked = more(&given.state, "1s", 120).unwrap();
        assert!(granted(&asked).is_empty(), "two hours and a second ask the DBAs");
    }

    #[rstest]
    #[case::somebody_else("ben", "1h", true, "not_the_requester")]
    #[case::the_maximum("ana", "3h", true, "ok")]
    #[case::past_the_maximum("ana", "3h1s", true, "extension_too_long")]
    #[case::longer_than_can_be_written("ana", "31d", true, "extension_too_long")]
    #[case::a_flow_that_gives_none("ana", "1h", false, "extension_not_possible")]
    fn refuses(#[case] who: &str, #[case] by: &str, #[case] extend: bool, #[case] code: &str) {
        let mut flow = asks(dba());
        flow.duration.extend = extend;
        let people = directory();
        let result = active(flow).extend(&id(who), span(by), None, &People::new(&people, at(60)));
        assert_eq!(result.map_or_else(|refusal| refusal.code(), |_| "ok"), code);
    }

    #[test]
    fn refuses_what_has_no_time_to_be_made_longer() {
        let request = active(asks(dba()));
        let asked = more(&request, "1h", 60).unwrap().state;
        assert_eq!(more(&asked, "1h", 70).unwrap_err().code(), "extension_not_possible");
        for state in [RequestState::Pending, RequestState::Denied, RequestState::Lapsed] {
            let other = AccessRequest { state, ..request.clone() };
            assert_eq!(more(&other, "1h", 60).unwrap_err().code(), "extension_not_possible");
        }
        let waiting = AccessRequest {
            state: RequestState::Approved,
            activated_at: None,
            activate_by: Some(at(HOUR)),
            ..request.clone()
        };
        assert_eq!(more(&waiting, "1h", 60).unwrap_err().code(), "extension_not_possible");
        let lost = Directory::new([person("ana", &["sales"]), person("ben", &["dba"])]);
        let refused =
            request.extend(&id("ana"), span("1h"), None, &People::new(&lost, at(60))).unwrap_err();
        assert_eq!(refused.code(), "not_a_requester");
        let nobody = Directory::new([person("ana", &["data"])]);
        let refused = request
            .extend(&id("ana"), span("1h"), None, &People::new(&nobody, at(60)))
            .unwrap_err();
        assert_eq!(refused.code(), "approval_unsatisfiable");
    }

    #[test]
    fn a_denial_takes_nothing_away_and_it_can_be_asked_again() {
        let asked = more(&active(asks(dba())), "1h", 60).unwrap().state;
        let denied = says(&asked, "ben", Verdict::Deny, 70).unwrap();
        assert!(granted(&denied).is_empty());
        assert_eq!(denied.state.state, RequestState::Active);
        assert_eq!(denied.state.extensions[0].state, ExtensionState::Denied);
        assert_eq!(denied.state.duration, span("1h"));
        assert!(denied.events.iter().any(|event| event.action == Action::ExtensionDenied));
        let again = more(&denied.state, "30m", 80).unwrap().state;
        assert_eq!(granted(&approve(&again, 90)), [span("30m")]);
    }

    #[test]
    fn nobody_decided_in_time() {
        let asked = more(&active(asks(dba())), "1h", 60).unwrap().state;
        let advance =
            |now| asked.advance(&policies(&asked.flow), &People::new(&directory(), at(now)));
        assert_eq!(asked.due_at(), Some(at(60 + 8 * HOUR)));
        assert!(advance(59 + 8 * HOUR).is_none());
        let lapsed = advance(60 + 8 * HOUR).unwrap();
        assert_eq!(lapsed.state.extensions[0].state, ExtensionState::Lapsed);
        assert_eq!(lapsed.state.state, RequestState::Active);
        assert_eq!(lapsed.state.due_at(), None);
    }

    #[test]
    fn once_access_has_ended_nobody_is_asked_any_more() {
        let asked = more(&active(asks(dba())), "1h", 60).unwrap().state;
        let ended = AccessRequest {
            state: RequestState::Ended { reason: crate::request::EndReason::Expired, at: at(HOUR) },
            ..asked
        };
        assert!(!ended.asks() && ended.due_at().is_none());
        assert!(!ended.waits_for(&id("ben"), &People::new(&directory(), at(HOUR))));
        assert!(says(&ended, "ben", Verdict::Approve, HOUR).is_err());
    }

    proptest! {
        /// Whatever is asked and said, access never lasts longer than the flow's maximum, and each
        /// extension is granted at most once.
        #[test]
        fn never_past_the_maximum(
            asked in prop::collection::vec((1..9_000_u32, any::<bool>(), any::<bool>()), 1..12),
        ) {
            let mut request = active(asks(dba()));
            let (mut now, mut given) = (60, 3_600_u32);
            for (seconds, yes, decided) in asked {
                now += 10;
                let by = AccessDuration::from_seconds(seconds).unwrap();
                let people = directory();
                let step = request.extend(&id("ana"), by, None, &People::new(&people, at(now)));
                if let Ok(step) = step {
                    prop_assert!(granted(&step).is_empty());
                    request = step.state;
                }
                if !decided {
                    continue;
                }
                let verdict = if yes { Verdict::Approve } else { Verdict::Deny };
                if let Ok(step) = says(&request, "ben", verdict, now + 1) {
                    given += granted(&step).iter().map(|by| by.seconds()).sum::<u32>();
                    request = step.state;
                }
                prop_assert!(says(&request, "ben", verdict, now + 2).is_err());
                prop_assert_eq!(request.duration.seconds(), given);
                prop_assert!(given <= 4 * 3_600);
            }
        }
    }
}
