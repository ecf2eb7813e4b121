//! The journal on disk: records are on it before what they announce is done (I1).
//!
//! `journal.log` is only ever appended to, and replaced as a whole when it has grown. Where it
//! cannot be appended to (the disk is full, say), the next attempt replaces it by all that is known
//! then, so that nothing piles up and nothing is lost but to a crash in between.

#[cfg(test)]
mod former;
mod frame;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use ebbgate_agent_core::{AgentState, Record};

pub(crate) use frame::Damage;

use crate::{
    files::{self, FileError},
    telemetry::chain,
};

const NAME: &str = "journal.log";
/// Where a journal with unreadable lines is kept, for people to look at.
const DAMAGED: &str = "journal.damaged";
/// A journal below this size, in bytes, is not worth replacing while it is in use.
const WORTH_COMPACTING: u64 = 4 << 20;

/// The journal, open for writing. Whoever has it holds the directory's lock.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Where the next record goes.
    length: u64,
    /// The size from which it is replaced.
    compact_at: u64,
    /// Whether the file lacks records, so that it must be replaced before anything is appended.
    behind: bool,
}

/// A record could not be put on disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("cannot write the journal")]
    File(#[from] FileError),
    #[error("cannot write the journal's record as JSON")]
    Json(#[from] serde_json::Error),
}

/// What a journal told when it was opened.
pub(crate) struct Recovered {
    pub state: AgentState,
    pub damage: Vec<Damage>,
}

/// Reads the journal in `dir` without touching it; there may be none yet.
///
/// # Errors
/// It is there and can't be read.
pub(crate) fn look(dir: &Path) -> Result<Recovered, FileError> {
    let path = dir.join(NAME);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other.map_err(|error| FileError::new("read", &path, error))?,
    };
    let content = frame::decode(&bytes);
    Ok(Recovered { state: AgentState::fold(content.records), damage: content.damage })
}

impl Journal {
    /// Opens the journal in `dir`, or begins one. What can't be read is told and left out, and
    /// never hinders the start; a disk that is full doesn't either.
    ///
    /// # Errors
    /// It is there and can't be read, or can't be made.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Recovered), FileError> {
        let path = dir.join(NAME);
        let recovered = look(dir)?;
        let unreadable = recovered.damage.iter().any(|d| matches!(d, Damage::Unreadable { .. }));
        if unreadable && let Err(error) = keep_damaged(&path) {
            tracing::warn!(error = chain(&error), "the damaged journal is not kept");
        }
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| FileError::new("open", &path, error))?;
        let mut journal =
            Self { path, file, length: 0, compact_at: WORTH_COMPACTING, behind: true };
        // Written anew at once: that drops what is over, and a torn end. Should it fail, the next
        // append tries again.
        if let Err(error) = journal.compact(&recovered.state) {
            tracing::error!(
                alarm = "journal-not-written",
                error = chain(&error),
                "the journal cannot be written: no new grants are taken until it can"
            );
        }
        Ok((journal, recovered))
    }

    /// Puts records on disk; when this returns they are there. `state` has them applied already.
    ///
    /// # Errors
    /// They are not on disk. The next append, with whatever records, makes up for it.
    pub(crate) fn append(
        &mut self,
        records: &[Record],
        state: &AgentState,
    ) -> Result<(), JournalError> {
        if self.behind || self.length >= self.compact_at {
            return self.compact(state);
        }
        if records.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for record in records {
            frame::encode(record, &mut lines)?;
        }
        let written =
            self.file.write_all_at(&lines, self.length).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.length += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.behind = true;
                // A torn end is no harm; cut off, it gives its space back.
                drop(self.file.set_len(self.length));
                Err(FileError::new("append to", &self.path, error).into())
            }
        }
    }

    fn compact(&mut self, state: &AgentState) -> Result<(), JournalError> {
        let mut lines = Vec::new();
        for record in state.snapshot() {
            frame::encode(&record, &mut lines)?;
        }
        self.behind = true;
        let file = files::stage(&self.path, &lines, 0o600)?;
        files::commit(&self.path)?;
        self.file = file;
        self.length = lines.len() as u64;
        self.compact_at = WORTH_COMPACTING.max(self.length.saturating_mul(2));
        self.behind = false;
        Ok(())
    }
}

#[cfg(test)]
impl Journal {
    /// From now on the disk is full: no byte is taken, and there is no room for a new file either.
    pub(crate) fn break_it(&mut self) {
        self.file = File::options().write(true).open("/dev/full").unwrap();
        self.path = PathBuf::from("/nowhere").join(NAME);
    }

    /// There is room again, in `dir`.
    pub(crate) fn mend_it(&mut self, dir: &Path) {
        self.path = dir.join(NAME);
    }
}

/// A second name for the journal as it is, before it is replaced.
fn keep_damaged(path: &Path) -> Result<(), FileError> {
    let damaged = path.with_file_name(DAMAGED);
    files::remove_if_there(&damaged)
        .and_then(|()| fs::hard_link(path, &damaged))
        .map_err(|error| FileError::new("keep the damaged journal as", &damaged, error))
}

#[cfg(test)]
mod tests {
    use ebbgate_agent_core::Stage;
    use ebbgate_domain::order::Provisioned;

    use super::*;
    use crate::testing::{at, grant, provision_intended};

    fn append(
        journal: &mut Journal,
        state: &mut AgentState,
        record: Record,
    ) -> Result<(), JournalError> {
        state.apply(record.clone());
        journal.append(&[record], state)
    }

    /// A journal with one grant, provisioned.
    fn one_grant(dir: &Path) -> (Journal, AgentState) {
        let (mut journal, recovered) = Journal::open(dir).unwrap();
        let mut state = recovered.state;
        append(&mut journal, &mut state, provision_intended(1)).unwrap();
        append(
            &mut journal,
            &mut state,
            Record::Provisioned { grant: grant(1), told: Provisioned::default() },
        )
        .unwrap();
        (journal, state)
    }

    #[test]
    fn a_restart_finds_what_was_appended() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, state) = one_grant(dir.path());
        drop(journal);
        let (_, recovered) = Journal::open(dir.path()).unwrap();
        assert_eq!((recovered.state, recovered.damage), (state, vec![]));
    }

    #[test]
    fn looking_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (_journal, state) = one_grant(dir.path());
        let before = fs::read(dir.path().join(NAME)).unwrap();
        assert_eq!(look(dir.path()).unwrap().state, state);
        assert_eq!(fs::read(dir.path().join(NAME)).unwrap(), before);
        assert_eq!(look(Path::new("/nowhere")).unwrap().state, AgentState::default());
    }

    #[test]
    fn a_torn_end_costs_the_torn_record_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = one_grant(dir.path());
        drop(journal);
        let path = dir.path().join(NAME);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();

        let (mut journal, recovered) = Journal::open(dir.path()).unwrap();
        assert!(matches!(recovered.damage[..], [Damage::TornEnd { .. }]));
        assert_eq!(recovered.state.get(grant(1)).unwrap().stage, Stage::ProvisionIntended);
        // What is appended now is not hidden behind the torn end.
        let mut state = recovered.state;
        append(
            &mut journal,
            &mut state,
            Record::Provisioned { grant: grant(1), told: Provisioned::default() },
        )
        .unwrap();
        assert_eq!(look(dir.path()).unwrap().state, state);
    }

    #[test]
    fn an_unreadable_record_is_skipped_and_the_journal_kept_for_people() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, mut state) = one_grant(dir.path());
        append(&mut journal, &mut state, Record::SeqSeen { grant: grant(1), seq: 9 }).unwrap();
        drop(journal);
        let path = dir.path().join(NAME);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.windows(11).position(|w| w == b"provisioned").unwrap();
        bytes[middle] = b'X';
        fs::write(&path, &bytes).unwrap();

        let (_, recovered) = Journal::open(dir.path()).unwrap();
        assert!(matches!(recovered.damage[..], [Damage::Unreadable { .. }]));
        let held = recovered.state.get(grant(1)).unwrap();
        assert_eq!((&held.stage, held.seq), (&Stage::ProvisionIntended, 9));
        assert_eq!(fs::read(dir.path().join(DAMAGED)).unwrap(), bytes);
        assert!(look(dir.path()).unwrap().damage.is_empty(), "the journal itself is whole again");
    }

    #[test]
    fn a_full_disk_is_made_up_for_when_there_is_room_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, mut state) = one_grant(dir.path());
        journal.break_it();
        let record = Record::TeardownFailed { grant: grant(1), error: "away".to_owned() };
        let error = append(&mut journal, &mut state, record).unwrap_err();
        let JournalError::File(error) = error else { panic!("{error:?}") };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        append(&mut journal, &mut state, Record::Clock { at: at(50) }).unwrap_err();

        journal.mend_it(dir.path());
        append(&mut journal, &mut state, Record::SeqSeen { grant: grant(1), seq: 5 }).unwrap();
        assert_eq!(look(dir.path()).unwrap().state, state);
        append(&mut journal, &mut state, Record::SeqSeen { grant: grant(1), seq: 6 }).unwrap();
        assert_eq!(look(dir.path()).unwrap().state, state);
    }

    #[test]
    fn a_journal_that_has_grown_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, mut state) = one_grant(dir.path());
        journal.compact_at = journal.length + 1_000;
        for seq in 0..100 {
            append(&mut journal, &mut state, Record::SeqSeen { grant: grant(1), seq }).unwrap();
        }
        let size = fs::metadata(dir.path().join(NAME)).unwrap().len();
        assert!(size < 12_000, "{size}");
        assert_eq!(look(dir.path()).unwrap().state, state);
    }
}
