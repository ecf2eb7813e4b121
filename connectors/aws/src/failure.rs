//! AWS's errors, told apart by what helps. Only text is taken over from the SDK's error types: their
//! Debug shows whole answers, and an answer of STS holds credentials (I8).

use std::error::Error;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use ebbgate_connector_api::{ConnectorError, ErrorKind};

/// What a failed call means for whoever wanted it; `doing` fits after 'could not'.
pub(crate) fn failed<E>(
    doing: impl Into<String>,
    error: &SdkError<E, HttpResponse>,
) -> ConnectorError
where
    E: Error + ProvideErrorMetadata + 'static,
{
    if let SdkError::ServiceError(answer) = error {
        let (code, message) = (answer.err().code(), answer.err().message());
        let kind = kind_of(code, answer.raw().status().as_u16());
        return ConnectorError::new(kind, doing).because(answered(code, message));
    }
    // The credentials for the call may be what was missing: then how they were missed decides.
    let kind = causes(error)
        .find_map(|cause| cause.downcast_ref::<ConnectorError>().map(ConnectorError::kind))
        .unwrap_or(match error {
            SdkError::ConstructionFailure(_) => ErrorKind::Invalid,
            _ => ErrorKind::Unreachable,
        });
    let text: Vec<String> = causes(error).map(ToString::to_string).collect();
    ConnectorError::new(kind, doing).because(text.join(": "))
}

/// AWS's answer in a line.
pub(crate) fn answered(code: Option<&str>, message: Option<&str>) -> String {
    let code = code.unwrap_or("an error without a code");
    match message {
        Some(message) => format!("AWS answers {code}: {message}"),
        None => format!("AWS answers {code}"),
    }
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html> and
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
pub(crate) fn kind_of(code: Option<&str>, status: u16) -> ErrorKind {
    match (code.unwrap_or_default(), status) {
        (
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "SlowDown"
            | "BandwidthLimitExceeded"
            | "PriorRequestNotComplete",
            _,
        )
        | (_, 429) => ErrorKind::Throttled,
        // The caller's own credentials ran out or its clock is off: both pass, or are put right
        // on the broker's side without a word from AWS.
        (
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "RequestTimeTooSkewed",
            _,
        )
        | ("RequestTimeout" | "ConcurrentModification" | "IDPCommunicationError", _)
        | (_, 408 | 500..) => ErrorKind::Unreachable,
        _ => ErrorKind::Refused,
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use aws_sdk_sts::operation::assume_role::AssumeRoleError;
    use aws_smithy_runtime_api::{client::result::ConnectorError as HttpError, http::StatusCode};
    use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};
    use rstest::rstest;

    use super::*;

    fn answer(status: u16, body: &str) -> HttpResponse {
        HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body))
    }

    #[rstest]
    #[case(Some("Throttling"), 400, ErrorKind::Throttled)]
    #[case(Some("SlowDown"), 503, ErrorKind::Throttled)]
    #[case(None, 429, ErrorKind::Throttled)]
    #[case(Some("ExpiredToken"), 403, ErrorKind::Unreachable)]
    #[case(Some("InternalFailure"), 500, ErrorKind::Unreachable)]
    #[case(Some("ServiceUnavailable"), 503, ErrorKind::Unreachable)]
    #[case(None, 502, ErrorKind::Unreachable)]
    #[case(Some("AccessDenied"), 403, ErrorKind::Refused)]
    #[case(Some("ValidationError"), 400, ErrorKind::Refused)]
    #[case(Some("PackedPolicyTooLarge"), 400, ErrorKind::Refused)]
    #[case(Some("LimitExceeded"), 409, ErrorKind::Refused)]
    #[case(Some("InvalidClientTokenId"), 403, ErrorKind::Refused)]
    fn answers_by_what_helps(
        #[case] code: Option<&str>,
        #[case] status: u16,
        #[case] kind: ErrorKind,
    ) {
        assert_eq!(kind_of(code, status), kind);
    }

    #[test]
    fn a_refusal_tells_awss_message() {
        let metadata = ErrorMetadata::builder().code("AccessDenied").message("no, not you").build();
        let error = SdkError::service_error(
            AssumeRoleError::generic(metadata),
            answer(403, "<Secret>shh</Secret>"),
        );
        let error = failed("assume the role", &error);
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert_eq!(
            error.chain(),
            "could not assume the role: AWS answers AccessDenied: no, not you"
        );
    }

    #[test]
    fn no_answer_is_shown_whole() {
        let error = SdkError::<AssumeRoleError, _>::response_error(
            "it is no XML",
            answer(200, "<SecretAccessKey>shh</SecretAccessKey>"),
        );
        let error = failed("assume the role", &error);
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert_eq!(error.chain(), "could not assume the role: response error: it is no XML");
        assert!(!format!("{error:?}").contains("shh"), "{error:?}");
    }

    #[rstest]
    #[case(ErrorKind::Refused)]
    #[case(ErrorKind::Throttled)]
    fn a_failure_to_get_credentials_keeps_its_kind(#[case] kind: ErrorKind) {
        let inner = ConnectorError::new(kind, "assume the connector's role").because("no");
        let error =
            SdkError::<AssumeRoleError, _>::dispatch_failure(HttpError::other(inner.into(), None));
        let error = failed("write the deny", &error);
        assert_eq!(error.kind(), kind);
        assert!(error.chain().contains("could not assume the connector's role: no"));
    }
}
