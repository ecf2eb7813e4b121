//! Published signatures, and requests that an independent implementation, the SDK's own signer, has
//! signed.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use axum::body::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use rstest::rstest;

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn request(method: &str, path: &str, query: &str, headers: &[(&str, &str)]) -> Request {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    Request {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: map,
        body: Bytes::new(),
    }
}

/// `get-vanilla` and others of AWS's test suite for Signature Version 4: AKIDEXAMPLE, us-east-1,
/// `service`.
#[rstest]
#[case::get_vanilla(
    "GET",
    "/",
    "",
    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
)]
#[case::get_vanilla_query_order_key_case(
    "GET",
    "/",
    "Param2=value2&Param1=value1",
    "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
)]
#[case::post_vanilla(
    "POST",
    "/",
    "",
    "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
)]
#[case::normalize_path_get_relative(
    "GET",
    "/example/..",
    "",
    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
)]
fn published_vectors(
    #[case] method: &str,
    #[case] path: &str,
    #[case] query: &str,
    #[case] signature: &str,
) {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={signature}"
    );
    let headers = [
        ("host", "example.amazonaws.com"),
        ("x-amz-date", "20150830T123600Z"),
        ("authorization", authorization.as_str()),
    ];
    let request = request(method, path, query, &headers);
    let claim = Claim::read(&request).unwrap().unwrap();
    let hash = sha256_hex(b"");
    assert!(claim.is_signed_with(SECRET, &request, &hash, Paths::Normalised));
    assert!(!claim.is_signed_with("another", &request, &hash, Paths::Normalised));
}

/// The example `GET Object` of S3's page on signatures in the header.
#[test]
fn published_s3_example() {
    let headers = [
        ("host", "examplebucket.s3.amazonaws.com"),
        ("range", "bytes=0-9"),
        (
            "x-amz-content-sha256",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        ("x-amz-date", "20130524T000000Z"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
    ];
    let request = request("GET", "/test.txt", "", &headers);
    let claim = Claim::read(&request).unwrap().unwrap();
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    assert!(claim.is_signed_with(secret, &request, &sha256_hex(b""), Paths::AsIs));
}

/// Has the SDK's signer sign a request, now, and hands it back as it would arrive.
pub(crate) fn signed(
    request: Request,
    credentials: &Credentials,
    service: &str,
    presign: bool,
    now: Timestamp,
) -> Request {
    let body = request.body.clone();
    let body = match (presign, service) {
        (true, "s3") => SignableBody::UnsignedPayload,
        _ => SignableBody::Bytes(&body),
    };
    sign_as(request, credentials, service, presign, now, body)
}

/// Signs a request to S3 whose body is `aws-chunked` with trailers.
pub(crate) fn signed_streaming(
    request: Request,
    credentials: &Credentials,
    now: Timestamp,
) -> Request {
    let body = SignableBody::StreamingUnsignedPayloadTrailer;
    sign_as(request, credentials, "s3", false, now, body)
}

fn sign_as(
    mut request: Request,
    credentials: &Credentials,
    service: &str,
    presign: bool,
    now: Timestamp,
    body: SignableBody<'_>,
) -> Request {
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    if presign {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(std::time::Duration::from_secs(300));
    }
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name(service)
        .time(SystemTime::from(now))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let uri = format!("http://{}{}?{}", "localhost:4566", request.path, request.query);
    let headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let signable = SignableRequest::new(
        request.method.as_str(),
        uri,
        headers.iter().map(|(n, v)| (n.as_str(), v.as_str())),
        body,
    )
    .unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    let (added, parameters) = instructions.into_parts();
    for header in added {
        request.headers.insert(
            HeaderName::from_bytes(header.name().as_bytes()).unwrap(),
            HeaderValue::from_str(header.value()).unwrap(),
        );
    }
    for (name, value) in parameters {
        let pair = format!("{name}={}", percent_encode(&value, b""));
        request.query = [request.query.as_str(), &pair]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("&");
    }
    request.headers.entry("host").or_insert(HeaderValue::from_static("localhost:4566"));
    request
}

#[rstest]
#[case("sts", "POST", "/", "", Paths::Normalised, false)]
#[case("iam", "GET", "/", "Action=ListRoles&PathPrefix=%2Febbgate%2F", Paths::Normalised, false)]
#[case("sso", "GET", "/a%20b/c", "x=1&b=%2B", Paths::Normalised, false)]
#[case("sts", "GET", "/", "Action=GetCallerIdentity", Paths::Normalised, true)]
#[case("s3", "GET", "/bucket/a%20b//%C3%A9%3D1", "list-type=2&prefix=", Paths::AsIs, false)]
#[case("s3", "PUT", "/bucket/key", "", Paths::AsIs, false)]
#[case("s3", "GET", "/bucket/key", "", Paths::AsIs, true)]
fn the_sdks_signer_agrees(
    #[case] service: &str,
    #[case] method: &str,
    #[case] path: &str,
    #[case] query: &str,
    #[case] paths: Paths,
    #[case] presign: bool,
) {
    let credentials =
        Credentials::new("AKIDEXAMPLE", SECRET, Some("token/+=".to_owned()), None, "test");
    let unsigned = request(method, path, query, &[("host", "localhost:4566")]);
    let now: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
    let signed = signed(unsigned, &credentials, service, presign, now);
    let claim = Claim::read(&signed).unwrap().unwrap();
    assert_eq!(claim.scope.service, service);
    assert_eq!(claim.signed_at, now);
    assert_eq!(claim.session_token.as_deref(), credentials.session_token());
    assert_eq!(claim.presigned_for, presign.then_some(300));
    let hash = match (presign, service) {
        (true, "s3") => "UNSIGNED-PAYLOAD".to_owned(),
        _ => sha256_hex(b""),
    };
    let secret = credentials.secret_access_key();
    assert!(claim.is_signed_with(secret, &signed, &hash, paths));

    let mut other = signed;
    other.query.push_str("&more=1");
    assert!(!claim.is_signed_with(secret, &other, &hash, paths));
}

/// Chunks and trailers signed by the SDK's signer, in the chain that begins with the request.
#[test]
fn signed_chunks_and_trailers() {
    let now: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
    let credentials = Credentials::new("AKIDEXAMPLE", SECRET, None, None, "test");
    let unsigned = request("PUT", "/bucket/key", "", &[("host", "localhost:4566")]);
    let body = SignableBody::StreamingSignedPayloadTrailer;
    let signed = sign_as(unsigned, &credentials, "s3", false, now, body);
    let hash = signed.header("x-amz-content-sha256").unwrap();
    assert_eq!(hash, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER");
    let claim = Claim::read(&signed).unwrap().unwrap();
    assert!(claim.is_signed_with(SECRET, &signed, hash, Paths::AsIs));

    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(SystemTime::from(now))
        .settings(())
        .build()
        .unwrap();
    let mut running = claim.signature.clone();
    let mut encoded = String::new();
    for chunk in ["hello", " world", ""] {
        let bytes = Bytes::from_static(chunk.as_bytes());
        running = v4::sign_chunk(&bytes, &running, &params).unwrap().into_parts().1;
        encoded += &format!("{:x};chunk-signature={running}\r\n{chunk}", chunk.len());
        if !chunk.is_empty() {
            encoded += "\r\n";
        }
    }
    let mut trailers = aws_smithy_runtime_api::http::Headers::new();
    trailers.insert("x-amz-meta-b", "2");
    trailers.insert("x-amz-checksum-crc32", "DUoRhQ==");
    let last = v4::sign_trailer(&trailers, &running, &params).unwrap().into_parts().1;
    encoded += "x-amz-meta-b:2\r\nx-amz-checksum-crc32:DUoRhQ==\r\n";
    encoded += &format!("x-amz-trailer-signature:{last}\r\n\r\n");

    let decode = |encoded: &str| {
        let signer = chunked::ChunkSigner::new(&claim, SECRET);
        chunked::decode(encoded.as_bytes(), Some(signer))
    };
    let decoded = decode(&encoded).unwrap();
    assert_eq!(&decoded.body[..], b"hello world");
    assert_eq!(decoded.trailers.len(), 2);
    for (from, to) in [("world", "wurld"), ("DUoRhQ", "EUoRhQ"), (&*last, "0")] {
        let changed = encoded.replace(from, to);
        assert_eq!(decode(&changed), Err(chunked::ChunkError::Signature), "{from}");
    }
}

#[rstest]
#[case("Basic eDp5", "Unsupported Authorization Type")]
#[case("AWS4-HMAC-SHA256 SignedHeaders=host, Signature=0", "'Credential'")]
#[case("AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request, Signature=0", "'SignedHeaders'")]
#[case(
    "AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request, SignedHeaders=host",
    "'Signature'"
)]
#[case(
    "AWS4-HMAC-SHA256 Credential=A/20150830/s/aws4_request, SignedHeaders=host, Signature=0",
    "form <access key id>"
)]
#[case(
    "AWS4-HMAC-SHA256 Credential=A/20150831/r/s/aws4_request, SignedHeaders=host, Signature=0",
    "does not match YYYYMMDD"
)]
#[case(
    "AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request, SignedHeaders=x-amz-date, Signature=0",
    "'Host'"
)]
fn malformed_claims(#[case] authorization: &str, #[case] expected: &str) {
    let headers = [("x-amz-date", "20150830T123600Z"), ("authorization", authorization)];
    let message = Claim::read(&request("GET", "/", "", &headers)).unwrap_err();
    assert!(message.contains(expected), "{message}");
}

#[test]
fn an_unsigned_request_claims_nothing() {
    assert_eq!(Claim::read(&request("GET", "/", "", &[])), Ok(None));
}
