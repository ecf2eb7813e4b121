//! The machine's clock and randomness, as adapters of the ports.

use aws_lc_rs::{error::Unspecified, rand};
use ebbgate_broker_ports::{Clock, Ids};
use ebbgate_domain::{Timestamp, ids::Entropy};

/// The wall clock, in whole milliseconds: what is stored is what was decided on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock's adapter")]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}

/// Randomness of the operating system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemIds;

impl Ids for SystemIds {
    fn entropy(&self) -> Entropy {
        let mut entropy = [0; 10];
        // Without randomness there is nothing that this program may do.
        assert!(rand::fill(&mut entropy).is_ok(), "the system has no randomness");
        entropy
    }
}

/// 256 random bits in hex: the secret part of a token.
pub(crate) fn random_hex() -> Result<String, Unspecified> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}
