//! How far each row has come, in the words in which the audit log tells it too.

use std::fmt::Display;

use ebbgate_broker_ports::store::AgentRecord;
use ebbgate_domain::{
    grant::{Grant, GrantState},
    request::{AccessRequest, ExtensionState, RequestState},
};

use crate::{Document, Table};

/// How far a row has come; the log's word for it never gets smaller.
pub(crate) mod stage {
    pub(crate) const FIRST: u8 = 0;
    pub(crate) const PROVISIONING: u8 = 1;
    pub(crate) const APPROVED: u8 = 1;
    pub(crate) const ACTIVE: u8 = 2;
    pub(crate) const ACTIVATED: u8 = 2;
    pub(crate) const REVOKING: u8 = 3;
    pub(crate) const OVER: u8 = 4;
}

/// How a row stands, to be compared with the log.
#[derive(Debug, Clone)]
pub struct Standing {
    pub(crate) table: Table,
    pub(crate) id: String,
    pub(crate) stage: u8,
    /// How far its terms have come, which may change while its stage does not: for how many seconds
    /// a grant lasts, [`extensions`] of a request. They only grow.
    pub(crate) terms: u64,
    /// The name that an agent bears.
    pub(crate) bears: Option<String>,
}

impl Standing {
    /// A row at this stage, with no terms that change.
    pub(crate) fn new(table: Table, id: impl Display, stage: u8) -> Self {
        Self { table, id: id.to_string(), stage, terms: 0, bears: None }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stage >= stage::OVER
    }
}

/// A request's terms, where the last of so many wishes for more time is decided on, or is not. One
/// comes after the other: each is two steps.
pub(crate) fn extensions(count: u64, decided: bool) -> u64 {
    count.saturating_mul(2).saturating_sub(u64::from(!decided && count > 0))
}

impl Document for AccessRequest {
    const TABLE: Table = Table::Requests;

    fn standing(&self) -> Standing {
        let stage = match self.state {
            RequestState::Pending => stage::FIRST,
            RequestState::Approved if self.awaits_activation() => stage::APPROVED,
            RequestState::Approved | RequestState::Active => stage::ACTIVATED,
            _ => stage::OVER,
        };
        let last = self.extensions.last();
        let decided = last.is_none_or(|more| more.state != ExtensionState::Pending);
        let terms = extensions(self.extensions.len() as u64, decided);
        Standing { terms, ..Standing::new(Self::TABLE, self.id, stage) }
    }
}

impl Document for Grant {
    const TABLE: Table = Table::Grants;

    fn standing(&self) -> Standing {
        let stage = match self.state {
            GrantState::Planned => stage::FIRST,
            GrantState::Provisioning(_) => stage::PROVISIONING,
            GrantState::Active => stage::ACTIVE,
            GrantState::Revoking { .. } => stage::REVOKING,
            GrantState::Revoked { .. } | GrantState::Failed { .. } => stage::OVER,
        };
        let terms = self.duration.seconds().into();
        Standing { terms, ..Standing::new(Self::TABLE, self.id, stage) }
    }
}

impl Document for AgentRecord {
    const TABLE: Table = Table::Agents;

    fn standing(&self) -> Standing {
        let stage = if self.retired { stage::OVER } else { stage::FIRST };
        let bears = Some(self.name.to_string());
        Standing { bears, ..Standing::new(Self::TABLE, self.id, stage) }
    }
}
