//! `aws-chunked` bodies, as S3 clients send them: chunks, signed or not, and trailers that carry
//! checksums.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>

use aws_lc_rs::hmac;
use axum::body::Bytes;

use super::{Claim, same, sha256_hex};

const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A decoded body with the headers that followed it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) body: Bytes,
    pub(crate) trailers: Vec<(String, String)>,
}

/// What is wrong with a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChunkError {
    /// It can't be read.
    Malformed(&'static str),
    /// A chunk or the trailers are not signed as they should be.
    Signature,
}

/// Follows the chain of signatures from the request's own over each chunk to the trailers.
pub(crate) struct ChunkSigner {
    key: hmac::Key,
    date: String,
    scope: String,
    previous: String,
}

impl ChunkSigner {
    /// Starts the chain with the request's signature.
    pub(crate) fn new(claim: &Claim, secret: &str) -> Self {
        Self {
            key: claim.signing_key(secret),
            date: claim.date.clone(),
            scope: claim.scope.text(),
            previous: claim.signature.clone(),
        }
    }

    fn accept(&mut self, kind: &str, hashes: &str, signature: &str) -> Result<(), ChunkError> {
        let to_sign = format!(
            "AWS4-HMAC-SHA256-{kind}\n{}\n{}\n{}\n{hashes}",
            self.date, self.scope, self.previous
        );
        let expected = hex::encode(hmac::sign(&self.key, to_sign.as_bytes()));
        if !same(&expected, signature) {
            return Err(ChunkError::Signature);
        }
        self.previous = expected;
        Ok(())
    }
}

/// Decodes a body, and verifies its chunks if a signer is given.
///
/// # Errors
/// A body that is cut short or malformed, or a wrong signature.
pub(crate) fn decode(
    encoded: &[u8],
    mut signer: Option<ChunkSigner>,
) -> Result<Decoded, ChunkError> {
    let mut body = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    loop {
        let (head, after) = line(rest).ok_or(ChunkError::Malformed("a chunk has no header"))?;
        let (size, extension) = head.split_once(';').unwrap_or((head, ""));
        let size = usize::from_str_radix(size, 16)
            .map_err(|_| ChunkError::Malformed("a chunk's size is not hexadecimal"))?;
        let data = after.get(..size).ok_or(ChunkError::Malformed("a chunk is cut short"))?;
        if let Some(signer) = &mut signer {
            let signature =
                extension.strip_prefix("chunk-signature=").ok_or(ChunkError::Signature)?;
            let hashes = format!("{EMPTY_SHA256}\n{}", sha256_hex(data));
            signer.accept("PAYLOAD", &hashes, signature)?;
        }
        rest = &after[size..];
        if size == 0 {
            break;
        }
        body.extend_from_slice(data);
        rest = rest
            .strip_prefix(b"\r\n")
            .ok_or(ChunkError::Malformed("a chunk does not end where it should"))?;
    }
    Ok(Decoded { body: body.into(), trailers: trailers(rest, signer)? })
}

fn trailers(
    mut rest: &[u8],
    signer: Option<ChunkSigner>,
) -> Result<Vec<(String, String)>, ChunkError> {
    let mut trailers = Vec::new();
    let mut signature = None;
    while let Some((header, after)) = line(rest) {
        rest = after;
        // Old clients end each trailer with a bare line feed.
        for header in header.split('\n').filter(|header| !header.is_empty()) {
            let (name, value) =
                header.split_once(':').ok_or(ChunkError::Malformed("a trailer has no colon"))?;
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
            if name == "x-amz-trailer-signature" {
                signature = Some(value);
            } else {
                trailers.push((name, value));
            }
        }
    }
    if let (Some(mut signer), false) = (signer, trailers.is_empty()) {
        let mut sorted: Vec<_> = trailers.iter().collect();
        sorted.sort();
        let canonical: String =
            sorted.into_iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let signature = signature.ok_or(ChunkError::Signature)?;
        signer.accept("TRAILER", &sha256_hex(canonical.as_bytes()), &signature)?;
    }
    Ok(trailers)
}

/// The text up to the next CRLF, and what follows it.
fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    Some((text, &bytes[end + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigv4::Scope;
    use rstest::rstest;

    /// The example of AWS's page on chunked uploads: 66,560 letters in chunks of 64 KiB.
    fn published_example() -> (Vec<u8>, ChunkSigner) {
        let mut body = Vec::new();
        for (size, signature) in [
            (65_536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
            (1_024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
            (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
        ] {
            body.extend(format!("{size:x};chunk-signature={signature}\r\n").bytes());
            body.extend(vec![b'a'; size]);
            body.extend(b"\r\n");
        }
        let claim = Claim {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            scope: Scope {
                day: "20130524".to_owned(),
                region: "us-east-1".to_owned(),
                service: "s3".to_owned(),
            },
            date: "20130524T000000Z".to_owned(),
            signed_at: "2013-05-24T00:00:00Z".parse().unwrap(),
            signed_headers: vec!["host".to_owned()],
            signature: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
                .to_owned(),
            session_token: None,
            presigned_for: None,
        };
        let signer = ChunkSigner::new(&claim, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        (body, signer)
    }

    #[test]
    fn the_published_example_verifies() {
        let (encoded, signer) = published_example();
        let decoded = decode(&encoded, Some(signer)).unwrap();
        assert_eq!(decoded.body.len(), 66_560);
        assert!(decoded.body.iter().all(|b| *b == b'a'));
    }

    #[test]
    fn a_changed_byte_breaks_the_chain() {
        let (mut encoded, signer) = published_example();
        encoded[70_000 - 4_000] = b'b';
        assert_eq!(decode(&encoded, Some(signer)), Err(ChunkError::Signature));
    }

    #[test]
    fn unsigned_chunks_with_a_checksum_behind() {
        let encoded = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
        let decoded = decode(encoded, None).unwrap();
        assert_eq!(&decoded.body[..], b"hello world");
        let trailer = ("x-amz-checksum-crc32".to_owned(), "DUoRhQ==".to_owned());
        assert_eq!(decoded.trailers, [trailer]);
    }

    #[rstest]
    #[case(b"", "a chunk has no header")]
    #[case(b"z\r\n", "a chunk's size is not hexadecimal")]
    #[case(b"5\r\nhel", "a chunk is cut short")]
    #[case(b"5\r\nhello0\r\n\r\n", "a chunk does not end where it should")]
    #[case(b"0\r\nx-amz\r\n\r\n", "a trailer has no colon")]
    fn malformed(#[case] encoded: &[u8], #[case] expected: &'static str) {
        assert_eq!(decode(encoded, None), Err(ChunkError::Malformed(expected)));
    }
}
