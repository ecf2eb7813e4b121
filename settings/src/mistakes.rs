//! Mistakes in a file, each with its place and what was probably meant.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// How grave a mistake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Severity {
    /// Nothing is read from the file.
    #[default]
    Error,
    /// It is read all the same; somebody should look at it.
    Warning,
}

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The file.
    pub file: PathBuf,
    /// Line and column from 1; none where the whole file is meant.
    pub place: Option<Place>,
    /// What is wrong, and what would be right.
    pub message: String,
    /// Whether it keeps the file from being used.
    pub severity: Severity,
}

impl Mistake {
    /// A mistake that concerns the whole file.
    pub fn of_file(file: &Path, message: impl Into<String>) -> Self {
        let severity = Severity::Error;
        Self { file: file.to_owned(), place: None, message: message.into(), severity }
    }

    /// Whether it keeps the file from being used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Line and column, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(place) = self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        let warning = if self.is_error() { "" } else { "warning: " };
        write!(f, ": {warning}{}", self.message)
    }
}

/// The mistakes found so far in one file.
#[derive(Debug)]
pub struct Mistakes {
    file: PathBuf,
    found: Vec<Mistake>,
}

impl Mistakes {
    /// None yet in this file.
    pub fn of(file: &Path) -> Self {
        Self { file: file.to_owned(), found: Vec::new() }
    }

    /// Adds one.
    pub fn add(&mut self, place: Place, message: impl ToString) {
        self.push(place, message.to_string(), Severity::Error);
    }

    /// Adds something that is no mistake yet somebody should look at.
    pub fn warn(&mut self, place: Place, message: impl ToString) {
        self.push(place, message.to_string(), Severity::Warning);
    }

    fn push(&mut self, place: Place, message: String, severity: Severity) {
        let place = (place.line > 0).then_some(place);
        self.found.push(Mistake { file: self.file.clone(), place, message, severity });
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All of them, in the order in which they were found.
    pub fn into_vec(self) -> Vec<Mistake> {
        self.found
    }
}

/// The most slips of the pen between a word and what it was meant to be.
const MOST_SLIPS: usize = 2;

/// Of some known words the one that was probably meant; none where all are too far.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(known, word), known))
        .filter(|(slips, _)| *slips <= MOST_SLIPS)
        .min()
        .map(|(_, known)| known)
}

/// `: did you mean 'X'?` where one of the known words is near; nothing otherwise.
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!(": did you mean '{near}'?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_says_so() {
        let mut mistakes = Mistakes::of(Path::new("x.yaml"));
        mistakes.warn(Place { line: 3, column: 5 }, "broad");
        let found = mistakes.into_vec();
        assert_eq!(found[0].to_string(), "x.yaml:3:5: warning: broad");
        assert!(!found[0].is_error());
    }

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let known = ["rds-prod", "rds-dev", "ec2-prod"];
        assert_eq!(nearest("rds-prd", known), Some("rds-prod"));
        assert_eq!(nearest("rds-pord", known), Some("rds-prod"));
        assert_eq!(nearest("reports", known), None);
        assert_eq!(suggestion("rds-dv", known), ": did you mean 'rds-dev'?");
    }
}
