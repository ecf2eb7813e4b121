//! Buckets, and the list of what is in them.

use axum::body::Body;
use http::header::LOCATION;
use http::{HeaderValue, Response, StatusCode};

use super::store::{Bucket, Listed, Position, Selection};
use super::{NAMESPACE, authorize, bucket_arn, no_such_bucket, xml_response};
use crate::clock::iso_millis;
use crate::error::AwsError;
use crate::policy::Context;
use crate::request::percent_encode;
use crate::service::Call;
use crate::xml::Xml;

/// The most keys on a page.
const PAGE: usize = 1_000;

/// `ListBuckets`.
pub(super) fn list(call: &Call<'_>) -> Result<Response<Body>, AwsError> {
    let action = "s3:ListAllMyBuckets";
    call.ask(action, "arn:aws:s3:::*", Context::default())
        .map_err(|denial| call.denied(action, "", denial))?;
    let world = call.fake.world.lock();
    let document = Xml::document("ListAllMyBucketsResult", NAMESPACE, |xml| {
        xml.node("Owner", |xml| {
            xml.text("ID", &call.fake.account);
        });
        xml.node("Buckets", |xml| {
            for (name, bucket) in &world.s3 {
                xml.node("Bucket", |xml| {
                    xml.text("Name", name);
                    xml.text("CreationDate", iso_millis(bucket.created));
                    xml.text("BucketRegion", &bucket.region);
                });
            }
        });
    });
    Ok(xml_response(StatusCode::OK, document))
}

/// `CreateBucket`. The bucket is in the region that the request is signed for.
pub(super) fn create(call: &Call<'_>, name: &str) -> Result<Response<Body>, AwsError> {
    authorize(call, "s3:CreateBucket", &bucket_arn(name), Context::default())?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
    let edge = |c: Option<char>| c.is_some_and(|c| c != '.' && c != '-');
    let proper = edge(name.chars().next()) && edge(name.chars().last());
    if !(3..=63).contains(&name.len()) || !name.chars().all(fits) || !proper {
        return Err(AwsError::bad_request(
            "InvalidBucketName",
            "The specified bucket is not valid.",
        ));
    }
    let mut world = call.fake.world.lock();
    // In us-east-1, S3 lets the owner create a bucket again.
    if world.s3.contains_key(name) && call.region != "us-east-1" {
        return Err(AwsError::conflict(
            "BucketAlreadyOwnedByYou",
            "Your previous request to create the named bucket succeeded and you already own it.",
        ));
    }
    world.s3.entry(name.to_owned()).or_insert_with(|| Bucket {
        created: call.now,
        region: call.region.clone(),
        objects: std::collections::BTreeMap::new(),
    });
    let mut response = Response::new(Body::empty());
    if let Ok(value) = HeaderValue::from_str(&format!("/{name}")) {
        response.headers_mut().insert(LOCATION, value);
    }
    Ok(response)
}

/// `HeadBucket`.
pub(super) fn head(call: &Call<'_>, name: &str) -> Result<Response<Body>, AwsError> {
    authorize(call, "s3:ListBucket", &bucket_arn(name), Context::default())?;
    let world = call.fake.world.lock();
    let bucket = world.s3.get(name).ok_or_else(no_such_bucket)?;
    let mut response = Response::new(Body::empty());
    if let Ok(value) = HeaderValue::from_str(&bucket.region) {
        response.headers_mut().insert("x-amz-bucket-region", value);
    }
    Ok(response)
}

/// `DeleteBucket`.
pub(super) fn delete(call: &Call<'_>, name: &str) -> Result<Response<Body>, AwsError> {
    authorize(call, "s3:DeleteBucket", &bucket_arn(name), Context::default())?;
    let mut world = call.fake.world.lock();
    let bucket = world.s3.get(name).ok_or_else(no_such_bucket)?;
    if !bucket.objects.is_empty() {
        return Err(AwsError::conflict(
            "BucketNotEmpty",
            "The bucket you tried to delete is not empty",
        ));
    }
    world.s3.remove(name);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// `ListObjectsV2`.
pub(super) fn list_objects(call: &Call<'_>, name: &str) -> Result<Response<Body>, AwsError> {
    let given = |name: &str| call.request.query_value(name).filter(|v| !v.is_empty());
    let mut keys = Context::default();
    for key in ["prefix", "delimiter", "max-keys"] {
        if let Some(value) = call.request.query_value(key) {
            keys.set(&format!("s3:{key}"), value);
        }
    }
    authorize(call, "s3:ListBucket", &bucket_arn(name), keys)?;

    let invalid = |message: &str| AwsError::bad_request("InvalidArgument", message);
    let max_keys = match given("max-keys") {
        None => PAGE,
        Some(text) => text
            .parse()
            .map_err(|_| invalid("Provided max-keys not an integer or within integer range"))?,
    };
    let after = match given("continuation-token") {
        Some(token) => Some(
            Position::from_token(&token)
                .ok_or_else(|| invalid("The continuation token provided is incorrect"))?,
        ),
        None => given("start-after").map(Position::Key),
    };
    let selection = Selection {
        prefix: given("prefix").unwrap_or_default(),
        delimiter: given("delimiter"),
        most: max_keys.min(PAGE),
        after,
    };
    let world = call.fake.world.lock();
    let bucket = world.s3.get(name).ok_or_else(no_such_bucket)?;
    let listed = bucket.list(&selection);
    let document = Xml::document("ListBucketResult", NAMESPACE, |xml| {
        write(xml, call, name, &selection, &listed);
        xml.text("MaxKeys", max_keys.min(PAGE).to_string());
    });
    Ok(xml_response(StatusCode::OK, document))
}

fn write(xml: &mut Xml, call: &Call<'_>, bucket: &str, selection: &Selection, listed: &Listed) {
    let given = |name: &str| call.request.query_value(name);
    let escaped = given("encoding-type").as_deref() == Some("url");
    let key = |text: &str| {
        if escaped { percent_encode(text, b"/") } else { text.to_owned() }
    };
    xml.text("Name", bucket);
    xml.text("Prefix", key(&selection.prefix));
    xml.optional("Delimiter", selection.delimiter.as_deref().map(key));
    xml.optional("StartAfter", given("start-after").as_deref().map(key));
    xml.optional("ContinuationToken", given("continuation-token"));
    xml.optional("EncodingType", escaped.then_some("url"));
    let count = listed.objects.len() + listed.prefixes.len();
    xml.text("KeyCount", count.to_string());
    xml.text("IsTruncated", listed.next.is_some().to_string());
    xml.optional("NextContinuationToken", listed.next.as_ref().map(Position::token));
    for (name, object) in &listed.objects {
        xml.node("Contents", |xml| {
            xml.text("Key", key(name));
            xml.text("LastModified", iso_millis(object.modified));
            xml.text("ETag", &object.etag);
            xml.text("Size", object.body.len().to_string());
            xml.text("StorageClass", "STANDARD");
        });
    }
    for prefix in &listed.prefixes {
        xml.node("CommonPrefixes", |xml| xml.text("Prefix", key(prefix)));
    }
}
