//! AssumeRole: the one call that makes credentials.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sdk_sts::{
    Client,
    operation::assume_role::AssumeRoleOutput,
    types::{Credentials as StsCredentials, Tag},
};
use ebbgate_connector_api::{ConnectorError, ErrorKind};
use ebbgate_domain::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tracing::warn;

use crate::{arn::RoleArn, failure::failed};

/// From so many per cent of the room in a session's token on it is worth a warning; above 100 STS
/// refuses.
const NEARLY_FULL: i32 = 80;
const UNUSABLE: &str = "the answer holds no credentials, or none with a legal expiry";

/// What a session is to be.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) name: String,
    pub(crate) source_identity: Option<String>,
    pub(crate) policy: Option<String>,
    pub(crate) seconds: u32,
    /// Transitive, all of them.
    pub(crate) tags: Vec<(&'static str, String)>,
}

/// Credentials of a session. Debug shows no secret.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: SecretString,
    pub(crate) session_token: SecretString,
    pub(crate) expires_at: Timestamp,
}

impl Session {
    /// As the SDK's signer wants them.
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::new(
            self.access_key_id.clone(),
            self.secret_access_key.expose_secret(),
            Some(self.session_token.expose_secret().to_owned()),
            Some(SystemTime::from(self.expires_at)),
            "ebbgate",
        )
    }
}

/// Makes sessions of one role.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    sts: Client,
    role: RoleArn,
}

impl Sessions {
    pub(crate) fn new(sts: Client, role: RoleArn) -> Self {
        Self { sts, role }
    }

    /// Asks STS for a session.
    ///
    /// # Errors
    /// As STS answers.
    pub(crate) async fn assume(&self, ask: Ask) -> Result<Session, ConnectorError> {
        let doing = format!("assume {} as {}", self.role, ask.name);
        let mut call = self
            .sts
            .assume_role()
            .role_arn(self.role.as_str())
            .role_session_name(&ask.name)
            .set_source_identity(ask.source_identity)
            .set_policy(ask.policy)
            .duration_seconds(i32::try_from(ask.seconds).unwrap_or(i32::MAX));
        for (key, value) in ask.tags {
            let tag = Tag::builder().key(key).value(value).build().map_err(|error| {
                ConnectorError::new(ErrorKind::Invalid, &doing).because(error.to_string())
            })?;
            call = call.tags(tag).transitive_tag_keys(key);
        }
        let answer = call.send().await.map_err(|error| failed(&doing, &error))?;
        warn_when_nearly_full(&self.role, &ask.name, &answer);
        answer
            .credentials
            .as_ref()
            .and_then(session)
            .ok_or_else(|| ConnectorError::new(ErrorKind::Unreachable, doing).because(UNUSABLE))
    }
}

fn session(credentials: &StsCredentials) -> Option<Session> {
    let expiration = credentials.expiration();
    let nanos = i32::try_from(expiration.subsec_nanos()).ok()?;
    Some(Session {
        access_key_id: credentials.access_key_id().to_owned(),
        secret_access_key: SecretString::from(credentials.secret_access_key()),
        session_token: SecretString::from(credentials.session_token()),
        expires_at: Timestamp::new(expiration.secs(), nanos).ok()?,
    })
}

fn warn_when_nearly_full(role: &RoleArn, session: &str, answer: &AssumeRoleOutput) {
    #[allow(deprecated, reason = "it is all that older doubles of STS tell")]
    let percent = answer.session_token_utilization.max(answer.packed_policy_size);
    if let Some(percent) = percent.filter(|percent| *percent >= NEARLY_FULL) {
        warn!(
            aws.role = %role, aws.session = session, aws.token_percent = percent,
            "the session's policy and tags nearly fill what STS admits"
        );
    }
}
