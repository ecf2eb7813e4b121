//! What can go wrong on a target, told apart by what helps.

use std::{error::Error, fmt};

/// A call on a target failed.
#[derive(Debug)]
pub struct ConnectorError {
    kind: ErrorKind,
    doing: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What helps against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The target did not answer in time or at all: try again.
    Unreachable,
    /// The agent beside the target is not connected: try again when it is.
    AgentAway,
    /// The target is busy: try again later.
    Throttled,
    /// A right is missing, or the target's state forbids it: somebody must change something.
    Refused,
    /// What was asked for makes no sense on this target.
    Invalid,
    /// The teardown was done but a look at the target still shows access: try again.
    StillPresent,
}

impl ConnectorError {
    /// An error with what was being done, in words that fit after 'could not'.
    pub fn new(kind: ErrorKind, doing: impl Into<String>) -> Self {
        Self { kind, doing: doing.into(), source: None }
    }

    /// Adds the cause.
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What helps against it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether it may pass by itself.
    pub fn may_pass(&self) -> bool {
        match self.kind {
            ErrorKind::Unreachable
            | ErrorKind::AgentAway
            | ErrorKind::Throttled
            | ErrorKind::StillPresent => true,
            ErrorKind::Refused | ErrorKind::Invalid => false,
        }
    }

    /// The operation and its causes in one line, for records that hold text only.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for ConnectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}", self.doing)
    }
}

impl Error for ConnectorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| {
            let source: &(dyn Error + 'static) = source.as_ref();
            source
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_operation_and_keeps_the_cause_apart() {
        let error = ConnectorError::new(ErrorKind::Unreachable, "connect to db:5432")
            .because(std::io::Error::other("refused"));
        assert_eq!(error.to_string(), "could not connect to db:5432");
        assert_eq!(error.chain(), "could not connect to db:5432: refused");
        assert!(error.may_pass());
    }
}
