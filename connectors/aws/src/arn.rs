//! A role's ARN, checked once: its partition, account and name go into policies and host names.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// `arn:aws:iam::123456789012:role/ebbgate/ceiling`.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns>
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleArn {
    text: String,
    partition: Partition,
    account: String,
    name: String,
}

/// One of AWS's separate worlds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Partition {
    Commercial,
    China,
    GovCloud,
}

/// Why a text is no ARN of a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a role's ARN: {rule}")]
pub struct InvalidArn {
    /// What was given (its first 200 characters).
    pub text: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

impl Partition {
    /// What ARNs call it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Commercial => "aws",
            Self::China => "aws-cn",
            Self::GovCloud => "aws-us-gov",
        }
    }

    /// What its services' host names end in.
    pub(crate) fn dns_suffix(self) -> &'static str {
        match self {
            Self::China => "amazonaws.com.cn",
            Self::Commercial | Self::GovCloud => "amazonaws.com",
        }
    }
}

impl RoleArn {
    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The account's twelve digits.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The role's name, without its path: what IAM's calls take.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn partition(&self) -> Partition {
        self.partition
    }
}

fn parts(text: &str) -> Result<(Partition, &str, &str), &'static str> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, role] = parts[..] else {
        return Err("write arn:PARTITION:iam::ACCOUNT:role/NAME");
    };
    let partition = match partition {
        "aws" => Partition::Commercial,
        "aws-cn" => Partition::China,
        "aws-us-gov" => Partition::GovCloud,
        _ => return Err("the partition is one of aws, aws-cn, aws-us-gov"),
    };
    if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
        return Err("the account has twelve digits");
    }
    let Some(path) = role.strip_prefix("role/") else {
        return Err("it names no role: role/NAME or role/PATH/NAME follows the account");
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    if !(1..=64).contains(&name.len()) || !name.bytes().all(legal) {
        return Err("a role's name has 1 to 64 characters of A-Z a-z 0-9 _ + = , . @ -");
    }
    if !path.bytes().all(|b| b.is_ascii_graphic()) || path.contains(['*', '?']) {
        return Err("a role's path is printable ASCII, without wildcards");
    }
    Ok((partition, account, name))
}

impl FromStr for RoleArn {
    type Err = InvalidArn;

    fn from_str(text: &str) -> Result<Self, InvalidArn> {
        let (partition, account, name) = parts(text)
            .map_err(|rule| InvalidArn { text: text.chars().take(200).collect(), rule })?;
        Ok(Self {
            text: text.to_owned(),
            partition,
            account: account.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl TryFrom<String> for RoleArn {
    type Error = InvalidArn;

    fn try_from(text: String) -> Result<Self, InvalidArn> {
        text.parse()
    }
}

impl From<RoleArn> for String {
    fn from(arn: RoleArn) -> String {
        arn.text
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("arn:aws:iam::123456789012:role/ebbgate/ceiling", "aws", "ceiling")]
    #[case("arn:aws-cn:iam::123456789012:role/ceiling", "aws-cn", "ceiling")]
    #[case("arn:aws-us-gov:iam::123456789012:role/a/b/c.d@e", "aws-us-gov", "c.d@e")]
    fn takes_a_role_apart(#[case] text: &str, #[case] partition: &str, #[case] name: &str) {
        let arn: RoleArn = text.parse().unwrap();
        assert_eq!(arn.partition().as_str(), partition);
        assert_eq!(arn.account(), "123456789012");
        assert_eq!(arn.name(), name);
        assert_eq!(arn.to_string(), text);
    }

    #[rstest]
    #[case("ceiling", "write arn:PARTITION:iam::ACCOUNT:role/NAME")]
    #[case("arn:aws:sts::123456789012:role/x", "write arn:")]
    #[case("arn:aws:iam:eu-west-1:123456789012:role/x", "write arn:")]
    #[case("arn:azure:iam::123456789012:role/x", "the partition is one of")]
    #[case("arn:aws:iam::1234:role/x", "twelve digits")]
    #[case("arn:aws:iam::12345678901a:role/x", "twelve digits")]
    #[case("arn:aws:iam::123456789012:user/x", "names no role")]
    #[case("arn:aws:iam::123456789012:role/", "1 to 64")]
    #[case("arn:aws:iam::123456789012:role/a*", "1 to 64")]
    #[case("arn:aws:iam::123456789012:role/a b/c", "printable ASCII")]
    #[case("arn:aws:iam::123456789012:role/*/c", "without wildcards")]
    fn tells_which_rule_is_broken(#[case] text: &str, #[case] rule: &str) {
        let error = text.parse::<RoleArn>().unwrap_err().to_string();
        assert!(error.contains(rule), "{error}");
    }
}
