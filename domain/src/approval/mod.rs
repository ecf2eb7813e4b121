//! Approval: from a flow's groups and what people said to a decision. Pure counting.
//!
//! One person counts once, however many groups list them, and a requester never counts (I9): each
//! needed voice is a *slot*, each approver is a *seat* that fills at most one of them, and the
//! groups are content when every slot can be filled (a maximum flow, see `matching`). Somebody may
//! speak in an absent approver's seat, but a seat is filled once, whoever speaks.
//!
//! Everything here is a function of the request and of people as they are at one moment.

mod case;
mod claim;
mod matching;
mod potential;
mod quorum;
mod review;
mod tally;
mod told;

pub use case::{Case, Decision};
pub use claim::{Claim, GroupAt};
pub use quorum::{FrozenGroup, FrozenStep, Quorum, Subjects};
pub use review::{Review, Standing, Verdict};
pub use tally::{GroupTally, NextStep, Tally};
pub use told::Told;

#[cfg(test)]
mod tests;
