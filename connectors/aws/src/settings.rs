//! What the operator says about an AWS account.

use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_domain::names::IntegrationName;
use url::Url;

use crate::arn::RoleArn;

/// One AWS account.
#[derive(Debug, Clone)]
pub struct AwsSettings {
    /// The integration's name.
    pub integration: IntegrationName,
    /// The region whose STS is asked, and where the buckets are looked for first.
    pub region: String,
    /// The role that each grant is a narrowed session of. It bounds what can be granted at all.
    pub ceiling_role: RoleArn,
    /// The role that the broker itself takes on first; without it the broker's own credentials must
    /// be of the ceiling role's account.
    pub assume_role: Option<RoleArn>,
    /// Where STS, IAM and S3 are, instead of AWS: for emulators.
    pub endpoint: Option<Url>,
}

impl AwsSettings {
    /// # Errors
    /// `Invalid`: what does not fit together.
    pub(crate) fn check(&self) -> Result<(), ConnectorError> {
        match self.broken_rule() {
            None => Ok(()),
            Some(rule) => {
                let doing = format!("use the settings of the integration '{}'", self.integration);
                Err(ConnectorError::new(ErrorKind::Invalid, doing).because(rule))
            }
        }
    }

    fn broken_rule(&self) -> Option<String> {
        let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=40).contains(&self.region.len()) || !self.region.bytes().all(letters) {
            let region: String = self.region.chars().take(80).collect();
            return Some(format!("region: '{region}' is no region; write one such as eu-west-1"));
        }
        if let Some(own) = &self.assume_role {
            let ceiling = &self.ceiling_role;
            if (own.account(), own.partition()) != (ceiling.account(), ceiling.partition()) {
                return Some(format!(
                    "assume_role: {own} is of another account than the ceiling role {ceiling}, whose \
                     policies it must write; name a role of the account {}",
                    ceiling.account()
                ));
            }
        }
        let endpoint = self.endpoint.as_ref()?;
        let usable = matches!(endpoint.scheme(), "http" | "https")
            && endpoint.has_host()
            && endpoint.path() == "/"
            && endpoint.query().is_none()
            && endpoint.username().is_empty();
        (!usable).then(|| "endpoint: write it as http://HOST:PORT or https://HOST:PORT".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn settings(region: &str, own: Option<&str>, endpoint: Option<&str>) -> AwsSettings {
        AwsSettings {
            integration: "prod".parse().unwrap(),
            region: region.to_owned(),
            ceiling_role: "arn:aws:iam::123456789012:role/ebbgate/ceiling".parse().unwrap(),
            assume_role: own.map(|arn| arn.parse().unwrap()),
            endpoint: endpoint.map(|url| url.parse().unwrap()),
        }
    }

    #[rstest]
    #[case("eu-west-1", None, None)]
    #[case("us-gov-east-1", Some("arn:aws:iam::123456789012:role/ebbgate-connector"), None)]
    #[case("eu-west-1", None, Some("http://127.0.0.1:4566"))]
    #[case("eu-west-1", None, Some("https://localhost/"))]
    fn usable(#[case] region: &str, #[case] own: Option<&str>, #[case] endpoint: Option<&str>) {
        settings(region, own, endpoint).check().unwrap();
    }

    #[rstest]
    #[case("", None, None, "region: '' is no region")]
    #[case("evil.example.com/", None, None, "is no region")]
    #[case("eu-west-1", Some("arn:aws:iam::999999999999:role/x"), None, "of another account")]
    #[case("eu-west-1", Some("arn:aws-cn:iam::123456789012:role/x"), None, "of another account")]
    #[case("eu-west-1", None, Some("ftp://127.0.0.1"), "endpoint: write it as")]
    #[case("eu-west-1", None, Some("http://127.0.0.1/path"), "endpoint: write it as")]
    #[case("eu-west-1", None, Some("http://user@127.0.0.1"), "endpoint: write it as")]
    fn unusable(
        #[case] region: &str,
        #[case] own: Option<&str>,
        #[case] endpoint: Option<&str>,
        #[case] why: &str,
    ) {
        let error = settings(region, own, endpoint).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.chain().contains(why), "{}", error.chain());
        assert!(error.chain().contains("'prod'"), "{}", error.chain());
    }
}
