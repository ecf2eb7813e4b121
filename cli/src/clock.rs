//! The one place where `ebb` reads the wall clock; everything else takes `now`.

use jiff::Timestamp;

/// The present moment, UTC.
#[expect(clippy::disallowed_methods, reason = "this is the adapter that reads the clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
