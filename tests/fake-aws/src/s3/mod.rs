//! S3 over REST, path style, one account: what a person with a grant does with it.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html>
//!
//! What is not here (multipart uploads, copies, versions, bucket policies) answers
//! `NotImplemented`, never silently something else. Requests in virtual-host style are not
//! understood.

mod buckets;
mod checksum;
mod objects;
pub(crate) mod store;
#[cfg(test)]
mod tests;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use jiff::SignedDuration;

use crate::auth::AuthFault;
use crate::error::AwsError;
use crate::policy::Context;
use crate::request::{Request, percent_decode};
use crate::service::{Call, Service, Signing};
use crate::sigv4::Paths;
use crate::xml::Xml;

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The service.
pub(crate) struct S3;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Service,
    Bucket(String),
    Object(String, String),
}

impl Target {
    fn of(request: &Request) -> Self {
        let path = percent_decode(request.path.strip_prefix('/').unwrap_or(&request.path));
        match path.split_once('/') {
            _ if path.is_empty() => Self::Service,
            None | Some((_, "")) => Self::Bucket(path.trim_end_matches('/').to_owned()),
            Some((bucket, key)) => Self::Object(bucket.to_owned(), key.to_owned()),
        }
    }
}

/// Parameters that change nothing of what is asked for, besides those of presigned URLs.
const NEUTRAL: &[&str] = &["x-id", "fetch-owner"];
const LISTING: &[&str] = &[
    "list-type",
    "prefix",
    "delimiter",
    "max-keys",
    "continuation-token",
    "start-after",
    "encoding-type",
];

impl Service for S3 {
    fn operation(&self, request: &Request) -> Result<String, AwsError> {
        let target = Target::of(request);
        let listing = request.query_value("list-type").as_deref() == Some("2");
        let operation = match (&request.method, &target) {
            (&Method::GET, Target::Service) => "ListBuckets",
            (&Method::GET, Target::Bucket(_)) if listing => "ListObjectsV2",
            (&Method::PUT, Target::Bucket(_)) => "CreateBucket",
            (&Method::HEAD, Target::Bucket(_)) => "HeadBucket",
            (&Method::DELETE, Target::Bucket(_)) => "DeleteBucket",
            (&Method::GET, Target::Object(..)) => "GetObject",
            (&Method::HEAD, Target::Object(..)) => "HeadObject",
            (&Method::PUT, Target::Object(..)) => "PutObject",
            (&Method::DELETE, Target::Object(..)) => "DeleteObject",
            (method, _) => return Err(not_implemented(&format!("{method} {}", request.path))),
        };
        let allowed = if listing { LISTING } else { &[] };
        let foreign = request.query_pairs().map(|(name, _)| name).find(|name| {
            !name.starts_with("X-Amz-")
                && !NEUTRAL.contains(&name.as_str())
                && !allowed.contains(&name.as_str())
        });
        match foreign {
            Some(name) => Err(not_implemented(&format!("the parameter {name}"))),
            None => Ok(operation.to_owned()),
        }
    }

    fn answer(&self, call: &Call<'_>) -> Result<Response<Body>, AwsError> {
        match (call.operation, Target::of(call.request)) {
            ("CreateBucket", Target::Bucket(bucket)) => buckets::create(call, &bucket),
            ("HeadBucket", Target::Bucket(bucket)) => buckets::head(call, &bucket),
            ("DeleteBucket", Target::Bucket(bucket)) => buckets::delete(call, &bucket),
            ("ListObjectsV2", Target::Bucket(bucket)) => buckets::list_objects(call, &bucket),
            ("GetObject" | "HeadObject", Target::Object(bucket, key)) => {
                objects::get(call, &bucket, &key)
            }
            ("PutObject", Target::Object(bucket, key)) => objects::put(call, &bucket, &key),
            ("DeleteObject", Target::Object(bucket, key)) => objects::delete(call, &bucket, &key),
            _ => buckets::list(call),
        }
    }

    fn refuse(&self, error: &AwsError, request: &Request, request_id: &str) -> Response<Body> {
        if request.method == Method::HEAD {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = error.status;
            return response;
        }
        let document = Xml::plain_document("Error", |xml| {
            xml.text("Code", &error.code);
            xml.text("Message", &error.message);
            xml.text("Resource", percent_decode(&request.path));
            xml.text("RequestId", request_id);
        });
        xml_response(error.status, document)
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
    fn unauthenticated(&self, fault: &AuthFault) -> AwsError {
        match fault {
            AuthFault::Missing => AwsError::access_denied("Access Denied"),
            AuthFault::Malformed(why) => {
                AwsError::bad_request("AuthorizationHeaderMalformed", why.as_str())
            }
            AuthFault::Skewed { .. } => AwsError::forbidden(
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            ),
            AuthFault::UrlExpired => AwsError::access_denied("Request has expired"),
            AuthFault::UnknownKey => AwsError::forbidden(
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            ),
            AuthFault::WrongToken => AwsError::bad_request(
                "InvalidToken",
                "The provided token is malformed or otherwise invalid.",
            ),
            AuthFault::WrongSignature => AwsError::forbidden(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. \
                 Check your key and signing method.",
            ),
            AuthFault::UnsignedHeader(name) => AwsError::access_denied(format!(
                "There were headers present in the request which were not signed: {name}"
            )),
            AuthFault::Expired => {
                AwsError::bad_request("ExpiredToken", "The provided token has expired.")
            }
            AuthFault::WrongPayload { signed, computed } => AwsError::bad_request(
                "XAmzContentSHA256Mismatch",
                format!(
                    "The provided 'x-amz-content-sha256' header does not match what was computed: \
                     {signed} != {computed}"
                ),
            ),
            AuthFault::BadChunks(why) => AwsError::bad_request("IncompleteBody", *why),
        }
    }

    fn throttled(&self) -> AwsError {
        AwsError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "SlowDown",
            "Please reduce your request rate.",
        )
    }

    fn failed(&self) -> AwsError {
        AwsError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "We encountered an internal error. Please try again.",
        )
    }

    fn signing(&self) -> Signing {
        Signing {
            paths: Paths::AsIs,
            hashes_payload_itself: false,
            skew: SignedDuration::from_mins(15),
        }
    }
}

fn bucket_arn(bucket: &str) -> String {
    format!("arn:aws:s3:::{bucket}")
}

/// Lets pass what may be done; S3 quotes the resource in its refusals.
fn authorize(
    call: &Call<'_>,
    action: &str,
    resource: &str,
    extra: Context,
) -> Result<(), AwsError> {
    call.ask(action, resource, extra)
        .map_err(|denial| call.denied(action, &format!(" on resource: \"{resource}\""), denial))
}

fn no_such_bucket() -> AwsError {
    AwsError::not_found("NoSuchBucket", "The specified bucket does not exist")
}

fn not_implemented(what: &str) -> AwsError {
    AwsError::new(
        StatusCode::NOT_IMPLEMENTED,
        "NotImplemented",
        format!("This double of S3 does not implement {what}"),
    )
}

fn xml_response(status: StatusCode, document: String) -> Response<Body> {
    let mut response = Response::new(Body::from(document));
    *response.status_mut() = status;
    let value = HeaderValue::from_static("application/xml");
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}
