//! A request as it came over the wire. Signatures are computed over raw bytes, so nothing here is
//! decoded before somebody asks.

use axum::body::Bytes;
use http::{HeaderMap, Method};

/// Method, undecoded path and query, headers and the whole body.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// A header's value, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The query's pairs, percent-decoded; a plus sign stays one, as in signatures.
    pub(crate) fn query_pairs(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(name), percent_decode(value))
        })
    }

    /// A parameter of the query, percent-decoded.
    pub(crate) fn query_value(&self, name: &str) -> Option<String> {
        self.query_pairs().find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// Undoes `%XX`. What is no valid escape stays as it is; what is no UTF-8 becomes U+FFFD.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| hex::decode(digits).ok());
        match escaped {
            Some(byte) => {
                decoded.extend(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Escapes all but RFC 3986's unreserved characters and those in `keep`.
pub(crate) fn percent_encode(text: &str, keep: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("a%20b%2Fc", "a b/c")]
    #[case("a+b", "a+b")]
    #[case("100%", "100%")]
    #[case("%zz%4", "%zz%4")]
    #[case("%C3%A9", "é")]
    fn decoding(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(percent_decode(text), expected);
    }

    #[test]
    fn encoding() {
        assert_eq!(percent_encode("a b/é~=", b"/"), "a%20b/%C3%A9~%3D");
        assert_eq!(percent_encode("a/b", b""), "a%2Fb");
    }
}
