//! Who may not have what they asked for any more: disabled, no longer among the flow's requesters,
//! or the flow is gone (I10). Decided on the flow as it is now, because the answer to 'may they have
//! it' must follow those who say so; who must approve was frozen with the request.

use super::AccessRequest;
use crate::{
    flow::{OnChange, Policies},
    grant::RevokeReason,
    names::{FlowName, PrincipalId},
    principal::Directory,
};

/// Why somebody may not have it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// They are disabled or unknown.
    Left,
    /// They are not among the flow's requesters any more.
    NotARequester,
    /// The flow was removed.
    FlowRemoved,
}

impl Loss {
    /// The reason in one word, as the audit log shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "requester-left",
            Self::NotARequester => "not-a-requester",
            Self::FlowRemoved => "flow-removed",
        }
    }

    /// The reason for ending a grant.
    pub fn reason(self) -> RevokeReason {
        match self {
            Self::Left => RevokeReason::RequesterLeft,
            Self::NotARequester => RevokeReason::NotARequester,
            Self::FlowRemoved => RevokeReason::FlowRemoved,
        }
    }
}

impl Policies {
    /// Why `person` could not ask through this flow now; none where they still could.
    pub fn loss(
        &self,
        flow: &FlowName,
        person: &PrincipalId,
        directory: &Directory,
    ) -> Option<Loss> {
        if directory.active(person).is_none() {
            return Some(Loss::Left);
        }
        let Some(flow) = self.flows.get(flow) else {
            return (!self.unknown).then_some(Loss::FlowRemoved);
        };
        (!flow.admits(person, directory)).then_some(Loss::NotARequester)
    }
}

impl AccessRequest {
    /// Whether live access ends by that loss. Who left loses it in any case; the others where the
    /// flow as it was does not say that it is kept.
    pub fn ends_by(&self, loss: Loss) -> bool {
        loss == Loss::Left || self.flow.on_change == OnChange::Revoke
    }
}
