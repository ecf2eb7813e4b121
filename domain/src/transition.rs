//! What a decision returns: the next state and everything that belongs to it.

use crate::{
    audit::AuditEvent, duration::AccessDuration, grant::Grant, notice::Notice, order::Order,
};

/// One step of a state machine. The state, the audit events and the notices are committed in one
/// transaction (I11); orders are carried out after it, because the intent must be on record
/// before anything is done to a target (I1).
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a transition that is not committed did not happen"]
pub struct Transition<S> {
    /// The next state.
    pub state: S,
    /// What somebody with hands must do.
    pub effects: Vec<Effect>,
    /// What the audit log says of it.
    pub events: Vec<AuditEvent>,
}

/// What somebody with hands must do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Store this new grant.
    Plan(Box<Grant>),
    /// Let the live grants of this request last so much longer.
    Extend(AccessDuration),
    /// Send this order to where the integration's connector runs.
    Send(Order),
    /// Put this notice into the outbox.
    Notify(Notice),
}

impl<S> Transition<S> {
    /// A step to `state` with nothing else to do or to say yet.
    pub fn to(state: S) -> Self {
        Self { state, effects: Vec::new(), events: Vec::new() }
    }

    /// Adds an effect.
    pub fn with(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    /// Adds an audit event.
    pub fn record(mut self, event: AuditEvent) -> Self {
        self.events.push(event);
        self
    }
}
