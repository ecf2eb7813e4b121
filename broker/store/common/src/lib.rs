//! What both stores share: how values become rows and rows become values again, and which rows are
//! believed. There is no SQL here, so that a document, a hash or a seal cannot differ between the
//! two databases.

mod audit;
mod delegations;
mod documents;
mod flow_sets;
mod key_file;
mod log;
mod notices;
mod opening;
mod page;
mod seal;
mod seals;
mod sightings;
mod standing;
#[cfg(test)]
mod tests;
mod wanted;

pub use audit::{HeadRow, append};
pub use delegations::DelegationRow;
pub use documents::{AgentRow, Document, GrantRow, RequestRow, Row, TokenRow, encode};
pub use flow_sets::{FlowSetRow, Shelf, applied, flow_set, listed};
pub use key_file::{SealKeyError, SealKeyFile};
pub use log::Book;
pub use notices::{BacklogRow, NoticeRow, short_error};
pub use opening::{Found, Opening, Sealing, opening};
pub use page::Page;
pub use seal::{SealBroken, SealKey, Sealed, Table};
pub use seals::{Seals, Written};
pub use sightings::SightingRow;
pub use standing::Standing;
pub use wanted::{due_grant, due_request, grant_wanted, request_wanted};

use std::error::Error;

use ebbgate_broker_ports::{StoreError, store::Change};
use ebbgate_domain::Timestamp;

/// Turns an error of the database into [`StoreError::Failed`].
pub fn failed<E>(doing: &'static str) -> impl FnOnce(E) -> StoreError
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    move |source| StoreError::Failed { doing, source: source.into() }
}

/// A moment as columns hold it: nanoseconds since 1970, so that comparing columns is comparing
/// moments. What lies beyond the year 2262 becomes its last representable moment.
pub fn nanos(at: Timestamp) -> i64 {
    let nanos = at.as_nanosecond();
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// The moment that a column holds; every such number of nanoseconds is one.
pub fn moment(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default()
}

/// A counter as columns hold it.
///
/// # Errors
/// Beyond 2^63.
pub fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(failed("store a number"))
}

/// The counter that a column holds.
///
/// # Errors
/// It is negative: somebody wrote into the database by hand.
pub fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(failed("read a number"))
}

/// A change without an event has no moment, and would break the rule that every change is on
/// record (I11).
#[derive(Debug, thiserror::Error)]
#[error("a change that spends an enrolment token must say so in the audit log")]
struct Unsaid;

/// When an enrolment token is spent: at the moment of the change's first event.
///
/// # Errors
/// There is none.
pub fn spent_at(change: &Change) -> Result<i64, StoreError> {
    let first = change.events.first().ok_or(Unsaid);
    first.map(|event| nanos(event.at)).map_err(failed("spend an enrolment token"))
}

#[cfg(test)]
mod moments {
    use super::*;

    #[test]
    fn moments_are_kept_exactly() {
        let at: Timestamp = "2026-03-01T10:00:00.123456789Z".parse().unwrap();
        assert_eq!(moment(nanos(at)), at);
        assert_eq!(moment(i64::MIN).to_string(), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(nanos(Timestamp::MAX), i64::MAX);
        assert_eq!(nanos(Timestamp::MIN), i64::MIN);
    }

    #[test]
    fn spending_without_a_word_is_refused() {
        let error = spent_at(&Change::default()).unwrap_err();
        assert_eq!(error.to_string(), "the store could not spend an enrolment token");
    }
}
