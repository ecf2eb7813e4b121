//! Buckets and objects, in memory, and how they are listed.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use md5::{Digest as _, Md5};

/// All buckets by name.
pub(crate) type Buckets = BTreeMap<String, Bucket>;

/// A bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) created: Timestamp,
    pub(crate) region: String,
    pub(crate) objects: BTreeMap<String, Arc<Object>>,
}

/// An object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) body: Bytes,
    /// With its quotes.
    pub(crate) etag: String,
    pub(crate) modified: Timestamp,
    /// `Content-Type`, `x-amz-meta-…` and others that come back as they were sent.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Such as `x-amz-checksum-crc32`, with its value.
    pub(crate) checksum: Option<(HeaderName, HeaderValue)>,
}

/// The ETag of an object that was put in one piece: its MD5.
pub(super) fn etag(body: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Md5::digest(body)))
}

/// What of a bucket is wanted.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) prefix: String,
    /// Keys that go on after it are rolled up. Never empty.
    pub(super) delimiter: Option<String>,
    pub(super) most: usize,
    pub(super) after: Option<Position>,
}

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Position {
    /// Behind a key.
    Key(String),
    /// Behind all keys that begin so.
    Prefix(String),
}

/// One page of a listing.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) objects: Vec<(String, Arc<Object>)>,
    pub(super) prefixes: Vec<String>,
    /// Where the next page begins, if there is more.
    pub(super) next: Option<Position>,
}

impl Position {
    /// As an opaque continuation token.
    pub(super) fn token(&self) -> String {
        let (kind, name) = match self {
            Self::Key(key) => ('k', key),
            Self::Prefix(prefix) => ('p', prefix),
        };
        STANDARD.encode(format!("{kind}{name}"))
    }

    /// Reads a continuation token.
    pub(super) fn from_token(token: &str) -> Option<Self> {
        let text = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
        match text.split_at_checked(1)? {
            ("k", key) => Some(Self::Key(key.to_owned())),
            ("p", prefix) => Some(Self::Prefix(prefix.to_owned())),
            _ => None,
        }
    }

    fn is_past(&self, key: &str) -> bool {
        match self {
            Self::Key(last) => key > last.as_str(),
            Self::Prefix(prefix) => key > prefix.as_str() && !key.starts_with(prefix.as_str()),
        }
    }
}

impl Bucket {
    /// One page of what is selected, in the order of keys' bytes.
    pub(super) fn list(&self, selection: &Selection) -> Listed {
        let Selection { prefix, delimiter, most, after } = selection;
        let mut listed = Listed::default();
        let mut last = None;
        let keys = self
            .objects
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(prefix.as_str()))
            .filter(|(key, _)| after.as_ref().is_none_or(|after| after.is_past(key)));
        for (key, object) in keys {
            let rolled_up = delimiter.as_ref().and_then(|delimiter| {
                let at = key[prefix.len()..].find(delimiter.as_str())?;
                Some(&key[..prefix.len() + at + delimiter.len()])
            });
            if rolled_up.is_some() && rolled_up == listed.prefixes.last().map(String::as_str) {
                continue;
            }
            if listed.objects.len() + listed.prefixes.len() == *most {
                listed.next = last;
                break;
            }
            last = Some(match rolled_up {
                Some(common) => {
                    listed.prefixes.push(common.to_owned());
                    Position::Prefix(common.to_owned())
                }
                None => {
                    listed.objects.push((key.clone(), Arc::clone(object)));
                    Position::Key(key.clone())
                }
            });
        }
        listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn bucket() -> Bucket {
        let object = Arc::new(Object {
            body: Bytes::new(),
            etag: etag(b""),
            modified: Timestamp::UNIX_EPOCH,
            headers: Vec::new(),
            checksum: None,
        });
        let keys = ["a/1", "a/2", "a/b/3", "b", "c/4", "d"];
        Bucket {
            created: Timestamp::UNIX_EPOCH,
            region: "us-east-1".to_owned(),
            objects: keys.into_iter().map(|key| (key.to_owned(), Arc::clone(&object))).collect(),
        }
    }

    /// All pages, each as its keys and prefixes in one text.
    fn pages(prefix: &str, delimiter: Option<&str>, most: usize) -> Vec<String> {
        let bucket = bucket();
        let mut selection = Selection {
            prefix: prefix.to_owned(),
            delimiter: delimiter.map(str::to_owned),
            most,
            after: None,
        };
        let mut pages = Vec::new();
        loop {
            let page = bucket.list(&selection);
            let keys = page.objects.iter().map(|(key, _)| key.clone());
            pages.push(keys.chain(page.prefixes).collect::<Vec<_>>().join(" "));
            match page.next {
                Some(next) => selection.after = Position::from_token(&next.token()),
                None => return pages,
            }
        }
    }

    #[rstest]
    #[case("", None, 1_000, &["a/1 a/2 a/b/3 b c/4 d"])]
    #[case("", None, 4, &["a/1 a/2 a/b/3 b", "c/4 d"])]
    #[case("", None, 6, &["a/1 a/2 a/b/3 b c/4 d"])]
    #[case("", Some("/"), 1_000, &["b d a/ c/"])]
    #[case("", Some("/"), 1, &["a/", "b", "c/", "d"])]
    #[case("a/", Some("/"), 1_000, &["a/1 a/2 a/b/"])]
    #[case("a", None, 2, &["a/1 a/2", "a/b/3"])]
    #[case("x", None, 1_000, &[""])]
    #[case("", None, 0, &[""])]
    fn listings(
        #[case] prefix: &str,
        #[case] delimiter: Option<&str>,
        #[case] most: usize,
        #[case] expected: &[&str],
    ) {
        assert_eq!(pages(prefix, delimiter, most), expected);
    }

    #[test]
    fn etags_are_quoted_md5() {
        assert_eq!(etag(b""), "\"d41d8cd98f00b204e9800998ecf8427e\"");
    }

    #[test]
    fn foreign_tokens_are_none() {
        assert_eq!(Position::from_token("?"), None);
        assert_eq!(Position::from_token(&STANDARD.encode("x1")), None);
    }
}
