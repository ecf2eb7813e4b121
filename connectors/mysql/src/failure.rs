//! What the server refused or why it could not be asked, told apart by what helps.

use std::time::Duration;

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use sqlx::mysql::MySqlDatabaseError;

/// A statement or a connection failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server answered with an error.
    Server(ServerError),
    /// There was no proper answer.
    Connection(sqlx::Error),
    /// There was no answer in time.
    Silent(Duration),
    /// The server does not show us a definition.
    Unreadable,
}

/// The server's error.
#[derive(Debug, thiserror::Error)]
#[error("{message} (error {code})")]
pub(crate) struct ServerError {
    code: u16,
    message: String,
}

/// The server kept a definition to itself.
#[derive(Debug, thiserror::Error)]
#[error(
    "the connector's account may not read its definition: it needs all rights on that database"
)]
struct NotShown;

/// The server did not answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} ms", .0.as_millis())]
struct NoAnswer(Duration);

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let error = error.downcast_ref::<MySqlDatabaseError>();
                Self::Server(ServerError {
                    code: error.number(),
                    message: error.message().to_owned(),
                })
            }
            other => Self::Connection(other),
        }
    }
}

impl Failure {
    /// The server's code, where it answered (MariaDB: "MariaDB Error Codes"; MySQL: "Server Error
    /// Message Reference").
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Server(error) => Some(error.code),
            Self::Connection(_) | Self::Silent(_) | Self::Unreadable => None,
        }
    }

    /// Whether the account or role is not there: for `ALTER USER`, for `SHOW GRANTS`.
    pub(crate) fn is_missing_account(&self) -> bool {
        matches!(self.code(), Some(1396 | 1141 | 1133 | 3162))
    }

    /// Whether a role that was just looked up is gone.
    pub(crate) fn is_missing_role(&self) -> bool {
        matches!(self.code(), Some(1959 | 3523))
    }

    /// Whether an object that was just looked up is gone: a table or view, a routine, a trigger, an
    /// event, a database.
    pub(crate) fn is_missing_object(&self) -> bool {
        matches!(self.code(), Some(1146 | 1305 | 1360 | 1539 | 1049))
    }

    /// Whether two words of a statement exclude each other, such as `OR REPLACE` and `IF NOT EXISTS`.
    pub(crate) fn is_wrong_usage(&self) -> bool {
        self.code() == Some(1221)
    }

    /// Whether a statement is none that this server prepares.
    pub(crate) fn is_not_prepared(&self) -> bool {
        self.code() == Some(1295)
    }

    /// Whether the server would never do it, for a reason other than the account's rights.
    pub(crate) fn is_hopeless(&self) -> bool {
        matches!(self, Self::Server(_)) && self.kind() == ErrorKind::Refused && !self.is_forbidden()
    }

    /// Whether there is no such session.
    pub(crate) fn is_missing_session(&self) -> bool {
        self.code() == Some(1094)
    }

    /// Whether a right is missing.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self.code(), Some(1044 | 1045 | 1095 | 1142 | 1227 | 1370 | 1410 | 1698 | 3530))
    }

    /// Whether the connection is of no more use: the server closed it, or it was left in the middle
    /// of an exchange.
    pub(crate) fn ends_session(&self) -> bool {
        let in_order = matches!(self, Self::Unreadable);
        !in_order
            && self
                .code()
                .is_none_or(|code| matches!(code, 1053 | 1077..=1080 | 1158..=1161 | 1927))
    }

    /// What helps against it.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Silent(_)
            | Self::Connection(
                sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed,
            ) => ErrorKind::Unreachable,
            Self::Connection(_) | Self::Unreadable => ErrorKind::Refused,
            Self::Server(error) => kind_of(error.code),
        }
    }

    /// Takes `secrets` out of everything that the server said.
    pub(crate) fn without(self, secrets: &[&str]) -> Self {
        let Self::Server(mut error) = self else {
            return self;
        };
        for secret in secrets {
            error.message = error.message.replace(secret, "…");
        }
        Self::Server(error)
    }

    /// The failure as the contract tells it; `doing` fits after 'could not'.
    pub(crate) fn while_doing(self, doing: impl Into<String>) -> ConnectorError {
        let error = ConnectorError::new(self.kind(), doing);
        match self {
            Self::Server(cause) => error.because(cause),
            Self::Connection(cause) => error.because(cause),
            Self::Silent(limit) => error.because(NoAnswer(limit)),
            Self::Unreadable => error.because(NotShown),
        }
    }
}

/// What helps against an error of that code.
fn kind_of(code: u16) -> ErrorKind {
    match code {
        // A full server, one that stops, a statement that was ended or ran out of time, a server
        // that is read-only because another one is the primary.
        1040
        | 1053
        | 1077..=1080
        | 1158..=1161
        | 1203
        | 1290
        | 1317
        | 1836
        | 1927
        | 1969
        | 3024 => ErrorKind::Unreachable,
        // A record changed, out of disk, memory, lock time-out, deadlock.
        1020 | 1021 | 1037 | 1038 | 1041 | 1114 | 1205 | 1206 | 1213 => ErrorKind::Throttled,
        _ => ErrorKind::Refused,
    }
}

/// Names the operation that failed.
pub(crate) trait Doing<T> {
    /// `doing` fits after 'could not'; it is only asked for when something failed.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, ConnectorError>;
}

impl<T> Doing<T> for Result<T, Failure> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, ConnectorError> {
        self.map_err(|failure| failure.while_doing(doing()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn server_error(code: u16, message: &str) -> Failure {
        Failure::Server(ServerError { code, message: message.to_owned() })
    }

    #[rstest]
    #[case(1040, ErrorKind::Unreachable)]
    #[case(1927, ErrorKind::Unreachable)]
    #[case(1969, ErrorKind::Unreachable)]
    #[case(1205, ErrorKind::Throttled)]
    #[case(1213, ErrorKind::Throttled)]
    #[case(1045, ErrorKind::Refused)]
    #[case(1227, ErrorKind::Refused)]
    fn tells_apart_what_helps(#[case] code: u16, #[case] kind: ErrorKind) {
        assert_eq!(server_error(code, "no").kind(), kind);
    }

    #[test]
    fn says_what_the_server_said_without_the_secret() {
        let failure = server_error(1064, "syntax error near '*24'").without(&["*24"]);
        assert_eq!(
            failure.while_doing("set a verifier").chain(),
            "could not set a verifier: syntax error near '…' (error 1064)"
        );
    }
}
