//! `ebbgate-relay FROM TO [FROM TO…]`: carries connections for those who are in a network namespace
//! of their own, and keeps that namespace alive. Prints `ready` when it listens everywhere.

use std::{env, future::pending};

use anyhow::{Result, ensure};
use ebbgate_tests::relay::{Listening, Place};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "whoever started it waits for that line")]
async fn main() -> Result<()> {
    let places: Vec<Place> = env::args().skip(1).map(|text| text.parse()).collect::<Result<_>>()?;
    ensure!(places.len().is_multiple_of(2), "usage: ebbgate-relay FROM TO [FROM TO…]");
    for pair in places.chunks_exact(2) {
        tokio::spawn(Listening::at(&pair[0]).await?.carry_to(pair[1].clone()));
    }
    println!("ready");
    pending().await
}
