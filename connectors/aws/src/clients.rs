//! The SDK's clients, with what the SDK leaves open: time-outs, an emulator's address, and the role
//! that the broker takes on before anything else.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, SdkConfig, identity::IdentityCache, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};

use crate::{
    sessions::{Ask, Sessions},
    settings::AwsSettings,
};

/// Until a connection must stand.
pub(crate) const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// Until one attempt must be answered.
pub(crate) const ATTEMPT_PATIENCE: Duration = Duration::from_secs(5);
/// Until a call with all its attempts must be answered.
const CALL_PATIENCE: Duration = Duration::from_secs(20);
/// The broker's own session lasts as long as each role admits and no chained one exceeds.
const OWN_SESSION_SECONDS: u32 = crate::lifetime::LONGEST_CHAINED;

/// The clients for STS and IAM.
pub(crate) fn clients(
    settings: &AwsSettings,
    sdk: &SdkConfig,
) -> (aws_sdk_sts::Client, aws_sdk_iam::Client) {
    let mut sdk = sdk
        .clone()
        .into_builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .retry_config(RetryConfig::standard())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_PATIENCE)
                .operation_attempt_timeout(ATTEMPT_PATIENCE)
                .operation_timeout(CALL_PATIENCE)
                .build(),
        );
    // None, too, is said: S3 is looked at where the settings say, so the others must be there.
    let endpoint = settings.endpoint.as_ref();
    sdk.set_endpoint_url(endpoint.map(|url| url.as_str().trim_end_matches('/').to_owned()));
    let mut sdk = sdk.build();
    if let Some(role) = &settings.assume_role {
        let sts = aws_sdk_sts::Client::new(&sdk);
        let own = OwnRole { sessions: Sessions::new(sts, role.clone()) };
        sdk = sdk
            .into_builder()
            .credentials_provider(SharedCredentialsProvider::new(own))
            .identity_cache(IdentityCache::lazy().load_timeout(CALL_PATIENCE).build())
            .build();
    }
    (aws_sdk_sts::Client::new(&sdk), aws_sdk_iam::Client::new(&sdk))
}

/// The broker's role in the account. Its session bears no SourceIdentity: once set, that could not
/// be another one in the sessions that people get.
#[derive(Debug)]
struct OwnRole {
    sessions: Sessions,
}

impl OwnRole {
    async fn assume(&self) -> Result<Credentials, CredentialsError> {
        let ask = Ask {
            name: "ebbgate-broker".to_owned(),
            source_identity: None,
            policy: None,
            seconds: OWN_SESSION_SECONDS,
            tags: Vec::new(),
        };
        let session = self.sessions.assume(ask).await.map_err(CredentialsError::provider_error)?;
        Ok(session.credentials())
    }
}

impl ProvideCredentials for OwnRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.assume())
    }
}
