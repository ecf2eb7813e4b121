//! The session policy: what narrows the ceiling role to one grant, and ends it on time with nobody's
//! help.
//!
//! A session may do what both the role and this policy allow. Its time deny makes AWS itself enforce
//! the grant's end to the second: with the broker down, without a write to IAM, and for grants that
//! are shorter than the 900 s that STS gives at least (I2, I3). What AWS checks is the start of a
//! request: a download under way at the deadline runs to its end.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session>

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{arn::Partition, s3_access::S3Access};

/// What AWS takes at most, in characters.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
#[cfg(test)]
const LONGEST: usize = 2_048;

/// The session policy of a grant that ends at `until`; without an end only for a probe that is to
/// show that something else denies. Compact JSON.
pub(crate) fn session_policy(
    access: &S3Access,
    partition: Partition,
    until: Option<Timestamp>,
) -> String {
    let bucket = format!("arn:{}:s3:::{}", partition.as_str(), access.bucket());
    let mut statements = vec![
        json!({"Effect": "Allow", "Action": access.bucket_actions(), "Resource": bucket}),
        json!({
            "Effect": "Allow",
            "Action": access.object_actions(),
            "Resource": format!("{bucket}/*"),
        }),
        // Not being allowed would not do: a trust policy that names this session would let it go on
        // to another role, under a name that no deny of ours covers.
        json!({"Effect": "Deny", "Action": "sts:AssumeRole", "Resource": "*"}),
    ];
    if let Some(until) = until {
        statements.push(deny_from(until));
    }
    document(&statements)
}

/// A session policy under which nothing at all can be done: for looking whether a session can be
/// had.
pub(crate) fn nothing() -> String {
    document(&[json!({"Effect": "Deny", "Action": "*", "Resource": "*"})])
}

fn document(statements: &[Value]) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// Fractions of a second are cut off, so that the end is never late.
fn deny_from(until: Timestamp) -> Value {
    let until = until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"DateGreaterThanEquals": {"aws:CurrentTime": until}},
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::s3_access::tests::spec;

    fn policy(permission: &str, bucket: &str, partition: Partition) -> String {
        let access = S3Access::of(&spec(permission, bucket)).unwrap();
        let until = "2026-05-01T12:30:00.999Z".parse().unwrap();
        session_policy(&access, partition, Some(until))
    }

    #[test]
    fn reading_one_bucket() {
        let written: Value =
            serde_json::from_str(&policy("read-only", "reports", Partition::Commercial)).unwrap();
        let expected = json!({
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["s3:ListBucket", "s3:GetBucketLocation"],
                    "Resource": "arn:aws:s3:::reports",
                },
                {
                    "Effect": "Allow",
                    "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                    "Resource": "arn:aws:s3:::reports/*",
                },
                {"Effect": "Deny", "Action": "sts:AssumeRole", "Resource": "*"},
                {
                    "Effect": "Deny",
                    "Action": "*",
                    "Resource": "*",
                    "Condition": {
                        "DateGreaterThanEquals": {"aws:CurrentTime": "2026-05-01T12:30:00Z"},
                    },
                },
            ],
        });
        assert_eq!(written, expected);
    }

    #[test]
    fn writing_one_bucket() {
        let written: Value =
            serde_json::from_str(&policy("read-write", "reports", Partition::Commercial)).unwrap();
        let bucket = ["s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads"];
        let objects = [
            "s3:GetObject",
            "s3:GetObjectVersion",
            "s3:PutObject",
            "s3:DeleteObject",
            "s3:AbortMultipartUpload",
            "s3:ListMultipartUploadParts",
        ];
        assert_eq!(written["Statement"][0]["Action"], json!(bucket));
        assert_eq!(written["Statement"][1]["Action"], json!(objects));
    }

    #[rstest]
    #[case(Partition::Commercial, "arn:aws:s3:::reports/*")]
    #[case(Partition::China, "arn:aws-cn:s3:::reports/*")]
    #[case(Partition::GovCloud, "arn:aws-us-gov:s3:::reports/*")]
    fn speaks_the_partitions_arns(#[case] partition: Partition, #[case] resource: &str) {
        let written: Value =
            serde_json::from_str(&policy("read-only", "reports", partition)).unwrap();
        assert_eq!(written["Statement"][1]["Resource"], resource);
    }

    #[test]
    fn a_probes_policy_differs_in_the_end_alone() {
        let access = S3Access::of(&spec("read-only", "reports")).unwrap();
        let endless = session_policy(&access, Partition::Commercial, None);
        let mut with_end: Value =
            serde_json::from_str(&policy("read-only", "reports", Partition::Commercial)).unwrap();
        with_end["Statement"].as_array_mut().unwrap().pop();
        assert_eq!(serde_json::from_str::<Value>(&endless).unwrap(), with_end);
    }

    #[test]
    fn the_longest_bucket_name_fits() {
        let longest = "x".repeat(63);
        let text = policy("read-write", &longest, Partition::GovCloud);
        assert!(text.contains(&longest));
        assert!(text.len() <= LONGEST / 2, "{} characters", text.len());
        assert!(!text.contains([' ', '\n']), "{text}");
    }
}
