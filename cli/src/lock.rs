//! One process at a time: a lock file, and what its holder leaves in it for those who wait.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use crate::files;

/// An exclusive lock between processes; it ends with its process, however that ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    waited: bool,
}

impl Lock {
    /// Waits for the lock and takes it.
    ///
    /// # Errors
    /// The file can't be made or locked; the error names it.
    pub(crate) fn take(path: &Path, now: Timestamp) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(files::PRIVATE);
        let name = path.display();
        let file = options.open(path).with_context(|| format!("cannot open {name}"))?;
        let waited = match file.try_lock() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock) => {
                file.lock().with_context(|| format!("cannot lock {name}"))?;
                true
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {name}"));
            }
        };
        // Shows housekeeping that it is in use.
        file.set_modified(now.into()).with_context(|| format!("cannot mark {name}"))?;
        Ok(Self { file, path: path.to_owned(), waited })
    }

    /// Whether somebody else had it when we came.
    pub(crate) fn had_to_wait(&self) -> bool {
        self.waited
    }

    /// What a holder left.
    ///
    /// # Errors
    /// The file can't be read; the error names it.
    pub(crate) fn read(&mut self) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        let read = self.file.rewind().and_then(|()| self.file.read_to_end(&mut content));
        read.with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(content)
    }

    /// Leaves something for those who wait.
    ///
    /// # Errors
    /// The file can't be written; the error names it.
    pub(crate) fn leave(&mut self, content: &[u8]) -> Result<()> {
        let emptied = self.file.rewind().and_then(|()| self.file.set_len(0));
        let written = emptied.and_then(|()| self.file.write_all(content));
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn who_waits_knows_and_finds_what_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let now = Timestamp::UNIX_EPOCH;
        let mut first = Lock::take(&path, now).unwrap();
        assert!(!first.had_to_wait());
        first.leave(b"something longer").unwrap();
        first.leave(b"short").unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let mut second = Lock::take(&path, now).unwrap();
                (second.had_to_wait(), second.read().unwrap())
            });
            // Linux lists who waits for a lock behind an arrow, with the file's inode.
            let inode = std::fs::metadata(&path).unwrap().ino();
            let waits = |line: &str| line.contains("->") && line.contains(&format!(":{inode} "));
            while !std::fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
                std::thread::yield_now();
            }
            drop(first);
            assert_eq!(second.join().unwrap(), (true, b"short".to_vec()));
        });
    }
}
