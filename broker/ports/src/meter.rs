//! What is counted. The adapter decides how it is shown.

use ebbgate_domain::{Timestamp, grant::Grant, order::Finding};

/// Counts what matters to the promise that access ends on time.
pub trait Meter: Send + Sync {
    /// A grant became active.
    fn activated(&self, grant: &Grant, at: Timestamp);
    /// A grant was torn down and verified.
    fn torn_down(&self, grant: &Grant, finding: &Finding);
    /// A teardown is stuck; told at start for those that were stuck before.
    fn stuck(&self, grant: &Grant);
    /// An attempt to tear down failed.
    fn teardown_failed(&self, grant: &Grant);
    /// Somebody was refused, with this code.
    fn refused(&self, code: &'static str);
}
