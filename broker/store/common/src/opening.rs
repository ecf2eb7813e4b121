//! What a store does about its seals when it is opened. See docs/adr/0007-sealed-documents.md for
//! why each of these is what it is.

use ebbgate_broker_ports::StoreError;

use crate::{HeadRow, Row, SealKey, SealKeyError, SealKeyFile, Sealed, Table, failed};

/// What is found in the database.
#[derive(Debug)]
pub struct Found {
    /// The audit chain's end.
    pub head: HeadRow,
    /// Whether there is any row beside it.
    pub rows: bool,
    /// Some of the newest requests, to tell a wrong key from a tampered end.
    pub requests: Vec<Row>,
}

/// What is to be done.
#[derive(Debug)]
pub enum Opening {
    /// Nothing: this is the key.
    Ready(SealKey),
    /// The store is new: its end, where it is still the beginning and bears no seal, gets this one.
    New(SealKey, HeadRow),
}

/// What is to be done about what was found. Only a store with nothing in it is sealed by itself: of
/// rows, nobody but an operator can say that they are right.
///
/// # Errors
/// The key is missing or another one, or the seals are.
pub fn opening(file: &SealKeyFile, found: Found) -> Result<Opening, StoreError> {
    decide(file, found).map_err(failed("open its seals"))
}

fn decide(file: &SealKeyFile, found: Found) -> Result<Opening, SealKeyError> {
    let key = file.read()?;
    let Found { head, rows, requests } = found;
    let is_new = head.seal.is_none() && head.records == 0 && !rows;
    if is_new {
        let key = key.map_or_else(|| file.read_or_make(), Ok)?;
        let end = head.sealed(&key);
        return Ok(Opening::New(key, end));
    }
    let sealed = head.seal.is_some() || requests.iter().any(|row| row.seal.is_some());
    let path = file.path();
    match key {
        Some(key) if fits(&key, &head, &requests) => Ok(Opening::Ready(key)),
        _ if !sealed => Err(SealKeyError::Unsealed { path }),
        Some(_) => Err(SealKeyError::Wrong { path }),
        None => Err(SealKeyError::Missing { path }),
    }
}

/// A key fits where the end's seal holds; where that was tampered with, where any other does.
fn fits(key: &SealKey, head: &HeadRow, requests: &[Row]) -> bool {
    let holds = |row: &Row| key.check(row.sealed(Table::Requests), row.seal.as_deref()).is_ok();
    head.holds(key).is_ok() || requests.iter().any(holds)
}

/// An operator's work of sealing what they vouch for.
#[derive(Debug)]
pub struct Sealing {
    key: Option<SealKey>,
    /// What bore no seal of the key, until now.
    pub found: Vec<(Table, String)>,
}

impl Sealing {
    /// With the store's key. A new one is made where there is none and seals are wanted.
    ///
    /// # Errors
    /// The key cannot be read or made.
    pub fn with(file: &SealKeyFile, accept: bool) -> Result<Self, StoreError> {
        let key = if accept { file.read_or_make().map(Some) } else { file.read() };
        Ok(Self { key: key.map_err(failed("seal its records"))?, found: Vec::new() })
    }

    /// The seal that a row needs; none where it bears it. Whoever vouches for a row does not set
    /// aside what the log says of it, from its first record on.
    pub fn look(&mut self, row: Sealed<'_>, seal: Option<&str>) -> Option<String> {
        let key = self.key.as_ref();
        if key.is_some_and(|key| key.check(row, seal).is_ok()) {
            return None;
        }
        self.found.push((row.table, row.id.to_owned()));
        key.map(|key| key.seal(row, 0))
    }

    /// The log's end with the seal that it needs; none where it bears it.
    pub fn end(&mut self, head: HeadRow) -> Option<HeadRow> {
        let key = self.key.as_ref();
        if key.is_some_and(|key| head.holds(key).is_ok()) {
            return None;
        }
        self.found.push((Table::AuditHead, "end".to_owned()));
        key.map(|key| head.sealed(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(records: i64, seal: Option<&SealKey>) -> Found {
        let head = HeadRow { records, hash: "0".repeat(64), seal: None };
        let head = seal.map_or(head.clone(), |key| head.sealed(key));
        Found { head, rows: false, requests: Vec::new() }
    }

    #[test]
    fn a_new_store_gets_a_key_and_is_opened_with_it_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = SealKeyFile::in_dir(directory.path());
        // A broker that dies before the seal is written begins anew with the same key.
        for _ in 0..2 {
            let Opening::New(key, end) = decide(&file, found(0, None)).unwrap() else {
                panic!("not new")
            };
            end.holds(&key).unwrap();
            assert!(matches!(decide(&file, found(7, Some(&key))).unwrap(), Opening::Ready(_)));
        }
    }

    #[test]
    fn each_way_in_which_key_and_seals_do_not_fit_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = SealKeyFile::in_dir(directory.path());
        let sealed = || found(7, Some(&SealKey::new(&[1; 32])));
        assert!(matches!(decide(&file, sealed()), Err(SealKeyError::Missing { .. })));
        let unsealed = || found(7, None);
        assert!(matches!(decide(&file, unsealed()), Err(SealKeyError::Unsealed { .. })));
        assert!(file.read().unwrap().is_none(), "no key is made for what nobody vouches for");
        file.read_or_make().unwrap();
        assert!(matches!(decide(&file, sealed()), Err(SealKeyError::Wrong { .. })));
        // Whoever removes all seals has nothing sealed anew.
        assert!(matches!(decide(&file, unsealed()), Err(SealKeyError::Unsealed { .. })));
        let rows = Found { rows: true, ..found(0, None) };
        assert!(matches!(decide(&file, rows), Err(SealKeyError::Unsealed { .. })));
    }

    #[test]
    fn a_tampered_end_alone_does_not_keep_the_store_shut() {
        let directory = tempfile::tempdir().unwrap();
        let file = SealKeyFile::in_dir(directory.path());
        let key = file.read_or_make().unwrap();
        let mut row =
            Row { id: "req_1".to_owned(), version: 1, document: "{}".to_owned(), seal: None };
        row.seal = Some(key.seal(row.sealed(Table::Requests), 0));
        let tampered = Found { requests: vec![row], ..found(7, None) };
        assert!(matches!(decide(&file, tampered).unwrap(), Opening::Ready(_)));
    }
}
