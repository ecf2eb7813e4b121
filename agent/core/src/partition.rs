//! What becomes of grants while the broker is away. By default nothing: they have their deadlines.
//! An integration may be stricter, and have what it gave cut off some time after the broker's last
//! word.
//!
//! That time goes on record, so that no restart makes it longer: what is lost to one only makes it
//! look as if the broker had been silent for longer.

use ebbgate_domain::{names::IntegrationName, order::EndCause};
use jiff::SignedDuration;

use crate::{agent::Agent, alarm::Alarm, reading::Reading, record::Record, step::Step};

/// How far the record of the broker's last word may be behind while a grant depends on it …
const BEHIND: SignedDuration = SignedDuration::from_secs(10);
/// … and otherwise, for people to look at.
const FAR_BEHIND: SignedDuration = SignedDuration::from_secs(60);

impl Agent {
    /// Cuts off what an integration gave when the broker has not been heard of for `grace`.
    #[must_use]
    pub fn with_grace(mut self, integration: IntegrationName, grace: SignedDuration) -> Self {
        self.graces.insert(integration, grace);
        self
    }

    /// The broker has said something, whatever it was.
    pub fn on_heard(&mut self, now: &Reading) {
        self.heard = Some(now.clone());
    }

    /// For how long the broker has not been heard of; none where it never was.
    pub fn silence(&self, now: &Reading) -> Option<SignedDuration> {
        let heard = self.heard.as_ref().map(|heard| now.elapsed(heard));
        let on_record = self.state.contact().map(|contact| contact.silence(now));
        heard.into_iter().chain(on_record).min()
    }

    /// Puts the broker's last word on record where the record is too far behind. Where there never
    /// was one, the time runs from now.
    pub(crate) fn keep_contact(&mut self, now: &Reading, steps: &mut Vec<Step>) {
        let depends =
            self.graces.keys().any(|integration| self.timers.given(integration).is_some());
        self.keep_contact_within(if depends { BEHIND } else { FAR_BEHIND }, depends, now, steps);
    }

    /// Comes before a grant that depends on it.
    pub(crate) fn keep_contact_for(
        &mut self,
        integration: &IntegrationName,
        now: &Reading,
        steps: &mut Vec<Step>,
    ) {
        if self.graces.contains_key(integration) {
            self.keep_contact_within(BEHIND, true, now, steps);
        }
    }

    fn keep_contact_within(
        &mut self,
        within: SignedDuration,
        needed: bool,
        now: &Reading,
        steps: &mut Vec<Step>,
    ) {
        let actual = match self.silence(now) {
            Some(silence) => silence,
            None if needed => SignedDuration::ZERO,
            None => return,
        };
        let behind = match self.state.contact() {
            Some(contact) => contact.silence(now).saturating_sub(actual) >= within,
            None => true,
        };
        if !behind && !std::mem::take(&mut self.offset_changed) {
            return;
        }
        self.offset_changed = false;
        let record = Record::Contact {
            at: now.clone(),
            silent_ms: u64::try_from(actual.as_millis()).unwrap_or(0),
            offset_ms: self.offset.map(|by| i64::try_from(by.by.as_millis()).unwrap_or(i64::MAX)),
        };
        self.append(record, steps);
    }

    /// Tears down what depends on a broker that has been silent for too long.
    pub(crate) fn cut_off(&mut self, now: &Reading, steps: &mut Vec<Step>) {
        let Some(silence) = self.silence(now) else { return };
        let over = self.graces.iter().filter(|(_, grace)| silence >= **grace);
        let over: Vec<_> = over
            .filter_map(|(name, _)| Some((name.clone(), self.timers.given(name)?.clone())))
            .collect();
        for (integration, given) in over {
            let grants = given.len();
            steps.push(Step::Alarm(Alarm::CutOff { integration, silence, grants }));
            for grant in given {
                let Some(held) = self.state.get(grant) else { continue };
                let (seq, spec) = (held.seq, held.spec.clone());
                self.intend_revoke(seq, spec, EndCause::CutOff, now, steps);
                self.kick(grant, now, steps);
            }
        }
    }

    /// How long until something is cut off, if the broker says nothing more.
    pub(crate) fn next_cut_off(&self, now: &Reading) -> Option<SignedDuration> {
        let silence = self.silence(now)?;
        let waits = self
            .graces
            .iter()
            .filter(|(integration, _)| self.timers.given(integration).is_some())
            .map(|(_, grace)| grace.saturating_sub(silence).max(SignedDuration::ZERO));
        waits.min()
    }
}
