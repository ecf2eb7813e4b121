//! Sets of flow files that administrators apply: all files together, with a number that grows. Which
//! set is in force is a question of numbers; what a plan was made against, of the content's hash.

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::PrincipalId;

/// The longest name of a file, in characters.
const LONGEST_NAME: usize = 200;

/// A file with scopes, permissions, schedules and flows, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowFile {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// All files that were applied together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowSet {
    /// 1 for the first, one more with each.
    pub number: u64,
    /// The files, by name.
    pub files: Vec<FlowFile>,
    /// Who applied it.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
}

impl FlowSet {
    /// What tells its content from another's.
    pub fn version(&self) -> String {
        version(&self.files)
    }
}

/// What tells these files from others: the first 32 hex digits of SHA-256 over names and texts, each
/// with its length before it.
pub fn version(files: &[FlowFile]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in files.iter().flat_map(|file| [&file.name, &file.text]) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    hex::encode(&context.finish().as_ref()[..16])
}

/// Why files cannot be a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// A name that is none.
    #[error("'{0}' is no file name: use 1 to {LONGEST_NAME} visible characters")]
    None(String),
    /// A name that two files bear.
    #[error("two files are called '{0}'")]
    Twice(String),
}

/// The files in the order of their names.
///
/// # Errors
/// A name that is none, or that two bear.
pub fn in_order(mut files: Vec<FlowFile>) -> Result<Vec<FlowFile>, BadName> {
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let bad = |name: &str| {
        name.trim().is_empty()
            || name.chars().count() > LONGEST_NAME
            || name.chars().any(char::is_control)
    };
    if let Some(file) = files.iter().find(|file| bad(&file.name)) {
        return Err(BadName::None(file.name.clone()));
    }
    let twice = files.windows(2).find(|pair| pair[0].name == pair[1].name);
    match twice.map(|pair| pair[0].name.clone()) {
        Some(name) => Err(BadName::Twice(name)),
        None => Ok(files),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> FlowFile {
        FlowFile { name: name.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_version_is_of_names_and_texts() {
        let one = version(&[file("a.yaml", "x")]);
        assert_eq!(one, version(&[file("a.yaml", "x")]));
        for other in [
            vec![file("b.yaml", "x")],
            vec![file("a.yaml", "y")],
            vec![file("a.yaml", ""), file("", "x")],
            // The same bytes, parted elsewhere.
            vec![file("a.yam", "lx")],
            Vec::new(),
        ] {
            assert_ne!(one, version(&other), "{other:?}");
        }
    }

    #[test]
    fn files_are_ordered_by_names_that_are_good() {
        let ordered = in_order(vec![file("b", "2"), file("a", "1")]).unwrap();
        assert_eq!(ordered, [file("a", "1"), file("b", "2")]);
        let twice = in_order(vec![file("a", "2"), file("b", ""), file("a", "1")]).unwrap_err();
        assert_eq!(twice.to_string(), "two files are called 'a'");
        for bad in ["", " ", "a\nb", &"x".repeat(201)] {
            in_order(vec![file(bad, "")]).unwrap_err();
        }
    }
}
