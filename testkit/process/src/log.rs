//! What a server writes, and what of it belongs to the latest start.

use std::{
    fs::{self, File, OpenOptions},
    path::PathBuf,
};

use crate::{Error, io};

/// A server's log, from its latest start on.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    begin: u64,
}

impl Log {
    /// Opens it for a start: what was said before does not count.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn open(path: PathBuf) -> Result<(Self, File), Error> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(io("open a server's log"))?;
        let begin = file.metadata().map_err(io("look at a server's log"))?.len();
        Ok((Self { path, begin }, file))
    }

    /// What was said since that start.
    pub fn said(&self) -> String {
        let log = fs::read(&self.path).unwrap_or_default();
        let said = log.get(usize::try_from(self.begin).unwrap_or(0)..).unwrap_or_default();
        String::from_utf8_lossy(said).into_owned()
    }

    /// The last lines of that, for an error.
    pub fn tail(&self) -> String {
        last_lines(&self.said())
    }
}

/// The last dozen of lines.
pub fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
