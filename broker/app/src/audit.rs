//! Reading the audit log, and checking it.

use ebbgate_broker_ports::{store::AuditHead, verify_audit};
use ebbgate_domain::audit::{Action, Actor, AuditEvent, AuditRecord, BrokenChain};

use crate::{AppError, Broker, Caller, draft::Draft};

/// How the chain was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditState {
    /// The end as the store remembers it.
    pub head: AuditHead,
    /// The first broken record, if any.
    pub broken: Option<BrokenChain>,
}

impl Broker {
    /// Records after number `after`.
    ///
    /// # Errors
    /// The caller may not, or the store failed.
    pub async fn audit(
        &self,
        caller: &Caller,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, AppError> {
        require_auditor(caller)?;
        Ok(self.store().audit(after, limit).await?)
    }

    /// Walks the whole chain.
    ///
    /// # Errors
    /// The caller may not, or the store failed.
    pub async fn check_audit(&self, caller: &Caller) -> Result<AuditState, AppError> {
        require_auditor(caller)?;
        let head = self.store().audit_head().await?;
        let broken = verify_audit(self.store()).await?.err();
        Ok(AuditState { head, broken })
    }

    /// Notes something that belongs to no request: a start, a reload, somebody at the door.
    ///
    /// # Errors
    /// The store failed.
    pub async fn note(&self, event: AuditEvent) -> Result<(), AppError> {
        let mut draft = Draft::default();
        draft.change.events.push(event);
        Ok(self.commit(draft).await?)
    }

    /// Notes that somebody was refused at the door.
    ///
    /// # Errors
    /// The store failed.
    pub async fn note_refused(
        &self,
        actor: Actor,
        operation: &str,
        code: &'static str,
    ) -> Result<(), AppError> {
        self.ports.meter.refused(code);
        let event = AuditEvent::new(Action::AccessRefused, actor, self.now())
            .detail("operation", operation)
            .detail("code", code);
        self.note(event).await
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), AppError> {
        Ok(self.store().ping().await?)
    }
}

fn require_auditor(caller: &Caller) -> Result<(), AppError> {
    if caller.auditor { Ok(()) } else { Err(AppError::Forbidden { role: "auditor" }) }
}
