//! Objects and buckets through signed requests.

use http::{HeaderValue, Method};
use rstest::rstest;

use super::{S3, Target};
use crate::service::Service as _;
use crate::sigv4::tests::{signed, signed_streaming};
use crate::testing::{Bench, Reply, request};

fn with_bucket() -> Bench {
    let bench = Bench::new();
    bench.s3(&bench.admin, Method::PUT, "/bucket", "").ok();
    bench
}

/// Puts an object with more headers, all signed.
fn put(bench: &Bench, headers: &[(&'static str, &str)], body: &str) -> Reply {
    let mut unsigned = request(Method::PUT, "/bucket/key", "", body);
    for (name, value) in headers {
        unsigned.headers.insert(*name, HeaderValue::from_str(value).unwrap());
    }
    bench.send(&signed(unsigned, &bench.admin, "s3", false, bench.now()))
}

#[test]
fn an_object_comes_back_as_it_was_put() {
    let bench = with_bucket();
    let headers = [
        ("content-type", "text/plain"),
        ("x-amz-meta-owner", "maria"),
        ("x-amz-checksum-crc32", "DUoRhQ=="),
    ];
    let reply = put(&bench, &headers, "hello world").ok();
    assert_eq!(reply.headers["etag"], "\"5eb63bbbe01eeed093cb22bb8f5acdc3\"");
    assert_eq!(reply.headers["x-amz-checksum-crc32"], "DUoRhQ==");

    let reply = bench.s3(&bench.admin, Method::GET, "/bucket/key", "").ok();
    assert_eq!(reply.body, "hello world");
    assert_eq!(reply.headers["content-type"], "text/plain");
    assert_eq!(reply.headers["x-amz-meta-owner"], "maria");
    let reply = bench.s3(&bench.admin, Method::HEAD, "/bucket/key", "").ok();
    assert_eq!(reply.body, "");
    assert_eq!(reply.headers["content-length"], "11");

    bench.s3(&bench.admin, Method::DELETE, "/bucket/key", "").ok();
    let reply = bench.s3(&bench.admin, Method::GET, "/bucket/key", "");
    assert_eq!(reply.code(), "NoSuchKey");
}

#[test]
fn a_range_is_a_part() {
    let bench = with_bucket();
    put(&bench, &[], "hello world").ok();
    let mut unsigned = request(Method::GET, "/bucket/key", "", "");
    unsigned.headers.insert("range", HeaderValue::from_static("bytes=6-8"));
    let reply = bench.send(&signed(unsigned, &bench.admin, "s3", false, bench.now()));
    assert_eq!(reply.status, 206);
    assert_eq!(reply.body, "wor");
    assert_eq!(reply.headers["content-range"], "bytes 6-8/11");
}

#[rstest]
#[case(&[("content-md5", "XrY7u+Ae7tCTyyK7j1rNww==")], "OK")]
#[case(&[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")], "BadDigest")]
#[case(&[("x-amz-checksum-crc32", "AAAAAA==")], "BadDigest")]
#[case(&[("x-amz-checksum-xxhash3", "AAAAAA==")], "NotImplemented")]
#[case(&[("x-amz-trailer", "x-amz-checksum-crc32")], "MalformedTrailerError")]
#[case(&[("x-amz-copy-source", "/bucket/other")], "NotImplemented")]
#[case(&[("if-none-match", "*")], "NotImplemented")]
fn puts(#[case] headers: &[(&'static str, &str)], #[case] code: &str) {
    let bench = with_bucket();
    assert_eq!(put(&bench, headers, "hello world").code(), code);
}

#[test]
fn aws_chunked_bodies_are_decoded() {
    let bench = with_bucket();
    let chunked = "5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
    let sent = |length: &'static str, body: &'static str| {
        let mut unsigned = request(Method::PUT, "/bucket/key", "", body);
        for (name, value) in [
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
            ("x-amz-decoded-content-length", length),
            ("content-encoding", "aws-chunked"),
        ] {
            unsigned.headers.insert(name, HeaderValue::from_static(value));
        }
        let request = signed_streaming(unsigned, &bench.admin, bench.now());
        bench.send(&request)
    };
    sent("11", chunked).ok();
    let reply = bench.s3(&bench.admin, Method::GET, "/bucket/key", "").ok();
    assert_eq!(reply.body, "hello world");
    assert_eq!(reply.headers.get("content-encoding"), None);
    assert_eq!(sent("12", chunked).code(), "IncompleteBody");
    let damaged = "5\r\nhullo\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
    assert_eq!(sent("11", damaged).code(), "BadDigest");
}

#[rstest]
#[case(Method::GET, "/none?list-type=2", "NoSuchBucket")]
#[case(Method::GET, "/none/key", "NoSuchBucket")]
#[case(Method::GET, "/bucket?list-type=2&max-keys=many", "InvalidArgument")]
#[case(Method::GET, "/bucket?list-type=2&continuation-token=x", "InvalidArgument")]
#[case(Method::GET, "/bucket?list-type=2&max-keys=0", "OK")]
#[case(Method::GET, "/bucket?acl", "NotImplemented")]
#[case(Method::PUT, "/UPPER", "InvalidBucketName")]
#[case(Method::PUT, "/bucket", "OK")]
#[case(Method::DELETE, "/bucket", "OK")]
#[case(Method::DELETE, "/none", "NoSuchBucket")]
fn buckets(#[case] method: Method, #[case] target: &str, #[case] code: &str) {
    let bench = with_bucket();
    assert_eq!(bench.s3(&bench.admin, method, target, "").code(), code);
}

#[test]
fn a_listing_escapes_keys_if_asked() {
    let bench = with_bucket();
    bench.s3(&bench.admin, Method::PUT, "/bucket/a%20b/c%26d", "x").ok();
    let target = "/bucket?list-type=2&encoding-type=url&prefix=a%20b%2F";
    let reply = bench.s3(&bench.admin, Method::GET, target, "").ok();
    assert_eq!(reply.text("Key"), Some("a%20b/c%26d"));
    let reply = bench.s3(&bench.admin, Method::GET, "/bucket?list-type=2", "").ok();
    assert_eq!(reply.text("Key"), Some("a b/c&amp;d"));
    assert_eq!(reply.text("KeyCount"), Some("1"));
}

#[test]
fn policies_see_prefixes_and_refusals_quote_the_resource() {
    let bench = with_bucket();
    let role = bench.role("x");
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::bucket",
         "Condition":{"StringLike":{"s3:prefix":"home/*"},"NumericLessThanEquals":{"s3:max-keys":"10"}}},
        {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/home/*"}]}"#;
    let session = bench.session(&role, &[("Policy", policy)]);
    let list = "/bucket?list-type=2&max-keys=10&prefix=home%2Fa";
    bench.s3(&session, Method::GET, list, "").ok();
    let reply = bench.s3(&session, Method::GET, "/bucket?list-type=2&prefix=home%2Fa", "");
    assert_eq!(
        reply.message(),
        "User: arn:aws:sts::123456789012:assumed-role/x/grant-1 is not authorized to perform: \
         s3:ListBucket on resource: &quot;arn:aws:s3:::bucket&quot; because no session policy \
         allows the s3:ListBucket action"
    );
    // Who may not list is not told whether a key exists.
    let reply = bench.s3(&session, Method::GET, "/bucket/home/none", "");
    assert_eq!(reply.code(), "AccessDenied");
    let reply = bench.s3(&session, Method::GET, "/", "");
    assert!(reply.message().contains("perform: s3:ListAllMyBuckets because no session policy"));
}

#[rstest]
#[case("GET", "/", "", Ok("ListBuckets"))]
#[case("GET", "/b", "list-type=2&prefix=a%2F&encoding-type=url", Ok("ListObjectsV2"))]
#[case("GET", "/b/", "list-type=2", Ok("ListObjectsV2"))]
#[case("PUT", "/b", "", Ok("CreateBucket"))]
#[case("HEAD", "/b", "", Ok("HeadBucket"))]
#[case("GET", "/b/k/l", "x-id=GetObject", Ok("GetObject"))]
#[case("GET", "/b/k", "X-Amz-Signature=0", Ok("GetObject"))]
#[case("DELETE", "/b/k", "", Ok("DeleteObject"))]
#[case("GET", "/b", "", Err("GET /b"))]
#[case("GET", "/b/k", "acl", Err("the parameter acl"))]
#[case("POST", "/b/k", "uploads", Err("POST /b/k"))]
fn operations(
    #[case] method: &str,
    #[case] path: &str,
    #[case] query: &str,
    #[case] expected: Result<&str, &str>,
) {
    let request = request(method.parse().unwrap(), path, query, "");
    match (S3.operation(&request), expected) {
        (Ok(operation), Ok(expected)) => assert_eq!(operation, expected),
        (Err(error), Err(expected)) => assert!(error.message.ends_with(expected), "{error}"),
        (other, _) => panic!("{other:?}"),
    }
}

#[test]
fn a_key_may_hold_slashes_and_spaces() {
    let request = request(Method::GET, "/b/a%20b//c%2Fd", "", "");
    let target = Target::Object("b".to_owned(), "a b//c/d".to_owned());
    assert_eq!(Target::of(&request), target);
}
