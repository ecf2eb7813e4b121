//! What a service of AWS is to the rest of the program. A new one is a file that implements
//! [`Service`] and a line in [`find`]; what it keeps is a field of `World`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};

use crate::auth::AuthFault;
use crate::caller::Caller;
use crate::error::AwsError;
use crate::fake::Fake;
use crate::iam::Iam;
use crate::policy::{Context, Denial, Question};
use crate::request::Request;
use crate::s3::S3;
use crate::sigv4::Paths;
use crate::sts::Sts;

/// One service.
pub(crate) trait Service: Sync {
    /// The operation that a request asks for.
    ///
    /// # Errors
    /// When it names none that AWS could know.
    fn operation(&self, request: &Request) -> Result<String, AwsError>;

    /// Serves a call whose caller is known. What the caller may do is the service's own business:
    /// see [`Call::authorize`].
    ///
    /// # Errors
    /// As the operation does on AWS.
    fn answer(&self, call: &Call<'_>) -> Result<Response<Body>, AwsError>;

    /// Writes an error in the service's own format.
    fn refuse(&self, error: &AwsError, request: &Request, request_id: &str) -> Response<Body>;

    /// How the service words a failed authentication.
    fn unauthenticated(&self, fault: &AuthFault) -> AwsError;

    /// How the service says that requests come too fast.
    fn throttled(&self) -> AwsError {
        AwsError::bad_request("Throttling", "Rate exceeded")
    }

    /// How the service says that it failed.
    fn failed(&self) -> AwsError {
        AwsError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalFailure",
            "The request processing has failed because of an unknown error, exception or failure.",
        )
    }

    /// How the service signs.
    fn signing(&self) -> Signing {
        Signing {
            paths: Paths::Normalised,
            hashes_payload_itself: true,
            skew: SignedDuration::from_mins(5),
        }
    }
}

/// What differs between services in Signature Version 4.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signing {
    pub(crate) paths: Paths,
    /// The server hashes the body; if not, `x-amz-content-sha256` says what was signed, as for S3.
    pub(crate) hashes_payload_itself: bool,
    /// How far the client's clock may be off, both ways.
    pub(crate) skew: SignedDuration,
}

/// The service of a name in a credential scope.
pub(crate) fn find(name: &str) -> Option<&'static dyn Service> {
    match name {
        "iam" => Some(&Iam),
        "s3" => Some(&S3),
        "sts" => Some(&Sts),
        _ => None,
    }
}

/// The service that an unsigned request is most likely meant for, so that the refusal has its
/// format.
pub(crate) fn guess(request: &Request) -> &'static str {
    let is = |name: &str| request.header("host").is_some_and(|host| host.starts_with(name));
    match request.path.as_str() {
        "/" if is("iam") => "iam",
        "/" if request.method == http::Method::POST || request.query.contains("Action=") => "sts",
        _ => "s3",
    }
}

/// A call whose signature was verified.
pub(crate) struct Call<'a> {
    pub(crate) fake: &'a Fake,
    pub(crate) request: &'a Request,
    /// Differs from the request's where that was `aws-chunked`.
    pub(crate) body: Bytes,
    /// The headers behind an `aws-chunked` body.
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) operation: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) region: String,
    pub(crate) caller: Caller,
    /// The movable clock when the call came in.
    pub(crate) now: Timestamp,
    /// What was asked about last: for the log of calls.
    pub(crate) resource: RefCell<Option<String>>,
    /// Parameters that are worth logging, and no secrets.
    pub(crate) parameters: RefCell<BTreeMap<String, String>>,
}

impl Call<'_> {
    /// Lets pass what the caller's policies allow.
    ///
    /// # Errors
    /// `AccessDenied` in AWS's words.
    pub(crate) fn authorize(
        &self,
        action: &str,
        resource: &str,
        extra: Context,
    ) -> Result<(), AwsError> {
        self.ask(action, resource, extra)
            .map_err(|denial| self.denied(action, &format!(" on resource: {resource}"), denial))
    }

    /// As `authorize`, for services that word the refusal in their own way.
    ///
    /// # Errors
    /// Why it was denied.
    pub(crate) fn ask(&self, action: &str, resource: &str, extra: Context) -> Result<(), Denial> {
        self.note_resource(resource);
        let context = self.context(extra);
        self.caller.layers.decide(Question { action, resource, context: &context })
    }

    /// The condition keys of this call, with those that only the service knows.
    pub(crate) fn context(&self, extra: Context) -> Context {
        let mut context = self.caller.context(&self.fake.account, self.now);
        context.set("aws:RequestedRegion", &self.region);
        context.extend(extra);
        context
    }

    /// Tells the log of calls what the call is about.
    pub(crate) fn note_resource(&self, resource: &str) {
        *self.resource.borrow_mut() = Some(resource.to_owned());
    }

    /// Tells the log of calls a parameter, by its name in CloudTrail.
    pub(crate) fn note(&self, name: &str, value: &str) {
        self.parameters.borrow_mut().insert(name.to_owned(), value.to_owned());
    }

    /// `AccessDenied` with AWS's sentence. `on` is " on resource: …" or nothing.
    pub(crate) fn denied(&self, action: &str, on: &str, denial: Denial) -> AwsError {
        let arn = &self.caller.arn;
        let reason = denial.reason(action);
        AwsError::access_denied(format!(
            "User: {arn} is not authorized to perform: {action}{on} {reason}"
        ))
    }
}
