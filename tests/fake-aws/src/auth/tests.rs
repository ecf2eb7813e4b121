//! What each service says to those it does not believe.

use aws_credential_types::Credentials;
use http::{HeaderValue, Method};
use jiff::{SignedDuration, Timestamp};
use rstest::rstest;

use crate::request::Request;
use crate::sigv4::tests::signed;
use crate::testing::{Bench, Reply, credentials, query_request, request};

const SERVICES: [&str; 2] = ["sts", "s3"];

/// A request that needs no permission worth speaking of.
fn plain(service: &str) -> Request {
    match service {
        "s3" => request(Method::GET, "/", "", ""),
        _ => query_request(&[("Action", "GetCallerIdentity")]),
    }
}

fn send(bench: &Bench, who: &Credentials, service: &str, now: Timestamp) -> Reply {
    bench.send(&signed(plain(service), who, service, false, now))
}

fn codes(outcome: impl Fn(&str) -> Reply) -> [String; 2] {
    SERVICES.map(|service| outcome(service).code().to_owned())
}

#[test]
fn those_who_sign_right_are_served() {
    let bench = Bench::new();
    let session = bench.session(&bench.role("x"), &[]);
    for who in [&bench.admin, &session] {
        assert_eq!(codes(|service| send(&bench, who, service, bench.now())), ["OK", "OK"]);
    }
}

#[test]
fn presigned_requests_are_served_until_their_time_is_over() {
    let bench = Bench::new();
    let presigned = |service: &str, age: i64| {
        let request = match service {
            "s3" => request(Method::GET, "/", "", ""),
            _ => request(Method::GET, "/", "Action=GetCallerIdentity", ""),
        };
        let then = bench.now() - SignedDuration::from_secs(age);
        bench.send(&signed(request, &bench.admin, service, true, then))
    };
    assert_eq!(codes(|service| presigned(service, 290)), ["OK", "OK"]);
    let late = ["SignatureDoesNotMatch", "AccessDenied"];
    assert_eq!(codes(|service| presigned(service, 310)), late);
}

#[test]
fn unsigned() {
    let bench = Bench::new();
    let expected = ["MissingAuthenticationToken", "AccessDenied"];
    assert_eq!(codes(|service| bench.send(&plain(service))), expected);
}

#[test]
fn malformed() {
    let bench = Bench::new();
    let sent = codes(|service| {
        let mut request = plain(service);
        let value = HeaderValue::from_static("AWS4-HMAC-SHA256 Credential=x");
        request.headers.insert("authorization", value);
        bench.send(&request)
    });
    assert_eq!(sent, ["IncompleteSignature", "AuthorizationHeaderMalformed"]);
}

#[test]
fn wrong_secret() {
    let bench = Bench::new();
    let id = bench.admin.access_key_id();
    let who = credentials(id, "wrong", None);
    let expected = ["SignatureDoesNotMatch", "SignatureDoesNotMatch"];
    assert_eq!(codes(|service| send(&bench, &who, service, bench.now())), expected);
}

#[test]
fn unknown_key() {
    let bench = Bench::new();
    let who = credentials("AKIANOBODYNOBODYNOBO", "secret", None);
    let expected = ["InvalidClientTokenId", "InvalidAccessKeyId"];
    assert_eq!(codes(|service| send(&bench, &who, service, bench.now())), expected);
}

#[rstest]
#[case::none(None, ["InvalidClientTokenId", "InvalidAccessKeyId"])]
#[case::another(Some("another"), ["InvalidClientTokenId", "InvalidToken"])]
fn wrong_session_token(#[case] token: Option<&str>, #[case] expected: [&str; 2]) {
    let bench = Bench::new();
    let session = bench.session(&bench.role("x"), &[]);
    let who = credentials(session.access_key_id(), session.secret_access_key(), token);
    assert_eq!(codes(|service| send(&bench, &who, service, bench.now())), expected);
}

#[test]
fn a_token_on_a_long_term_key_is_wrong() {
    let bench = Bench::new();
    let admin = &bench.admin;
    let who = credentials(admin.access_key_id(), admin.secret_access_key(), Some("token"));
    let expected = ["InvalidClientTokenId", "InvalidToken"];
    assert_eq!(codes(|service| send(&bench, &who, service, bench.now())), expected);
}

#[rstest]
#[case(-310, ["SignatureDoesNotMatch", "OK"])]
#[case(310, ["SignatureDoesNotMatch", "OK"])]
#[case(-290, ["OK", "OK"])]
#[case(-910, ["SignatureDoesNotMatch", "RequestTimeTooSkewed"])]
#[case(910, ["SignatureDoesNotMatch", "RequestTimeTooSkewed"])]
fn skewed_clocks(#[case] seconds: i64, #[case] expected: [&str; 2]) {
    let bench = Bench::new();
    let off = bench.now() + SignedDuration::from_secs(seconds);
    assert_eq!(codes(|service| send(&bench, &bench.admin, service, off)), expected);
}

#[test]
fn sts_says_by_how_much_a_clock_is_off() {
    let bench = Bench::new();
    let off = bench.now() - SignedDuration::from_mins(6);
    let reply = send(&bench, &bench.admin, "sts", off);
    assert!(reply.message().starts_with("Signature expired: "), "{reply:?}");
    assert!(reply.message().ends_with(" - 5 min.)"), "{reply:?}");
}

#[test]
fn sessions_end_on_the_movable_clock() {
    let bench = Bench::new();
    let session = bench.session(&bench.role("x"), &[("DurationSeconds", "900")]);
    bench.fake.clock.advance(890).unwrap();
    assert_eq!(codes(|service| send(&bench, &session, service, bench.now())), ["OK", "OK"]);
    bench.fake.clock.advance(10).unwrap();
    let expected = ["ExpiredToken", "ExpiredToken"];
    assert_eq!(codes(|service| send(&bench, &session, service, bench.now())), expected);
    assert_eq!(send(&bench, &session, "s3", bench.now()).status, 400);
    assert_eq!(send(&bench, &session, "sts", bench.now()).status, 403);
}

#[test]
fn s3_wants_the_body_that_was_signed() {
    let bench = Bench::new();
    bench.s3(&bench.admin, Method::PUT, "/bucket", "").ok();
    let unsigned = request(Method::PUT, "/bucket/k", "", "hello");
    let mut request = signed(unsigned, &bench.admin, "s3", false, bench.now());
    request.body = "other".into();
    assert_eq!(bench.send(&request).code(), "XAmzContentSHA256Mismatch");
}

#[test]
fn s3_wants_its_headers_signed() {
    let bench = Bench::new();
    let mut request = signed(plain("s3"), &bench.admin, "s3", false, bench.now());
    let value = HeaderValue::from_static("public-read");
    request.headers.insert("x-amz-acl", value);
    let reply = bench.send(&request);
    assert_eq!(reply.code(), "AccessDenied");
    assert!(reply.message().contains("which were not signed: x-amz-acl"));
}

#[test]
fn a_service_that_is_not_spoken_is_named() {
    let bench = Bench::new();
    let reply = bench.sign_and_send(&bench.admin, "sqs", plain("sqs"));
    assert_eq!(reply.status, 501);
    assert!(reply.body.contains("does not speak the service sqs"));
}
