//! What happened, line by line; and how often what was tried.

use std::{collections::BTreeMap, fmt, fmt::Write as _};

use crate::kernel::{Millis, Node};

/// A run's story.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    lines: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl Trace {
    pub(crate) fn note(&mut self, at: Millis, node: Node, what: fmt::Arguments<'_>) {
        let mut line = String::with_capacity(96);
        let seconds = at / 1_000;
        // Writing into a String cannot fail.
        let written = write!(line, "{seconds:>6}.{:03} {:<8} {what}", at % 1_000, node.to_string());
        debug_assert!(written.is_ok());
        self.lines.push(line);
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// The lines, in their order: seconds of true time, the node, what it did.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// How often each thing that is worth counting happened.
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }
}
