//! Why a call to the broker failed: it was not reached, it said no, or it wasn't understood.

use std::{fmt, io};

use serde::Deserialize;

use crate::{broker_url::BrokerUrl, exit::Exit};

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// No answer came.
    #[error("cannot reach the broker at {broker} ({advice})")]
    Unreachable {
        broker: BrokerUrl,
        /// The way out.
        advice: &'static str,
        #[source]
        cause: Cause,
    },
    /// The broker answered with a problem document.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// An answer that can't be understood.
    #[error("the answer of {broker} to {call} is not one of a broker's API (HTTP {status})")]
    Strange {
        broker: BrokerUrl,
        /// Method and path.
        call: String,
        status: u16,
        #[source]
        cause: Option<Cause>,
    },
}

/// The deepest cause, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Cause(String);

/// A problem document (RFC 9457) with the API's stable `code`.
#[derive(Debug, Clone, Default, Deserialize, thiserror::Error)]
#[serde(default)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) code: String,
    title: String,
    detail: String,
    errors: Vec<FieldError>,
}

/// What is wrong with one field of what was sent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct FieldError {
    field: String,
    message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.detail.is_empty() { &self.title } else { &self.detail })?;
        for FieldError { field, message } in &self.errors {
            write!(f, "; {field}: {message}")?;
        }
        if self.code == "unauthenticated" {
            f.write_str("; log in with `ebb login`")?;
        }
        write!(f, " ({})", self.code)
    }
}

impl Problem {
    fn exit(&self) -> Exit {
        match (self.code.as_str(), self.status) {
            ("grant_expired" | "request_lapsed", _) | (_, 410) => Exit::EXPIRED,
            (_, 401 | 403) => Exit::DENIED,
            _ => Exit::ERROR,
        }
    }
}

impl ApiError {
    /// Reads why no answer came.
    pub(super) fn unreachable(broker: &BrokerUrl, error: &reqwest::Error) -> Self {
        let mut deepest: &(dyn std::error::Error + 'static) = error;
        let mut untrusted = false;
        loop {
            untrusted |= is_certificate_error(deepest);
            match deepest.source() {
                Some(source) => deepest = source,
                None => break,
            }
        }
        let advice = if untrusted {
            "its certificate is not trusted: name its CA's PEM file with `ebb login --ca-file` or \
             EBB_CA_FILE"
        } else if error.is_timeout() {
            "is it up, and does a firewall let you through? try again later"
        } else {
            "is it running? if it is elsewhere, run `ebb login --broker URL` or set EBB_BROKER"
        };
        Self::Unreachable { broker: broker.clone(), advice, cause: Cause(deepest.to_string()) }
    }

    /// Something between us and the broker says that the broker is not there.
    pub(super) fn gateway(broker: &BrokerUrl, status: u16) -> Self {
        Self::Unreachable {
            broker: broker.clone(),
            advice: "a proxy answers in its place; try again later",
            cause: Cause(format!("HTTP {status}")),
        }
    }

    /// An answer that can't be understood.
    pub(super) fn strange(
        broker: &BrokerUrl,
        call: String,
        status: u16,
        cause: Option<&serde_json::Error>,
    ) -> Self {
        // The answer may hold a secret, and other errors of serde repeat what they stumbled over.
        let cause = cause.map(|error| match error.to_string() {
            text if text.starts_with("missing field") => Cause(text),
            _ => Cause(format!("unexpected at line {} column {}", error.line(), error.column())),
        });
        Self::Strange { broker: broker.clone(), call, status, cause }
    }

    /// The exit code that it ends a run with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } => Exit::UNREACHABLE,
            Self::Problem(problem) => problem.exit(),
            Self::Strange { .. } => Exit::ERROR,
        }
    }

    /// The API's code, if the broker gave one.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            _ => None,
        }
    }

    /// Whether the same call may well succeed later: the broker is away or in trouble.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Problem(problem) => problem.status >= 500,
            Self::Strange { status, .. } => *status >= 500,
        }
    }
}

fn is_certificate_error(error: &(dyn std::error::Error + 'static)) -> bool {
    // An io::Error made from another one gives that one's source, not that one, as its source.
    if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        return is_certificate_error(inner);
    }
    matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn problem(text: &str) -> Problem {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_problem_is_one_line_with_its_fields_and_code() {
        let problem = problem(
            r#"{"title": "Invalid request", "status": 422, "code": "invalid_request", "detail": "it is wrong",
                "errors": [{"field": "duration", "message": "write 30m"}]}"#,
        );
        assert_eq!(problem.to_string(), "it is wrong; duration: write 30m (invalid_request)");
    }

    #[rstest]
    #[case("not_a_requester", 403, Exit::DENIED)]
    #[case("own_request", 403, Exit::DENIED)]
    #[case("unauthenticated", 401, Exit::DENIED)]
    #[case("grant_expired", 410, Exit::EXPIRED)]
    #[case("request_lapsed", 409, Exit::EXPIRED)]
    #[case("reason_required", 422, Exit::ERROR)]
    #[case("internal", 500, Exit::ERROR)]
    fn a_code_decides_the_exit(#[case] code: &str, #[case] status: u16, #[case] exit: Exit) {
        let problem = problem(&format!(r#"{{"code": "{code}", "status": {status}}}"#));
        assert_eq!(ApiError::from(problem).exit(), exit);
    }
}
