//! How a run ends: the exit codes that scripts rely on, and the one line that says why.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::{api::ApiError, output::StdoutClosed, text::printable};

/// The exit code of a run. The named ones are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Exit(u8);

impl Exit {
    pub(crate) const DONE: Self = Self(0);
    pub(crate) const ERROR: Self = Self(1);
    pub(crate) const DENIED: Self = Self(3);
    pub(crate) const WAITS: Self = Self(4);
    pub(crate) const EXPIRED: Self = Self(5);
    pub(crate) const UNREACHABLE: Self = Self(6);
    /// Also what the parser of arguments ends with.
    pub(crate) const USAGE: Self = Self(2);

    /// Passes on the code of a program that was run on the person's behalf.
    pub(crate) fn of_child(code: u8) -> Self {
        Self(code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// A failure that has an exit code of its own.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Stop {
    exit: Exit,
    message: String,
}

impl Stop {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

/// The code for a failure: that of the first cause which has one.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    error
        .chain()
        .find_map(|cause| {
            if cause.is::<StdoutClosed>() {
                return Some(Exit::DONE);
            }
            let stop = cause.downcast_ref::<Stop>().map(|stop| stop.exit);
            stop.or_else(|| cause.downcast_ref::<ApiError>().map(ApiError::exit))
        })
        .unwrap_or(Exit::ERROR)
}

/// What happened and why, on one line.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    printable(&format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_code_is_found_beneath_its_context() {
        let error = Err::<(), _>(Stop::new(Exit::EXPIRED, "it is over")).context("cannot go on");
        let error = error.unwrap_err();
        assert_eq!(exit_of(&error), Exit::EXPIRED);
        assert_eq!(one_line(&error), "cannot go on: it is over");
    }

    #[test]
    fn what_has_no_code_is_an_error_on_one_line() {
        let error = anyhow::anyhow!("first\nsecond");
        assert_eq!(exit_of(&error), Exit::ERROR);
        assert_eq!(one_line(&error), "first second");
    }
}
