//! What the seals need beside the database, where nobody who can only write to that can reach it:
//! the key, and a mark of how far the audit log had come.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use ebbgate_broker_ports::store::AuditHead;
use zeroize::Zeroizing;

use crate::SealKey;

/// Where the key lies, and the mark beside it.
#[derive(Debug, Clone)]
pub struct SealKeyFile {
    path: PathBuf,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SealKeyError {
    /// The file system said no.
    #[error("cannot {doing} {path}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} holds no key (64 hex digits): restore it from the back-up of its directory")]
    Malformed {
        /// Which file.
        path: String,
    },
    /// The mark's file holds something else.
    #[error(
        "{path} does not tell how far the audit log had come: restore it from the back-up of its \
         directory, or remove it if you trust what is in the store"
    )]
    MarkMalformed {
        /// Which file.
        path: String,
    },
    /// There is no randomness.
    #[error("there is no randomness for a new key")]
    Random,
    /// The rows are sealed, and the key is gone.
    #[error(
        "the store's records are sealed and {path}, the key, is missing: restore it from the \
         back-up of its directory, or copy it from another broker of this store"
    )]
    Missing {
        /// Which file.
        path: String,
    },
    /// The rows were sealed with another key.
    #[error(
        "{path} is not the key that the store's records were sealed with: restore both from one \
         back-up, or copy the file from another broker of this store"
    )]
    Wrong {
        /// Which file.
        path: String,
    },
    /// There are rows, and nobody has sealed them with the key that there is, if there is one.
    #[error(
        "the store's records bear no seals: they were written by a release of before there were \
         seals, or somebody removed them. If you trust what is in the store, stop all its brokers \
         and run `ebbgate-broker seal --accept` once, which seals it with the key in {path}"
    )]
    Unsealed {
        /// Which file.
        path: String,
    },
}

impl SealKeyFile {
    /// `seal.key` in this directory, which is made when the key is.
    pub fn in_dir(directory: &Path) -> Self {
        Self { path: directory.join("seal.key") }
    }

    /// The file's name.
    pub fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// The key, where there is one.
    ///
    /// # Errors
    /// The file cannot be read or holds no key.
    pub fn read(&self) -> Result<Option<SealKey>, SealKeyError> {
        let path = &self.path;
        let text = match fs::read(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", path)(error)),
        };
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_ascii(), bytes.as_mut())
            .map_err(|_| SealKeyError::Malformed { path: self.path() })?;
        Ok(Some(SealKey::new(&bytes)))
    }

    /// The key; a new one where there is none, durable before anything is sealed with it.
    ///
    /// # Errors
    /// There is no randomness, or the file cannot be read or written.
    pub fn read_or_make(&self) -> Result<SealKey, SealKeyError> {
        if let Some(key) = self.read()? {
            return Ok(key);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(bytes.as_mut()).map_err(|_| SealKeyError::Random)?;
        let text = Zeroizing::new(format!("{}\n", &*Zeroizing::new(hex::encode(*bytes))));
        match make(&self.path, text.as_bytes()) {
            Ok(()) => Ok(SealKey::new(&bytes)),
            // Another broker that shares the directory was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.read()?.ok_or_else(|| failed("read", &self.path)(error))
            }
            Err(error) => Err(failed("write", &self.path)(error)),
        }
    }

    /// How far the audit log had come when a broker last looked; none before the first time.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn mark(&self) -> Result<Option<AuditHead>, SealKeyError> {
        let path = self.mark_path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let mark = text.trim_end().split_once(' ').and_then(|(records, hash)| {
            Some(AuditHead { records: records.parse().ok()?, hash: hash.to_owned() })
        });
        let malformed = || SealKeyError::MarkMalformed { path: path.display().to_string() };
        Ok(Some(mark.ok_or_else(malformed)?))
    }

    /// Notes how far the audit log has come. Losing the newest mark with the machine's power only
    /// means that less of it is missed if somebody cuts it off right then.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_mark(&self, end: &AuditHead) -> Result<(), SealKeyError> {
        let path = self.mark_path();
        let new = beside(&path).map_err(failed("write", &path))?;
        let text = format!("{} {}\n", end.records, end.hash);
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(failed("write", &path))
    }

    fn mark_path(&self) -> PathBuf {
        self.path.with_file_name("log.mark")
    }
}

/// A name beside a file that nobody else uses meanwhile.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other(SealKeyError::Random))?;
    Ok(path.with_added_extension(format!("new-{}", hex::encode(random))))
}

/// Makes a file, whole or not at all, that is not there yet.
fn make(path: &Path, text: &[u8]) -> io::Result<()> {
    let directory =
        path.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let new = beside(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let made = file
        .write_all(text)
        .and_then(|()| file.sync_all())
        // Unlike a renaming, this never replaces what is there.
        .and_then(|()| fs::hard_link(&new, path));
    fs::remove_file(&new)?;
    made?;
    File::open(directory)?.sync_all()
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SealKeyError {
    let path = path.display().to_string();
    move |source| SealKeyError::File { doing, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::{Sealed, Table};

    const ROW: Sealed<'_> = Sealed { table: Table::Tokens, id: "a", version: 0, content: "" };

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = SealKeyFile::in_dir(&directory.path().join("made"));
        assert!(file.read().unwrap().is_none());
        let seal = file.read_or_make().unwrap().seal(ROW, 0);
        assert_eq!(file.read_or_make().unwrap().seal(ROW, 0), seal);
        assert_eq!(file.read().unwrap().unwrap().seal(ROW, 0), seal);
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let other = SealKeyFile::in_dir(directory.path());
        assert_ne!(other.read_or_make().unwrap().seal(ROW, 0), seal);
    }

    #[test]
    fn a_file_with_something_else_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = SealKeyFile::in_dir(directory.path());
        for text in ["", "abc", &"x".repeat(64), &"a".repeat(66)] {
            fs::write(file.path(), text).unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains(&file.path()) && error.contains("64 hex digits"), "{error}");
        }
    }

    #[test]
    fn a_mark_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = SealKeyFile::in_dir(directory.path());
        assert_eq!(file.mark().unwrap(), None);
        for records in [3, 9] {
            let end = AuditHead { records, hash: "0".repeat(64) };
            file.set_mark(&end).unwrap();
            assert_eq!(file.mark().unwrap(), Some(end));
        }
        fs::write(directory.path().join("log.mark"), "x").unwrap();
        let error = file.mark().unwrap_err().to_string();
        assert!(error.contains("log.mark"), "{error}");
    }
}
