//! Letting access begin that was approved before.

use ebbgate_domain::{ids::RequestId, request::AccessRequest};

use crate::{AppError, Broker, Caller, ClientKey};

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
        let snapshot = self.snapshot();
        self.change_request(caller, id, "activate", key, |request, now| {
            request.activate(&caller.id, &snapshot.directory, now)
        })
        .await
    }
}
