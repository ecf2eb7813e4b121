//! Reading requests that were written before they could need several approvals.

use serde::{Deserialize, Deserializer};

use crate::approval::Quorum;

#[derive(Deserialize)]
#[serde(untagged)]
enum Quorums {
    Several(Vec<Quorum>),
    One(Box<Quorum>),
    Automatic(()),
}

/// A list, or what stood there before: one, or null where the policy was automatic.
pub(super) fn quorums<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<Quorum>, D::Error> {
    Ok(match Quorums::deserialize(source)? {
        Quorums::Several(quorums) => quorums,
        Quorums::One(quorum) => vec![*quorum],
        Quorums::Automatic(()) => Vec::new(),
    })
}
