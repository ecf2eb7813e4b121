//! Between the agents' protocol and the domain. Generated types stop here, and what makes no sense
//! goes no further.

mod heard;
mod said;

pub(crate) use heard::{Heard, Rejected, heard};
pub(crate) use said::{heartbeat, hello, report, session_ended, sessions};
