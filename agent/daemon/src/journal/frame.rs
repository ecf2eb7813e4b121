//! The journal's lines: `LENGTH CHECKSUM JSON`, so that a torn or damaged one is known as such and
//! the next can be found: JSON has no line break inside.

use aws_lc_rs::digest;
use ebbgate_agent_core::Record;

/// Hex digits of the JSON's SHA-256 that a line carries: chance, not malice, is guarded against.
const CHECKSUM: usize = 16;
/// Hex digits of the JSON's length in bytes.
const LENGTH: usize = 8;
const HEAD: usize = LENGTH + 1 + CHECKSUM + 1;

/// Something in the journal could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The last line is not whole: the power went while it was written, so nothing followed it.
    TornEnd {
        /// From which byte on.
        at: usize,
    },
    /// A line in the middle is damaged. It is skipped.
    Unreadable {
        /// From which byte on.
        at: usize,
        /// Why.
        reason: String,
    },
}

/// What a journal's bytes tell.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// Its records, in order.
    pub records: Vec<Record>,
    /// What could not be read.
    pub damage: Vec<Damage>,
    /// How many bytes are good: where the next record goes.
    pub length: usize,
}

/// A record as a line.
///
/// # Errors
/// It has no JSON form; none of ours lacks one.
pub(crate) fn encode(record: &Record, into: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let json = serde_json::to_string(record)?;
    into.extend_from_slice(format!("{:08x} {} ", json.len(), checksum(json.as_bytes())).as_bytes());
    into.extend_from_slice(json.as_bytes());
    into.push(b'\n');
    Ok(())
}

/// Reads all that can be read.
pub(crate) fn decode(bytes: &[u8]) -> Content {
    let mut content = Content::default();
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let next = at + line.len();
        match decode_line(line) {
            Ok(record) => content.records.push(record),
            Err(_) if next == bytes.len() => {
                content.damage.push(Damage::TornEnd { at });
                content.length = at;
                return content;
            }
            Err(reason) => content.damage.push(Damage::Unreadable { at, reason }),
        }
        at = next;
    }
    content.length = at;
    content
}

fn decode_line(line: &[u8]) -> Result<Record, String> {
    let line = line.strip_suffix(b"\n").ok_or("it has no end")?;
    let (head, json) = line.split_at_checked(HEAD).ok_or("it is too short")?;
    let head = str::from_utf8(head).map_err(|_| "its head is no text")?;
    let (length, rest) = head.split_at(LENGTH);
    if u32::from_str_radix(length, 16).ok().map(|length| length as usize) != Some(json.len()) {
        return Err("its length is not what it says".to_owned());
    }
    if rest.trim() != checksum(json) {
        return Err("its checksum does not match".to_owned());
    }
    serde_json::from_slice(json)
        .map_err(|error| format!("it is no record of this version: {error}"))
}

fn checksum(bytes: &[u8]) -> String {
    let mut hex = hex::encode(digest::digest(&digest::SHA256, bytes));
    hex.truncate(CHECKSUM);
    hex
}

#[cfg(test)]
mod tests {
    use ebbgate_domain::{Timestamp, ids::GrantId, order::Provisioned};

    use super::*;

    fn record(n: u8) -> Record {
        Record::Provisioned {
            grant: GrantId::new(Timestamp::UNIX_EPOCH, [n; 10]),
            told: Provisioned::default(),
        }
    }

    fn journal(records: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        (0..records).for_each(|n| encode(&record(n), &mut bytes).unwrap());
        bytes
    }

    #[test]
    fn reads_what_it_writes() {
        let content = decode(&journal(3));
        assert_eq!(content.records, [record(0), record(1), record(2)]);
        assert_eq!((content.damage, content.length), (vec![], journal(3).len()));
    }

    #[test]
    fn a_journal_cut_at_any_byte_keeps_what_is_whole() {
        let whole = journal(3);
        let line = whole.len() / 3;
        for cut in 0..whole.len() {
            let content = decode(&whole[..cut]);
            assert_eq!(content.records.len(), cut / line, "cut at {cut}");
            assert_eq!(content.length, cut / line * line, "cut at {cut}");
            let torn = cut % line != 0;
            assert_eq!(content.damage.len(), usize::from(torn), "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_skipped_and_told() {
        let whole = journal(3);
        let line = whole.len() / 3;
        // Every byte of the middle line but its end, which would merge two lines.
        for byte in line..2 * line - 1 {
            let mut damaged = whole.clone();
            damaged[byte] ^= 0x10;
            let content = decode(&damaged);
            assert_eq!(content.records, [record(0), record(2)], "byte {byte}");
            assert!(matches!(content.damage[..], [Damage::Unreadable { at, .. }] if at == line));
            assert_eq!(content.length, whole.len());
        }
    }

    #[test]
    fn zeroes_after_a_power_cut_are_a_torn_end() {
        let mut bytes = journal(2);
        let good = bytes.len();
        bytes.resize(good + 4_096, 0);
        let content = decode(&bytes);
        assert_eq!((content.records.len(), content.length), (2, good));
        assert_eq!(content.damage, [Damage::TornEnd { at: good }]);
    }
}
