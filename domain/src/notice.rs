//! What people are told; the outbox carries it to the channels.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{GrantId, RequestId},
    names::PrincipalId,
};

/// One message to people, before a channel renders it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What happened: `request.created`, `grant.active`, …
    pub event: String,
    /// The request it is about.
    pub request: RequestId,
    /// The grant it is about, if it is about one.
    pub grant: Option<GrantId>,
    /// Whom to tell.
    pub to: BTreeSet<PrincipalId>,
    /// One sentence, without secrets.
    pub text: String,
}
