//! Reading the audit log, and checking it.

use ebbgate_broker_ports::{store::AuditHead, verify_audit};
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent, AuditRecord, BrokenChain},
};
use jiff::SignedDuration;

use crate::{AppError, Broker, Caller, draft::Draft};

/// By how much the times of records may be out of order: clocks are set, and replicas' differ.
pub(crate) const SLACK: SignedDuration = SignedDuration::from_mins(10);

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

    /// How many records come before those of `begin`. The log is in order of time, so that place is
    /// found by halving; where clocks were set, a few that are older come after it.
    pub(crate) async fn records_before(&self, begin: Timestamp) -> Result<u64, AppError> {
        let begin = begin.saturating_sub(SLACK).unwrap_or(Timestamp::MIN);
        let (mut before, mut after) = (0, self.store().audit_head().await?.records);
        while before < after {
            let middle = before + (after - before) / 2;
            let record = self.store().audit(middle, 1).await?;
            match record.first().and_then(event) {
                Some(event) if event.at < begin => before = middle + 1,
                // One that cannot be read does not hide those before it.
                _ => after = middle,
            }
        }
        Ok(before)
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), AppError> {
        Ok(self.store().ping().await?)
    }
}

pub(crate) fn require_auditor(caller: &Caller) -> Result<(), AppError> {
    if caller.auditor { Ok(()) } else { Err(AppError::Forbidden { role: "auditor" }) }
}

/// What a record says; none where it cannot be read.
pub(crate) fn event(record: &AuditRecord) -> Option<AuditEvent> {
    serde_json::from_str(&record.body).ok()
}
