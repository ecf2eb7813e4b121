//! Seals: whoever can only write to the database cannot make the broker act, because what it acts
//! on bears a MAC under a key that is not in there. See docs/adr/0007-sealed-documents.md.

use std::fmt;

use aws_lc_rs::hmac;

/// Whose rows a seal is for: a seal of one table is none in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// Requests.
    Requests,
    /// Grants.
    Grants,
    /// Delegations.
    Delegations,
    /// Sets of flows.
    FlowSets,
    /// Agents.
    Agents,
    /// Enrolment tokens.
    Tokens,
    /// Notices on their way.
    Outbox,
    /// The audit chain's end.
    AuditHead,
}

impl Table {
    /// The table's name in the database; part of each seal, so it must stay.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Grants => "grants",
            Self::Delegations => "delegations",
            Self::FlowSets => "flow_sets",
            Self::Agents => "agents",
            Self::Tokens => "enrolment_tokens",
            Self::Outbox => "outbox",
            Self::AuditHead => "audit_head",
        }
    }
}

/// What a seal is of.
#[derive(Debug, Clone, Copy)]
pub struct Sealed<'a> {
    /// The row's table.
    pub table: Table,
    /// The row's id.
    pub id: &'a str,
    /// How often it was written; 0 where nobody counts.
    pub version: i64,
    /// The document, or what stands for it.
    pub content: &'a str,
}

/// Why a row is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealBroken {
    /// It has none.
    #[error("it bears no seal: it was not written by a broker of this store")]
    Missing,
    /// It has another one.
    #[error("its seal does not match: it was changed by somebody who lacks the broker's key")]
    Wrong,
    /// A column that it was found by says something else than its document.
    #[error("a column does not agree with its document: it was changed by hand")]
    Column,
    /// It is what the row once was.
    #[error("it was set back: the audit log says that it has gone further since")]
    SetBack,
    /// Nobody said that it was written.
    #[error("the audit log says nothing of it: it was not written by a broker of this store")]
    Unsaid,
    /// The audit log, which would tell whether a row was set back, is not what it was.
    #[error("the audit log is not as brokers wrote it, or is shorter than it was")]
    Log,
}

/// The key that seals are made with. It is never shown.
#[derive(Clone)]
pub struct SealKey(hmac::Key);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

impl SealKey {
    /// The key with these 32 bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// HMAC-SHA256 (RFC 2104) over all that a seal vouches for, each part with its length before
    /// it, so that no two lists of parts make one message.
    fn mac(&self, row: Sealed<'_>, since: u64) -> hmac::Tag {
        let Sealed { table, id, version, content } = row;
        let (version, since) = (version.to_be_bytes(), since.to_be_bytes());
        let name = table.name();
        let mut context = hmac::Context::with_key(&self.0);
        for part in [
            b"ebbgate-seal-1",
            name.as_bytes(),
            id.as_bytes(),
            &version,
            &since,
            content.as_bytes(),
        ] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign()
    }

    /// The row's seal: how many records the audit log had, at least, when the row was written, and
    /// the MAC in hex.
    pub fn seal(&self, row: Sealed<'_>, since: u64) -> String {
        format!("{since}:{}", hex::encode(self.mac(row, since)))
    }

    /// Whether `seal` is the row's; since which record the audit log may speak of it.
    ///
    /// # Errors
    /// [`SealBroken`].
    pub fn check(&self, row: Sealed<'_>, seal: Option<&str>) -> Result<u64, SealBroken> {
        let (since, mac) =
            seal.ok_or(SealBroken::Missing)?.split_once(':').ok_or(SealBroken::Wrong)?;
        let since = since.parse().map_err(|_| SealBroken::Wrong)?;
        let mut given = [0; 32];
        hex::decode_to_slice(mac, &mut given).map_err(|_| SealBroken::Wrong)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(self.mac(row, since).as_ref(), &given)
            .map_err(|_| SealBroken::Wrong)?;
        Ok(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Sealed<'_> =
        Sealed { table: Table::Grants, id: "grt_1", version: 3, content: "{\"a\":1}" };

    fn key() -> SealKey {
        SealKey::new(&[7; 32])
    }

    #[test]
    fn a_seal_is_for_one_row_in_one_version() {
        let seal = key().seal(ROW, 5);
        assert_eq!(key().check(ROW, Some(&seal)), Ok(5));
        for other in [
            Sealed { table: Table::Requests, ..ROW },
            Sealed { id: "grt_2", ..ROW },
            Sealed { version: 4, ..ROW },
            Sealed { content: "{\"a\":2}", ..ROW },
            // The same bytes, parted elsewhere.
            Sealed { id: "grt_", content: "1{\"a\":1}", ..ROW },
        ] {
            assert_eq!(key().check(other, Some(&seal)), Err(SealBroken::Wrong), "{other:?}");
        }
        let later = seal.replacen("5:", "6:", 1);
        assert_eq!(key().check(ROW, Some(&later)), Err(SealBroken::Wrong));
        assert_eq!(SealKey::new(&[8; 32]).check(ROW, Some(&seal)), Err(SealBroken::Wrong));
        assert_eq!(key().check(ROW, Some("broken")), Err(SealBroken::Wrong));
        assert_eq!(key().check(ROW, None), Err(SealBroken::Missing));
    }

    /// Seals that were written once must hold with the next version of the program.
    #[test]
    fn the_seal_of_a_row_stays_what_it_is() {
        let expected = "5:ceceb13660ec7be2fa977fbb722d1ea37871bfc044326d753f6c20f6b92f487e";
        assert_eq!(key().seal(ROW, 5), expected);
    }

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", key()), "SealKey(…)");
    }
}
