//! What a connector is: the code that provisions, verifies and revokes on one kind of integration.
//!
//! A connector does not know where it runs. The broker runs those for cloud accounts, an agent runs
//! those for databases beside it; both through this trait, with the same promises:
//!
//! - **Idempotent** (I4): what is made derives its name from the grant's id; doing a thing twice
//!   changes nothing, and what is already gone counts as removed.
//! - **Verified** (I6): `revoke` returns only after it has looked at the target and found neither
//!   the permission nor a live session.
//! - **Bounded**: every call on a target has a time limit. None is cancelled midway by its caller.

pub mod crash;
mod credential;
mod error;

use async_trait::async_trait;
use ebbgate_domain::{
    Timestamp,
    ids::GrantId,
    order::{Finding, GrantSpec, Provisioned},
    session::LiveSession,
};

pub use credential::{AwsCredentials, Credential, CredentialWish};
pub use error::{ConnectorError, ErrorKind};

/// Provisions, verifies and revokes on one integration.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Looks at whether the connector can do on the target what it must, and what is missing;
    /// nothing where all is well.
    ///
    /// # Errors
    /// The target could not be asked.
    async fn check(&self) -> Result<Vec<Lack>, ConnectorError>;

    /// Makes the permission exist on the target until the deadline. Where it exists already, it is
    /// brought to what `grant` says. Where that is to be recorded and the target can't do so, the
    /// answer says so, and the permission is made all the same.
    ///
    /// # Errors
    /// Nothing is promised about what was begun; `revoke` clears it away.
    async fn provision(
        &self,
        grant: &GrantSpec,
        now: Timestamp,
    ) -> Result<Provisioned, ConnectorError>;

    /// Hands out, or registers, what the person logs in with. A second one replaces the first
    /// where the target can do that.
    ///
    /// # Errors
    /// The target refused or could not be reached; the person asks again.
    async fn credential(
        &self,
        grant: &GrantSpec,
        wish: CredentialWish,
        now: Timestamp,
    ) -> Result<Credential, ConnectorError>;

    /// For how long, in seconds, a credential handed out now would live on by itself on the
    /// target; none where the target forgets it with the grant.
    fn credential_lifetime_seconds(&self, grant: &GrantSpec, now: Timestamp) -> Option<u32>;

    /// Ends the grant's live sessions, removes the permission, and looks whether both are gone:
    /// at the deadline, or before it.
    ///
    /// # Errors
    /// It is tried again, for ever: an error means only 'not yet'.
    async fn revoke(&self, grant: &GrantSpec, clock: &dyn Clock)
    -> Result<Finding, ConnectorError>;

    /// The grants whose marks are on the target now (I7).
    ///
    /// # Errors
    /// The target could not be asked.
    async fn marked(&self) -> Result<Vec<GrantId>, ConnectorError>;

    /// Whether each grant that is active has its mark on the target, so that one without a mark
    /// must have been removed there by somebody else.
    fn marks_every_grant(&self) -> bool;

    /// The live sessions under any grant, as the target shows them now.
    ///
    /// # Errors
    /// The target could not be asked.
    async fn sessions(&self) -> Result<Vec<LiveSession>, ConnectorError>;

    /// Ends one live session of a grant and waits until it is gone; the grant stays. False where it
    /// was gone already. `session` is what [`Connector::sessions`] told, so that a number that was
    /// taken up again by somebody else is not hit.
    ///
    /// # Errors
    /// It is still there, or the target could not be asked.
    async fn end_session(&self, session: &LiveSession) -> Result<bool, ConnectorError>;

    /// Removes what bears a grant's mark but belongs to no grant that is known (I7).
    ///
    /// # Errors
    /// It is tried again with the next sweep.
    async fn remove_orphan(
        &self,
        grant: GrantId,
        clock: &dyn Clock,
    ) -> Result<Finding, ConnectorError>;

    /// Clears away what may go by now, such as a deny that outlived the credentials it was for.
    ///
    /// # Errors
    /// It is tried again with the next sweep.
    async fn prune(&self, now: Timestamp) -> Result<(), ConnectorError>;
}

/// Something that the connector needs on its target and does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What is missing, and what does not work without it.
    pub what: String,
    /// What an operator runs, or changes, to cure it.
    pub cure: String,
}

/// The time, for those who must note when they saw something.
pub trait Clock: Send + Sync {
    /// The wall clock's time, UTC.
    fn now(&self) -> Timestamp;
}
