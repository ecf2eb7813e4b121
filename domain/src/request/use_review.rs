//! The use of an emergency flow: everybody on its list is told at once, and a review must be written
//! afterwards. While one is overdue, its person cannot use such a flow again.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::AccessRequest;
use crate::{
    audit::{Action, Actor},
    names::PrincipalId,
    notice::Audience,
    people::People,
    refusal::Refusal,
    transition::{Effect, Transition},
};

/// How long after the last reminder of an overdue review the next one is sent.
const REMIND_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// The review that a use of an emergency flow needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseReview {
    /// By when it must be written.
    pub due_at: Timestamp,
    /// Who was told of the use, in words: people's names and channels.
    pub told: Vec<String>,
    /// When its person is reminded next.
    pub remind_at: Timestamp,
    /// How often they were reminded.
    pub reminded: u32,
    /// The review.
    pub written: Option<WrittenReview>,
}

/// A review of a use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenReview {
    /// Who wrote it.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
    /// What happened, and what was done.
    pub text: String,
}

impl UseReview {
    /// Whether it is not written although its time has passed.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.written.is_none() && self.due_at <= now
    }
}

impl AccessRequest {
    /// When its person is to be reminded of a review that is not written.
    pub(super) fn reminder_due(&self) -> Option<Timestamp> {
        self.use_review.as_ref().filter(|due| due.written.is_none()).map(|due| due.remind_at)
    }

    /// Tells the flow's list of an emergency and notes that a review is due; nothing where the flow
    /// is an ordinary one.
    pub(super) fn used_in_emergency(mut self, people: &People<'_>) -> Transition<Self> {
        let now = people.now;
        let Some(rule) = self.flow.break_glass.clone() else {
            return Transition::to(self);
        };
        let due_at = rule.review_within.after(now);
        let mut audience = Audience::of(&rule.notify, &self.requester, people.directory);
        audience.people.remove(&self.requester);
        let told = audience.names();
        let half = SignedDuration::from_secs(i64::from(rule.review_within.seconds()) / 2);
        self.use_review = Some(UseReview {
            due_at,
            told: told.clone(),
            remind_at: now.saturating_add(half).unwrap_or(due_at),
            reminded: 0,
            written: None,
        });
        let event = self
            .event(Action::BreakglassActivated, Actor::Principal(self.requester.clone()), now)
            .detail("flow", self.flow.name.to_string())
            .detail("told", told.clone())
            .detail("review_due_at", due_at.to_string());
        let reason = self.reason.as_deref().unwrap_or("no reason given");
        let alarm = format!("BREAK-GLASS: {} uses {}: {reason}", self.requester, self.summary());
        let list = if told.is_empty() { "nobody".to_owned() } else { told.join(", ") };
        let receipt = format!(
            "you use {}; told at once: {list}. Write a review by {due_at}: ebb reviews write {}",
            self.summary(),
            self.id
        );
        let alarm = self.notice_to("breakglass.activated", audience, alarm);
        let me = BTreeSet::from([self.requester.clone()]);
        let receipt = self.notice("breakglass.receipt", me, receipt);
        Transition::to(self).with(Effect::Notify(alarm)).with(Effect::Notify(receipt)).record(event)
    }

    /// Reminds of a review that is not written: half-way, when it is overdue, and daily from then
    /// on. Once it is overdue the flow's list hears of it too.
    pub(super) fn remind(&self, people: &People<'_>) -> Option<Transition<Self>> {
        let now = people.now;
        let review = self.use_review.as_ref()?;
        let overdue = review.is_overdue(now);
        let remind_at = if overdue {
            now.saturating_add(REMIND_EVERY).unwrap_or(Timestamp::MAX)
        } else {
            review.due_at
        };
        let mut next = self.clone();
        next.use_review =
            Some(UseReview { remind_at, reminded: review.reminded + 1, ..review.clone() });
        let event = self
            .event(Action::ReviewReminded, Actor::Broker, now)
            .detail("due_at", review.due_at.to_string())
            .detail("overdue", overdue);
        let rule = self.flow.break_glass.as_ref().filter(|_| overdue);
        let mut audience = rule.map_or_else(Audience::default, |rule| {
            Audience::of(&rule.notify, &self.requester, people.directory)
        });
        audience.people.insert(self.requester.clone());
        let text = format!(
            "the review of {}'s break-glass ({}) {} {}: ebb reviews write {}",
            self.requester,
            self.summary(),
            if overdue { "was due" } else { "is due" },
            review.due_at,
            self.id
        );
        let name = if overdue { "review.overdue" } else { "review.due" };
        let notice = next.notice_to(name, audience, text);
        Some(Transition::to(next).with(Effect::Notify(notice)).record(event))
    }

    /// Somebody writes the review. Who may is the caller's to say.
    ///
    /// # Errors
    /// [`Refusal::NoReviewDue`].
    pub fn write_review(
        &self,
        by: &PrincipalId,
        text: &str,
        people: &People<'_>,
    ) -> Result<Transition<Self>, Refusal> {
        let now = people.now;
        let no = |why| Err(Refusal::NoReviewDue { why });
        let Some(review) = &self.use_review else {
            return no("this was no break-glass");
        };
        if review.written.is_some() {
            return no("it is written already");
        }
        if !self.is_over() && !review.is_overdue(now) {
            return no("the access has not ended yet");
        }
        let written = WrittenReview { by: by.clone(), at: now, text: text.to_owned() };
        let mut next = self.clone();
        next.use_review = Some(UseReview { written: Some(written), ..review.clone() });
        let event = self
            .event(Action::ReviewWritten, Actor::Principal(by.clone()), now)
            .detail("text", text)
            .detail("overdue", review.is_overdue(now));
        let told = format!("{by} has written the review of {}", self.summary());
        let list = self.flow.break_glass.as_ref().map_or(&[][..], |rule| &rule.notify);
        let mut audience = Audience::of(list, &self.requester, people.directory);
        audience.people.insert(self.requester.clone());
        let notice = next.notice_to("review.written", audience, told);
        Ok(Transition::to(next).with(Effect::Notify(notice)).record(event))
    }
}
