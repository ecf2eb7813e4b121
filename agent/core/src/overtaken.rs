//! What one turn decides, it carries out at its end. An order to give access may be followed within
//! the same turn by the order, or by the moment, to take it away: then it is not given first (I5).

use jiff::SignedDuration;

use crate::{
    agent::Agent,
    held::Held,
    reading::Reading,
    step::{Effect, Failure, Step},
};

/// An agent that did nothing for so long stood still: its process was stopped, or its machine.
const STANDSTILL: SignedDuration = SignedDuration::from_secs(15);

impl Agent {
    /// A turn's steps without the effects that a later decision of the same turn has overtaken, and
    /// with what follows from that. To be called once, with all steps of the turn, before anything
    /// is carried out.
    pub fn without_overtaken(&mut self, steps: Vec<Step>, now: &Reading) -> Vec<Step> {
        let mut left = Vec::new();
        for step in steps {
            match step {
                Step::Begin(effect) if self.is_overtaken(&effect) => {
                    let failure = Failure::passing("its teardown came first");
                    let done = effect.failed(failure);
                    left.extend(self.on_done(effect.grant(), done, now));
                }
                other => left.push(other),
            }
        }
        left
    }

    /// Whether it stood still until now. Then nothing that gives access may begin on the word of
    /// before: the broker orders it again if it still wants it.
    pub fn has_stood_still(&self, now: &Reading) -> bool {
        self.seen.as_ref().is_some_and(|seen| now.elapsed(seen) > STANDSTILL)
    }

    /// Whether an effect that gives access must not begin any more: its grant's teardown is intended
    /// by now. To be asked again right before one begins that had to wait.
    pub fn is_overtaken(&self, effect: &Effect) -> bool {
        matches!(effect, Effect::Provision(_) | Effect::Credential { .. })
            && !self.state().get(effect.grant()).is_some_and(Held::is_given)
    }
}
