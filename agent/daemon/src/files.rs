//! Files that are there whole or not at all, whenever the power goes.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// A call on the file system failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub(crate) struct FileError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// An error with what was being done, in words that fit after 'cannot'.
    pub(crate) fn new(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self { doing, path: path.to_owned(), source }
    }

    /// What sort of error it was.
    pub(crate) fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// Makes a directory that only its owner may look into; one that exists is left as it is.
///
/// # Errors
/// It can't be made.
pub(crate) fn make_private_dir(dir: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| FileError::new("make the directory", dir, error))
}

/// Reads a text file.
///
/// # Errors
/// It can't be read.
pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(|error| FileError::new("read", path, error))
}

/// The name under which a file's next version waits.
pub(crate) fn next_version(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Writes a file's next version to disk, beside it.
///
/// # Errors
/// It can't be written.
pub(crate) fn stage(path: &Path, content: &[u8], mode: u32) -> Result<File, FileError> {
    let next = next_version(path);
    let write = || {
        // A left-over might have another mode.
        remove_if_there(&next)?;
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&next)?;
        file.write_all(content)?;
        file.sync_all()?;
        Ok(file)
    };
    write().map_err(|error| {
        // What is written in part helps nobody, and may hold the space that was missing.
        drop(fs::remove_file(&next));
        FileError::new("write", &next, error)
    })
}

/// Puts a staged version in its place.
///
/// # Errors
/// It can't be renamed.
pub(crate) fn commit(path: &Path) -> Result<(), FileError> {
    fs::rename(next_version(path), path)
        .and_then(|()| sync_dir(path))
        .map_err(|error| FileError::new("replace", path, error))
}

/// Writes a file: afterwards it is there whole, or as it was before.
///
/// # Errors
/// It can't be written.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    stage(path, content, mode)?;
    commit(path)
}

/// Removes a file; one that is not there is no error.
///
/// # Errors
/// It can't be removed.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes a file's name in its directory last.
///
/// # Errors
/// The directory can't be synced.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_replaced_file_has_the_new_content_and_the_wanted_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        fs::write(&path, "old").unwrap();
        fs::write(next_version(&path), "left over from a crash").unwrap();
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(read(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!next_version(&path).exists());
    }

    #[test]
    fn an_error_names_the_file() {
        let error = read(Path::new("/nowhere/x")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nowhere/x");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
