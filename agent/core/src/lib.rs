//! The agent's pure core: what it holds, what it does next, and nothing else. No IO, no async, no
//! clock: every function takes a [`Reading`] of the clocks and returns [`Step`]s.
//!
//! - [`AgentState`] is exactly the fold of the journal's [`Record`]s, so that a restart at any
//!   point finds again what was known.
//! - [`Agent`] adds what does not survive the process (which effects are running) and decides.
//!   A record always comes before the effect it announces (I1).

mod agent;
mod alarm;
mod backoff;
mod clocks;
mod credentials;
mod drift;
mod held;
mod orders;
mod overtaken;
mod partition;
mod reading;
mod record;
mod state;
mod step;
mod timers;
mod welcome;
mod work;

pub use agent::Agent;
pub use alarm::Alarm;
pub use clocks::ClockState;
pub use credentials::CredentialOrder;
pub use drift::Look;
pub use held::{Held, Stage};
pub use orders::Ordered;
pub use reading::{BootTime, LocalDeadline, Reading};
pub use record::Record;
pub use state::{AgentState, Contact};
pub use step::{Done, Effect, Failure, Outcome, Report, Step, SweepReport};
pub use welcome::Welcome;
