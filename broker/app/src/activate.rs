//! Letting access begin that was approved before, and asking for more time.

use ebbgate_domain::{duration::AccessDuration, ids::RequestId, request::AccessRequest};

use crate::{AppError, Broker, Caller, ClientKey, submit::LONGEST_TEXT};

impl Broker {
    /// Its requester lets the access of an approved request begin.
    ///
    /// # Errors
    /// The rule that says no; the refusal is in the audit log.
    pub async fn activate(
        &self,
        caller: &Caller,
        id: RequestId,
        key: Option<&ClientKey>,
    ) -> Result<AccessRequest, AppError> {
        self.change_request(caller, id, "activate", key, |request, people| {
            request.activate(&caller.id, people)
        })
        .await
    }

    /// Its requester asks for more time. It is granted at once where nobody must approve it.
    ///
    /// # Errors
    /// The rule that says no; the refusal is in the audit log.
    pub async fn extend(
        &self,
        caller: &Caller,
        id: RequestId,
        by: AccessDuration,
        reason: Option<&str>,
        key: Option<&ClientKey>,
    ) -> Result<AccessRequest, AppError> {
        if reason.is_some_and(|reason| reason.chars().count() > LONGEST_TEXT) {
            return Err(AppError::invalid("reason", format!("at most {LONGEST_TEXT} characters")));
        }
        self.change_request(caller, id, "extend", key, |request, people| {
            request.extend(&caller.id, by, reason, people)
        })
        .await
    }
}
