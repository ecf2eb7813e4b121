//! Enrolment: a one-time token becomes a certificate. The private key is made here and stays here.

use std::{io::Read as _, path::Path, time::Duration};

use ebbgate_domain::{ids::AgentId, names::AgentName};
use ebbgate_proto::v1::{EnrollRequest, EnrollResponse, agent_service_client::AgentServiceClient};
use secrecy::ExposeSecret as _;
use tokio::time::timeout;

use crate::{
    files::{self, FileError},
    identity::{AgentDir, Enrolment, IdentityError, NewKey},
    settings::BrokerUrl,
    tls,
    token::{EnrolmentToken, InvalidToken},
    trust::{OrderKeys, OrderKeysError},
};

/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The agent could not be enrolled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrollError {
    #[error(transparent)]
    Token(#[from] InvalidToken),
    #[error("cannot read the token from standard input")]
    Stdin(#[source] std::io::Error),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(
        "{dir} holds an enrolled agent already: choose another --dir, or replace its identity with --force"
    )]
    Enrolled { dir: String },
    #[error("cannot connect to the broker at {broker}")]
    Connect { broker: BrokerUrl, source: tonic::transport::Error },
    #[error(
        "the broker does not take the token: it has expired or was used already; ask for a new one with `ebb admin agents token NAME`"
    )]
    Refused(#[source] Box<tonic::Status>),
    #[error("the broker could not enrol the agent: try again")]
    Failed(#[source] Box<tonic::Status>),
    #[error("the broker at {broker} did not answer within {} s", PATIENCE.as_secs())]
    Silent { broker: BrokerUrl },
    #[error("the broker's answer has no usable {field}")]
    Answer { field: &'static str },
    #[error("cannot take the keys that the broker signs orders with")]
    OrderKeys(#[from] OrderKeysError),
    #[error("the broker told no key that it signs orders with: upgrade the broker first")]
    NoOrderKeys,
}

/// The token as given, or from standard input where that is `-`.
///
/// # Errors
/// It is none.
pub(crate) fn token(given: &str) -> Result<EnrolmentToken, EnrollError> {
    if given != "-" {
        return Ok(given.parse()?);
    }
    let mut text = String::new();
    // A token is some 140 characters: who pipes in more has something else.
    std::io::stdin().take(4_096).read_to_string(&mut text).map_err(EnrollError::Stdin)?;
    Ok(text.parse()?)
}

/// Enrols the agent in `dir`.
///
/// # Errors
/// The broker can't be reached, is not the one that made the token, or refuses.
pub(crate) async fn enroll(
    broker: &BrokerUrl,
    token: &EnrolmentToken,
    dir: &Path,
    force: bool,
) -> Result<Enrolment, EnrollError> {
    files::make_private_dir(dir)?;
    let agent = AgentDir::new(dir);
    let _lock = agent.lock()?;
    if agent.is_enrolled() && !force {
        return Err(EnrollError::Enrolled { dir: dir.display().to_string() });
    }
    let new = NewKey::generate()?;
    let answer = timeout(PATIENCE, ask(broker, token, &new))
        .await
        .map_err(|_| EnrollError::Silent { broker: broker.clone() })??;
    let id: AgentId =
        answer.agent_id.parse().map_err(|_| EnrollError::Answer { field: "agent id" })?;
    let name: AgentName =
        answer.agent_name.parse().map_err(|_| EnrollError::Answer { field: "agent name" })?;
    let keys = OrderKeys::told(&answer.order_keys)?.ok_or(EnrollError::NoOrderKeys)?;
    let enrolment = Enrolment { id, name, broker: broker.as_str().to_owned() };
    keys.keep(&agent)?;
    agent.enrol(&enrolment, &new.certified(answer.certificate, answer.authority)?)?;
    Ok(enrolment)
}

async fn ask(
    broker: &BrokerUrl,
    token: &EnrolmentToken,
    new: &NewKey,
) -> Result<EnrollResponse, EnrollError> {
    let channel = tls::connect_pinned(broker.as_str(), token.pin)
        .await
        .map_err(|source| EnrollError::Connect { broker: broker.clone(), source })?;
    let request = EnrollRequest {
        token: token.text.expose_secret().to_owned(),
        signing_request: new.signing_request.clone(),
    };
    let answer = AgentServiceClient::new(channel).enroll(request).await.map_err(|status| {
        match status.code() {
            tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => {
                EnrollError::Refused(Box::new(status))
            }
            _ => EnrollError::Failed(Box::new(status)),
        }
    })?;
    Ok(answer.into_inner())
}
