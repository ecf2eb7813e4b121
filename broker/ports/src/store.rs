//! The store: where state, audit log and outbox rest. They change together or not at all (I11).

mod records;

use async_trait::async_trait;
use ebbgate_domain::{
    Timestamp,
    audit::{AuditEvent, AuditRecord},
    delegation::Delegation,
    flow_set::FlowSet,
    grant::Grant,
    ids::{AgentId, GrantId, NoticeId, RequestId, TokenId},
    names::{ChannelName, IntegrationName, PrincipalId, ResourceId},
    request::AccessRequest,
};

pub use records::{
    AgentRecord, AgentRevocation, Applied, Backlog, EnrolmentToken, IdempotencyKey, OutboxItem,
    Sighting,
};

/// A value and how often it was written, for compare-and-swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// 1 when it was inserted, one more with each update.
    pub version: u64,
    /// The value.
    pub value: T,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Write<T> {
    /// Must not exist yet.
    Insert(T),
    /// Must still have this version.
    Update(Versioned<T>),
}

/// Everything that one decision changes; committed in one transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// Requests.
    pub requests: Vec<Write<AccessRequest>>,
    /// Grants.
    pub grants: Vec<Write<Grant>>,
    /// Delegations.
    pub delegations: Vec<Write<Delegation>>,
    /// Agents, inserted or replaced by id. An enrolment under a name that another agent bears
    /// retires that one.
    pub agents: Vec<AgentRecord>,
    /// New enrolment tokens.
    pub tokens: Vec<EnrolmentToken>,
    /// An enrolment token that this change spends; the commit fails where it is spent already.
    pub spend: Option<TokenId>,
    /// Flows that are applied. Their number must be one more than that of those before, and an
    /// event must tell it.
    pub flows: Option<FlowSet>,
    /// What the audit log says of it, in this order.
    pub events: Vec<AuditEvent>,
    /// What people are told of it.
    pub notices: Vec<OutboxItem>,
    /// A channel whose set-aside notices are due again, as if they had never failed.
    pub replay: Option<ChannelName>,
    /// The idempotency key under which it was asked for.
    pub idempotency: Option<IdempotencyKey>,
}

/// What nobody needs any more. What the audit log says of it stays, so that none of it can be put
/// back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// Idempotency keys that were used before this.
    pub keys_before: Timestamp,
    /// Enrolment tokens that were spent, or ended unspent, before this.
    pub tokens_before: Timestamp,
    /// Agents; one that is not retired stays all the same.
    pub agents: Vec<AgentId>,
}

/// How much was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Idempotency keys.
    pub keys: u64,
    /// Enrolment tokens.
    pub tokens: u64,
    /// Agents.
    pub agents: u64,
}

/// Which requests are wanted. Newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestQuery {
    /// Only this person's.
    pub requester: Option<PrincipalId>,
    /// Only those that wait for a decision.
    pub pending: bool,
    /// Only those that are not over.
    pub open: bool,
    /// Only those older than this one.
    pub before: Option<RequestId>,
    /// At most so many.
    pub limit: u32,
}

/// Which grants are wanted. Newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantQuery {
    /// Only this person's.
    pub principal: Option<PrincipalId>,
    /// Only this request's.
    pub request: Option<RequestId>,
    /// Only on these integrations, where any are named.
    pub integrations: Vec<IntegrationName>,
    /// Only those that are not over.
    pub live: bool,
    /// Only those older than this one.
    pub before: Option<GrantId>,
    /// At most so many.
    pub limit: u32,
}

/// The end of the audit chain, as the store remembers it beside the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    /// How many records there are.
    pub records: u64,
    /// The last one's hash; 64 zeros where there is none.
    pub hash: String,
}

/// Why a store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else was faster: read again and decide anew.
    #[error("another change came first")]
    Conflict,
    /// The idempotency key was used before.
    #[error("the idempotency key was used before")]
    KeyUsed,
    /// The token is unknown, or spent already.
    #[error("the enrolment token is spent")]
    TokenSpent,
    /// A record that cannot be read. It names the record, so that the others can go on.
    #[error("record {id} cannot be read")]
    Unreadable {
        /// Which one.
        id: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A record that no broker of this store wrote, or that was set back to what it once was. It
    /// names the record, so that the others can go on.
    #[error("{id} in {table} is not believed")]
    NotBelieved {
        /// In which table.
        table: &'static str,
        /// Which one.
        id: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database failed.
    #[error("the store could not {doing}")]
    Failed {
        /// What it was doing.
        doing: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Where everything rests. A list skips records that it cannot read or believe, and logs them: one bad
/// record never blocks the rest.
#[async_trait]
pub trait Store: Send + Sync {
    /// Writes all of `change` and appends its events to the audit chain, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::KeyUsed`], [`StoreError::TokenSpent`], or a failure.
    async fn commit(&self, change: Change) -> Result<(), StoreError>;

    /// One request.
    ///
    /// # Errors
    /// It cannot be read.
    async fn request(&self, id: RequestId) -> Result<Option<Versioned<AccessRequest>>, StoreError>;

    /// Requests by query.
    ///
    /// # Errors
    /// The database failed.
    async fn requests(
        &self,
        query: &RequestQuery,
    ) -> Result<Vec<Versioned<AccessRequest>>, StoreError>;

    /// Pending requests whose time to decide has passed, earliest first.
    ///
    /// # Errors
    /// The database failed.
    async fn due_requests(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Versioned<AccessRequest>>, StoreError>;

    /// One grant.
    ///
    /// # Errors
    /// It cannot be read.
    async fn grant(&self, id: GrantId) -> Result<Option<Versioned<Grant>>, StoreError>;

    /// Grants by query.
    ///
    /// # Errors
    /// The database failed.
    async fn grants(&self, query: &GrantQuery) -> Result<Vec<Versioned<Grant>>, StoreError>;

    /// Grants for which something is due, earliest first. Planned ones only on the integrations in
    /// `ready`, so that an absent agent's never crowd out the others.
    ///
    /// # Errors
    /// The database failed.
    async fn due_grants(
        &self,
        now: Timestamp,
        ready: &[IntegrationName],
        limit: u32,
    ) -> Result<Vec<Versioned<Grant>>, StoreError>;

    /// When the next grant or request is due that is not due by `now`; for sleeping no longer
    /// than needed.
    ///
    /// # Errors
    /// The database failed.
    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// The delegations that are not over at `now`, those that begin later too, in the order in which
    /// they were made.
    ///
    /// # Errors
    /// The database failed.
    async fn delegations(&self, now: Timestamp) -> Result<Vec<Versioned<Delegation>>, StoreError>;

    /// Notes that these resources are in the inventory at `at`.
    ///
    /// # Errors
    /// The database failed.
    async fn sight(&self, resources: &[ResourceId], at: Timestamp) -> Result<(), StoreError>;

    /// When each of these resources was seen, in the order of their ids; those that never were are
    /// left out.
    ///
    /// # Errors
    /// The database failed.
    async fn sightings(&self, resources: &[ResourceId]) -> Result<Vec<Sighting>, StoreError>;

    /// The flows that were applied last; none where that is not later than number `newer_than`,
    /// which costs no more than a look at the end of the log.
    ///
    /// # Errors
    /// The database failed.
    async fn applied_flows(&self, newer_than: u64) -> Result<Option<Applied>, StoreError>;

    /// Sets of flows that were applied, newest first; with `before` only those with a smaller number.
    ///
    /// # Errors
    /// The database failed.
    async fn flow_sets(&self, before: Option<u64>, limit: u32) -> Result<Vec<FlowSet>, StoreError>;

    /// What was done under an idempotency key.
    ///
    /// # Errors
    /// The database failed.
    async fn idempotency(
        &self,
        principal: &PrincipalId,
        key: &str,
    ) -> Result<Option<IdempotencyKey>, StoreError>;

    /// The token with this secret's hash, spent or not.
    ///
    /// # Errors
    /// The database failed.
    async fn enrolment_token(
        &self,
        secret_hash: &str,
    ) -> Result<Option<EnrolmentToken>, StoreError>;

    /// One agent.
    ///
    /// # Errors
    /// The database failed.
    async fn agent(&self, id: AgentId) -> Result<Option<AgentRecord>, StoreError>;

    /// All agents, by name.
    ///
    /// # Errors
    /// The database failed.
    async fn agents(&self) -> Result<Vec<AgentRecord>, StoreError>;

    /// Removes what nobody needs any more: of keys and tokens at most so many of each at once, so that
    /// nobody waits long for it.
    ///
    /// # Errors
    /// The database failed; what was removed until then stays so.
    async fn purge(&self, stale: &Stale, limit: u32) -> Result<Purged, StoreError>;

    /// Takes a channel's notices that are due and hides them from other takers until `until`; in the
    /// order in which they were put in, and of each request only the first that is not delivered.
    ///
    /// # Errors
    /// The database failed.
    async fn take_notices(
        &self,
        channel: &ChannelName,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<OutboxItem>, StoreError>;

    /// A notice was delivered.
    ///
    /// # Errors
    /// The database failed.
    async fn notice_delivered(&self, id: NoticeId) -> Result<(), StoreError>;

    /// A notice was not delivered, because of `why`; try it again at `next`, or set it aside.
    ///
    /// # Errors
    /// The database failed.
    async fn notice_failed(
        &self,
        id: NoticeId,
        next: Option<Timestamp>,
        why: &str,
    ) -> Result<(), StoreError>;

    /// How far each channel is behind that has undelivered notices; by name.
    ///
    /// # Errors
    /// The database failed.
    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError>;

    /// Audit records after number `after`, in order.
    ///
    /// # Errors
    /// The database failed.
    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError>;

    /// The chain's end.
    ///
    /// # Errors
    /// The database failed.
    async fn audit_head(&self) -> Result<AuditHead, StoreError>;

    /// Whether a broker of this store wrote the chain's end.
    ///
    /// # Errors
    /// The database failed.
    async fn audit_head_holds(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    /// How many records were found since the store was opened that are not believed.
    fn broken_seals(&self) -> u64 {
        0
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    async fn ping(&self) -> Result<(), StoreError>;
}
