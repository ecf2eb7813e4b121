//! The hash chain of the audit log.
//!
//! Each record's hash covers its number, its predecessor's hash and its body, so a changed, removed
//! or inserted record breaks the chain at that place. Whoever can rewrite the whole log can
//! rewrite the chain too; therefore the head's hash is exported and logged, for safe keeping
//! elsewhere.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

/// A link of the chain: SHA-256, written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash([u8; 32]);

impl Hash {
    /// What stands before the first record.
    pub const GENESIS: Self = Self([0; 32]);

    /// The hash of record `seq` whose predecessor's hash is `self` and whose body is `body`,
    /// byte for byte as stored.
    pub fn then(&self, seq: u64, body: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"ebbgate-audit-1\0");
        context.update(&self.0);
        context.update(&seq.to_be_bytes());
        context.update(body.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self(hash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hex digits")]
pub struct InvalidHash;

impl FromStr for Hash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| InvalidHash)?;
        Ok(Self(hash))
    }
}

impl TryFrom<String> for Hash {
    type Error = InvalidHash;

    fn try_from(text: String) -> Result<Self, InvalidHash> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> String {
        hash.to_string()
    }
}

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// Its predecessor's hash.
    pub prev_hash: String,
    /// Its own hash.
    pub hash: String,
    /// The event as JSON, byte for byte as it was hashed.
    pub body: String,
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("audit record {seq} is broken: {reason}")]
pub struct BrokenChain {
    /// The first record that is not as it was written.
    pub seq: u64,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Walks a chain record by record.
#[derive(Debug, Clone)]
pub struct ChainWalk {
    next: u64,
    head: Hash,
}

impl Default for ChainWalk {
    fn default() -> Self {
        Self { next: 1, head: Hash::GENESIS }
    }
}

impl ChainWalk {
    /// A walk that goes on after so many records, of which the last one's hash is `head`.
    pub fn after(records: u64, head: Hash) -> Self {
        Self { next: records.saturating_add(1), head }
    }

    /// Checks the next record.
    ///
    /// # Errors
    /// Names the record where the chain breaks, and how.
    pub fn step(&mut self, record: &AuditRecord) -> Result<(), BrokenChain> {
        let broken = |seq, reason| Err(BrokenChain { seq, reason });
        if record.seq != self.next {
            return broken(self.next, "it is missing");
        }
        if record.prev_hash != self.head.to_string() {
            return broken(record.seq, "it does not follow its predecessor");
        }
        let hash = self.head.then(record.seq, &record.body);
        if record.hash != hash.to_string() {
            return broken(record.seq, "its content does not match its hash");
        }
        self.next += 1;
        self.head = hash;
        Ok(())
    }

    /// Checks the end against what the store remembers of it: how many records, and the last hash.
    ///
    /// # Errors
    /// Names the first missing record where the tail was cut off.
    pub fn finish(&self, records: u64, head: &str) -> Result<(), BrokenChain> {
        if self.records() != records {
            return Err(BrokenChain { seq: self.next, reason: "it is missing" });
        }
        if self.head.to_string() != head {
            return Err(BrokenChain {
                seq: records,
                reason: "it is not the head that was recorded",
            });
        }
        Ok(())
    }

    /// How many records were good so far.
    pub fn records(&self) -> u64 {
        self.next - 1
    }

    /// The last good record's hash.
    pub fn head(&self) -> Hash {
        self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(bodies: &[&str]) -> Vec<AuditRecord> {
        let mut head = Hash::GENESIS;
        bodies
            .iter()
            .zip(1..)
            .map(|(body, seq)| {
                let prev_hash = head.to_string();
                head = head.then(seq, body);
                AuditRecord { seq, prev_hash, hash: head.to_string(), body: (*body).to_owned() }
            })
            .collect()
    }

    fn walk(records: &[AuditRecord]) -> Result<ChainWalk, BrokenChain> {
        let mut walk = ChainWalk::default();
        records.iter().try_for_each(|record| walk.step(record))?;
        Ok(walk)
    }

    #[test]
    fn a_whole_chain_is_whole() {
        let records = chain(&["a", "b", "c"]);
        let walk = walk(&records).unwrap();
        walk.finish(3, &records[2].hash).unwrap();
    }

    #[test]
    fn a_walk_goes_on_where_another_one_stopped() {
        let records = chain(&["a", "b", "c"]);
        let half = walk(&records[..2]).unwrap();
        let mut rest = ChainWalk::after(half.records(), half.head());
        rest.step(&records[2]).unwrap();
        rest.finish(3, &records[2].hash).unwrap();
    }

    #[test]
    fn names_the_first_broken_record() {
        let mut changed = chain(&["a", "b", "c"]);
        changed[1].body = "B".to_owned();
        assert_eq!(walk(&changed).unwrap_err().seq, 2);

        let mut removed = chain(&["a", "b", "c"]);
        removed.remove(1);
        assert_eq!(walk(&removed).unwrap_err().seq, 2);

        let mut rehashed = chain(&["a", "b", "c"]);
        rehashed[1].body = "B".to_owned();
        rehashed[1].hash = rehashed[0].hash.parse::<Hash>().unwrap().then(2, "B").to_string();
        assert_eq!(walk(&rehashed).unwrap_err().seq, 3);

        let cut = chain(&["a", "b", "c"]);
        let broken = walk(&cut[..2]).unwrap().finish(3, &cut[2].hash).unwrap_err();
        assert_eq!(broken.seq, 3);
    }
}
