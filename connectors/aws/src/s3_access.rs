//! What a grant gives on a bucket: checked here, since the bucket's name goes into a policy and a
//! host name, where a `*` or a `/` would mean something else.

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_domain::{inventory::ResourceKind, order::GrantSpec};

/// A level of access to one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct S3Access {
    bucket: String,
    level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    ReadOnly,
    ReadWrite,
}

impl S3Access {
    /// Reads a grant.
    ///
    /// # Errors
    /// `Invalid` where this connector can't grant that.
    pub(crate) fn of(spec: &GrantSpec) -> Result<Self, ConnectorError> {
        if spec.kind != ResourceKind::S3 {
            return Err(invalid(
                spec,
                format!("an AWS account has no resources of kind {}", spec.kind),
            ));
        }
        let level = match spec.permission.as_str() {
            "read-only" => Level::ReadOnly,
            "read-write" => Level::ReadWrite,
            other => {
                let known = ResourceKind::S3.permissions().join(", ");
                return Err(invalid(
                    spec,
                    format!("'{other}' is not one of the permissions {known}"),
                ));
            }
        };
        match broken_rule(&spec.native) {
            None => Ok(Self { bucket: spec.native.clone(), level }),
            Some(rule) => {
                let name: String = spec.native.chars().take(80).collect();
                Err(invalid(spec, format!("'{name}' is not a bucket's name: {rule}")))
            }
        }
    }

    /// The bucket's name.
    pub(crate) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The actions on the bucket itself.
    pub(crate) fn bucket_actions(&self) -> &'static [&'static str] {
        match self.level {
            Level::ReadOnly => &["s3:ListBucket", "s3:GetBucketLocation"],
            Level::ReadWrite => {
                &["s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads"]
            }
        }
    }

    /// The actions on what is in it.
    pub(crate) fn object_actions(&self) -> &'static [&'static str] {
        match self.level {
            Level::ReadOnly => &["s3:GetObject", "s3:GetObjectVersion"],
            Level::ReadWrite => &[
                "s3:GetObject",
                "s3:GetObjectVersion",
                "s3:PutObject",
                "s3:DeleteObject",
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
            ],
        }
    }
}

fn invalid(spec: &GrantSpec, why: String) -> ConnectorError {
    let doing = format!("grant {} on {}", spec.permission, spec.resource);
    ConnectorError::new(ErrorKind::Invalid, doing).because(why)
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
fn broken_rule(name: &str) -> Option<&'static str> {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    if !(3..=63).contains(&bytes.len()) {
        return Some("it has 3 to 63 characters");
    }
    if !bytes.iter().all(|b| alphanumeric(b) || matches!(b, b'.' | b'-')) {
        return Some("use a-z, 0-9, dots and hyphens");
    }
    if !bytes.first().is_some_and(alphanumeric) || !bytes.last().is_some_and(alphanumeric) {
        return Some("it begins and ends with a letter or digit");
    }
    name.contains("..").then_some("two dots don't follow each other")
}

#[cfg(test)]
pub(crate) mod tests {
    use rstest::rstest;

    use super::*;

    /// A grant of 2026-05-01, 12:00 to 12:30.
    pub(crate) fn spec(permission: &str, bucket: &str) -> GrantSpec {
        GrantSpec {
            grant: "grt_0192f0c1e0007000800000000000000a".parse().unwrap(),
            request: "req_0192f0c1e0007000800000000000000b".parse().unwrap(),
            principal: "ana@example.com".parse().unwrap(),
            integration: "prod".parse().unwrap(),
            resource: "prod/s3/reports".parse().unwrap(),
            kind: ResourceKind::S3,
            native: bucket.to_owned(),
            permission: permission.parse().unwrap(),
            rights: Vec::new(),
            flow: "data-reports".parse().unwrap(),
            ticket: None,
            deadline: "2026-05-01T12:30:00Z".parse().unwrap(),
            credentials_until: None,
            recorded: false,
        }
    }

    #[test]
    fn writing_is_more_than_reading() {
        let read = S3Access::of(&spec("read-only", "reports")).unwrap();
        let write = S3Access::of(&spec("read-write", "reports")).unwrap();
        for action in read.object_actions() {
            assert!(write.object_actions().contains(action), "{action}");
            assert!(action.starts_with("s3:Get"), "{action}");
        }
        for action in read.bucket_actions() {
            assert!(write.bucket_actions().contains(action), "{action}");
        }
        assert!(write.object_actions().contains(&"s3:DeleteObject"));
    }

    #[rstest]
    #[case("abc")]
    #[case("my.bucket-1")]
    #[case(&"x".repeat(63))]
    fn legal_names(#[case] name: &str) {
        assert_eq!(S3Access::of(&spec("read-only", name)).unwrap().bucket(), name);
    }

    #[rstest]
    #[case("ab", "3 to 63")]
    #[case(&"x".repeat(64), "3 to 63")]
    #[case("re*", "use a-z")]
    #[case("a/b", "use a-z")]
    #[case("${aws:userid}", "use a-z")]
    #[case("Reports", "use a-z")]
    #[case("-reports", "begins and ends")]
    #[case("reports.", "begins and ends")]
    #[case("a..b", "two dots")]
    fn illegal_names(#[case] name: &str, #[case] rule: &str) {
        let error = S3Access::of(&spec("read-only", name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.chain().contains(rule), "{}", error.chain());
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let error = S3Access::of(&spec("select", "reports")).unwrap_err();
        assert!(
            error.chain().ends_with("'select' is not one of the permissions read-only, read-write")
        );
        let database = GrantSpec { kind: ResourceKind::Postgres, ..spec("read-only", "reports") };
        assert_eq!(S3Access::of(&database).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
