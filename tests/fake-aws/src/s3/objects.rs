//! Objects.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use jiff::fmt::rfc2822::DateTimePrinter;

use super::store::{Object, etag};
use super::{authorize, bucket_arn, checksum, no_such_bucket, not_implemented};
use crate::error::AwsError;
use crate::policy::{Context, Question};
use crate::service::Call;

/// Headers of a `PutObject` that come back with the object.
const KEPT: [HeaderName; 6] =
    [CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES];

fn object_arn(bucket: &str, key: &str) -> String {
    format!("{}/{key}", bucket_arn(bucket))
}

/// Refuses what would otherwise be ignored.
fn refuse_headers(call: &Call<'_>, names: &[&str]) -> Result<(), AwsError> {
    match names.iter().find(|name| call.request.headers.contains_key(**name)) {
        Some(name) => Err(not_implemented(&format!("the header {name}"))),
        None => Ok(()),
    }
}

/// `PutObject`.
pub(super) fn put(call: &Call<'_>, bucket: &str, key: &str) -> Result<Response<Body>, AwsError> {
    refuse_headers(call, &["x-amz-copy-source", "if-match", "if-none-match", "x-amz-tagging"])?;
    authorize(call, "s3:PutObject", &object_arn(bucket, key), Context::default())?;
    if key.len() > 1_024 {
        return Err(AwsError::bad_request("KeyTooLongError", "Your key is too long"));
    }
    let object = Arc::new(Object {
        body: call.body.clone(),
        etag: etag(&call.body),
        modified: call.now,
        headers: kept_headers(&call.request.headers),
        checksum: checksum::verify(call)?,
    });
    let mut world = call.fake.world.lock();
    let bucket = world.s3.get_mut(bucket).ok_or_else(no_such_bucket)?;
    bucket.objects.insert(key.to_owned(), Arc::clone(&object));
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    insert(headers, ETAG, &object.etag);
    if let Some((name, value)) = object.checksum.clone() {
        headers.insert(name, value);
    }
    Ok(response)
}

fn kept_headers(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    headers
        .iter()
        .filter(|(name, _)| KEPT.contains(name) || name.as_str().starts_with("x-amz-meta-"))
        .filter_map(|(name, value)| {
            if name != CONTENT_ENCODING {
                return Some((name.clone(), value.clone()));
            }
            // "aws-chunked" tells how it was sent, not what it is.
            let codings = value.to_str().ok()?.split(',').map(str::trim);
            let codings: Vec<&str> = codings.filter(|coding| *coding != "aws-chunked").collect();
            let value = HeaderValue::from_str(&codings.join(", ")).ok()?;
            (!codings.is_empty()).then(|| (name.clone(), value))
        })
        .collect()
}

/// `GetObject` and `HeadObject`.
pub(super) fn get(call: &Call<'_>, bucket: &str, key: &str) -> Result<Response<Body>, AwsError> {
    refuse_headers(call, &["if-none-match", "if-modified-since", "if-unmodified-since"])?;
    authorize(call, "s3:GetObject", &object_arn(bucket, key), Context::default())?;
    let object = find(call, bucket, key)?;
    if let Some(wanted) = call.request.header("if-match")
        && wanted.trim_matches('"') != object.etag.trim_matches('"')
    {
        return Err(AwsError::new(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        ));
    }
    let size = object.body.len();
    let range = range(call.request.header("range"), size)?;
    let part = object.body.slice(range.clone().unwrap_or(0..size));
    let length = part.len();
    let body = if call.request.method == Method::HEAD { Body::empty() } else { Body::from(part) };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("binary/octet-stream"));
    for (name, value) in &object.headers {
        headers.insert(name.clone(), value.clone());
    }
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    insert(headers, ETAG, &object.etag);
    if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&object.modified) {
        insert(headers, LAST_MODIFIED, &date);
    }
    let whole = range.is_none();
    let wants_checksum = call.request.header("x-amz-checksum-mode").is_some();
    if let (true, true, Some((name, value))) = (whole, wants_checksum, object.checksum.clone()) {
        headers.insert(name, value);
    }
    if let Some(Range { start, end }) = range {
        insert(headers, CONTENT_RANGE, &format!("bytes {start}-{}/{size}", end - 1));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// The object. Who may not list the bucket is not told that a key does not exist.
fn find(call: &Call<'_>, bucket: &str, key: &str) -> Result<Arc<Object>, AwsError> {
    let found = {
        let world = call.fake.world.lock();
        let bucket = world.s3.get(bucket).ok_or_else(no_such_bucket)?;
        bucket.objects.get(key).cloned()
    };
    if let Some(object) = found {
        return Ok(object);
    }
    let action = "s3:ListBucket";
    let context = call.context(Context::default());
    let arn = bucket_arn(bucket);
    let question = Question { action, resource: &arn, context: &context };
    match call.caller.layers.decide(question) {
        Ok(()) => Err(AwsError::not_found("NoSuchKey", "The specified key does not exist.")),
        Err(denial) => Err(call.denied(action, &format!(" on resource: \"{arn}\""), denial)),
    }
}

/// The bytes that a `Range` header asks for. S3 ignores one that it can't read, and several at
/// once.
/// <https://www.rfc-editor.org/rfc/rfc9110#section-14.1.2>
fn range(header: Option<&str>, size: usize) -> Result<Option<Range<usize>>, AwsError> {
    let Some((first, last)) = header
        .and_then(|header| header.strip_prefix("bytes="))
        .and_then(|spec| spec.split_once('-'))
    else {
        return Ok(None);
    };
    let bounds = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(last)) if first.is_empty() => size.saturating_sub(last)..size,
        _ => return Ok(None),
    };
    if bounds.is_empty() {
        return Err(AwsError::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "InvalidRange",
            "The requested range is not satisfiable",
        ));
    }
    Ok(Some(bounds))
}

/// `DeleteObject`: succeeds for a key that does not exist, too.
pub(super) fn delete(call: &Call<'_>, bucket: &str, key: &str) -> Result<Response<Body>, AwsError> {
    authorize(call, "s3:DeleteObject", &object_arn(bucket, key), Context::default())?;
    let mut world = call.fake.world.lock();
    let bucket = world.s3.get_mut(bucket).ok_or_else(no_such_bucket)?;
    bucket.objects.remove(key);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Dates, hashes and lengths are always fit for a header.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(None, Ok(None))]
    #[case(Some("bytes=0-3"), Ok(Some(0..4)))]
    #[case(Some("bytes=4-99"), Ok(Some(4..10)))]
    #[case(Some("bytes=4-"), Ok(Some(4..10)))]
    #[case(Some("bytes=-3"), Ok(Some(7..10)))]
    #[case(Some("bytes=-99"), Ok(Some(0..10)))]
    #[case(Some("bytes=3-1"), Ok(None))]
    #[case(Some("lines=1-2"), Ok(None))]
    #[case(Some("bytes=10-"), Err("InvalidRange"))]
    #[case(Some("bytes=-0"), Err("InvalidRange"))]
    fn ranges(#[case] header: Option<&str>, #[case] expected: Result<Option<Range<usize>>, &str>) {
        let answer = range(header, 10).map_err(|error| error.code.into_owned());
        assert_eq!(answer, expected.map_err(str::to_owned));
    }
}
