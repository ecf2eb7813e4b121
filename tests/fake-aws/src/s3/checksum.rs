//! Checksums that clients send along, in a header or behind the body: a double that took a damaged
//! body would hide a client's mistake.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc::{CRC_32_ISCSI, CRC_32_ISO_HDLC, CRC_64_NVME, Crc};
use http::{HeaderName, HeaderValue};
use md5::{Digest as _, Md5};

use super::not_implemented;
use crate::error::AwsError;
use crate::service::Call;

const PREFIX: &str = "x-amz-checksum-";

/// Verifies `Content-MD5` and the checksum of a call's body, and gives the latter, to be kept.
///
/// # Errors
/// `BadDigest`, `MalformedTrailerError`, or `NotImplemented` for an algorithm that is unknown here.
pub(super) fn verify(call: &Call<'_>) -> Result<Option<(HeaderName, HeaderValue)>, AwsError> {
    let body = &call.body;
    if let Some(md5) = call.request.header("content-md5")
        && md5 != STANDARD.encode(Md5::digest(body))
    {
        return Err(AwsError::bad_request(
            "BadDigest",
            "The Content-MD5 you specified did not match what we received.",
        ));
    }
    let announced = call.request.header("x-amz-trailer");
    if let Some(name) = announced
        && !call.trailers.iter().any(|(trailer, _)| trailer == name)
    {
        return Err(AwsError::bad_request(
            "MalformedTrailerError",
            "The request contained trailing data that was not well-formed or did not conform to \
             our published schema.",
        ));
    }
    let headers = call.request.headers.iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let trailers = call.trailers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    for (name, value) in headers.chain(trailers) {
        let Some(algorithm) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if matches!(algorithm, "mode" | "type" | "algorithm") {
            continue;
        }
        let computed = compute(algorithm, body).ok_or_else(|| not_implemented(name))?;
        if value != STANDARD.encode(computed) {
            return Err(AwsError::bad_request(
                "BadDigest",
                format!(
                    "The {} you specified did not match the calculated checksum.",
                    algorithm.to_ascii_uppercase()
                ),
            ));
        }
        let unreadable = |_| not_implemented(name);
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| not_implemented(name))?;
        let value = HeaderValue::from_str(value).map_err(unreadable)?;
        return Ok(Some((header, value)));
    }
    Ok(None)
}

fn compute(algorithm: &str, body: &[u8]) -> Option<Vec<u8>> {
    const CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
    const CRC64: Crc<u64> = Crc::<u64>::new(&CRC_64_NVME);
    let sha = |algorithm| digest::digest(algorithm, body).as_ref().to_vec();
    Some(match algorithm {
        "crc32" => CRC32.checksum(body).to_be_bytes().to_vec(),
        "crc32c" => CRC32C.checksum(body).to_be_bytes().to_vec(),
        "crc64nvme" => CRC64.checksum(body).to_be_bytes().to_vec(),
        "sha1" => sha(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        "sha256" => sha(&digest::SHA256),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// Check values of the catalogue of CRC algorithms and of FIPS 180, for "123456789" and "abc".
    #[rstest]
    #[case("crc32", "123456789", "cbf43926")]
    #[case("crc32c", "123456789", "e3069283")]
    #[case("crc64nvme", "123456789", "ae8b14860a799888")]
    #[case("sha1", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d")]
    #[case("sha256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    fn known_values(#[case] algorithm: &str, #[case] body: &str, #[case] expected: &str) {
        let computed = compute(algorithm, body.as_bytes()).unwrap();
        assert_eq!(hex::encode(computed), expected);
    }

    #[test]
    fn others_are_unknown() {
        assert_eq!(compute("xxhash3", b""), None);
    }
}
