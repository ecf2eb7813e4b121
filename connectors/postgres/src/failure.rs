//! What PostgreSQL refused or why it could not be asked, told apart by what helps.

use std::time::Duration;

use ebbgate_connector_api::{ConnectorError, ErrorKind};

/// A statement or a connection failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server answered with an error.
    Server(ServerError),
    /// There was no proper answer.
    Connection(sqlx::Error),
    /// There was no answer in time.
    Silent(Duration),
}

/// The server's error. The fields that could repeat the statement (position, context, internal
/// query) are left out.
#[derive(Debug, thiserror::Error)]
#[error("{message}{} (SQLSTATE {code})", self.more())]
pub(crate) struct ServerError {
    code: String,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl ServerError {
    fn more(&self) -> String {
        [&self.detail, &self.hint]
            .into_iter()
            .flatten()
            .fold(String::new(), |text, more| text + "; " + more.replace('\n', "; ").as_str())
    }
}

/// The server did not answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} ms", .0.as_millis())]
struct NoAnswer(Duration);

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let error = error.downcast_ref::<sqlx::postgres::PgDatabaseError>();
                Self::Server(ServerError {
                    code: error.code().to_owned(),
                    message: error.message().to_owned(),
                    detail: error.detail().map(ToOwned::to_owned),
                    hint: error.hint().map(ToOwned::to_owned),
                })
            }
            other => Self::Connection(other),
        }
    }
}

impl Failure {
    /// The server's code, where it answered (PostgreSQL manual, appendix A).
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Server(error) => Some(&error.code),
            Self::Connection(_) | Self::Silent(_) => None,
        }
    }

    /// Whether the object is there already; 23505 is how a parallel `CREATE ROLE` loses.
    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(self.code(), Some("42710" | "23505"))
    }

    /// Whether an object that was just looked up is gone: a role, table or schema.
    pub(crate) fn is_missing_object(&self) -> bool {
        matches!(self.code(), Some("42704" | "42P01" | "3F000"))
    }

    /// Whether `SET ROLE` named a role that is gone: for a setting that is an unusable value.
    pub(crate) fn is_no_role_to_set(&self) -> bool {
        self.is_missing_object() || self.code() == Some("22023")
    }

    /// Whether somebody held a lock for too long.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        self.code() == Some("55P03")
    }

    /// Whether a right is missing.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.code() == Some("42501")
    }

    /// Whether something still depends on what is to be dropped.
    pub(crate) fn is_dependent(&self) -> bool {
        self.code() == Some("2BP01")
    }

    /// Whether the connection is of no more use: the server closed it (class 57P), or it was left
    /// in the middle of an exchange.
    pub(crate) fn ends_session(&self) -> bool {
        self.code().is_none_or(|code| code.starts_with("57P") || code.starts_with("08"))
    }

    /// What helps against it.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Silent(_)
            | Self::Connection(
                sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed,
            ) => ErrorKind::Unreachable,
            Self::Connection(_) => ErrorKind::Refused,
            Self::Server(error) => kind_of(&error.code),
        }
    }

    /// Takes `secret` out of everything that the server said.
    pub(crate) fn without(self, secret: &str) -> Self {
        let Self::Server(mut error) = self else {
            return self;
        };
        error.message = error.message.replace(secret, "…");
        for text in [&mut error.detail, &mut error.hint].into_iter().flatten() {
            *text = text.replace(secret, "…");
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
        }
    }
}

/// What helps against an error of that code.
fn kind_of(code: &str) -> ErrorKind {
    match code {
        // A full server, a statement that ran out of time, a server that stops, starts or stands by.
        "53300" | "57014" | "57P01" | "57P02" | "57P03" | "57P05" | "25006" => {
            ErrorKind::Unreachable
        }
        // Serialisation, deadlock, lock time-out. XX000 is 'tuple concurrently updated', whose text
        // depends on the server's language.
        "40001" | "40P01" | "55P03" | "XX000" => ErrorKind::Throttled,
        // Something still depends on what is to be dropped.
        "2BP01" => ErrorKind::StillPresent,
        code if code.starts_with("08") => ErrorKind::Unreachable,
        // Out of memory or disk.
        code if code.starts_with("53") => ErrorKind::Throttled,
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

    fn server_error(code: &str, message: &str) -> Failure {
        Failure::Server(ServerError {
            code: code.to_owned(),
            message: message.to_owned(),
            detail: Some("it stands in\nthe way".to_owned()),
            hint: None,
        })
    }

    #[rstest]
    #[case("08006", ErrorKind::Unreachable)]
    #[case("53300", ErrorKind::Unreachable)]
    #[case("57P03", ErrorKind::Unreachable)]
    #[case("57014", ErrorKind::Unreachable)]
    #[case("55P03", ErrorKind::Throttled)]
    #[case("XX000", ErrorKind::Throttled)]
    #[case("2BP01", ErrorKind::StillPresent)]
    #[case("42501", ErrorKind::Refused)]
    #[case("28P01", ErrorKind::Refused)]
    fn tells_apart_what_helps(#[case] code: &str, #[case] kind: ErrorKind) {
        assert_eq!(server_error(code, "no").kind(), kind);
    }

    #[test]
    fn says_what_the_server_said_in_one_line() {
        let error = server_error("42501", "permission denied").while_doing("make a role");
        assert_eq!(
            error.chain(),
            "could not make a role: permission denied; it stands in; the way (SQLSTATE 42501)"
        );
    }
}
