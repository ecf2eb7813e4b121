//! The one place where the harness reads the clock; what it tests must not, outside its adapters.

use jiff::Timestamp;

/// The moment now, by the wall clock of this machine.
#[expect(clippy::disallowed_methods, reason = "a black-box test observes real time, in one place")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
