//! Certificates are short-lived: the agent has the next one made, with a new key, when a third of
//! the present one's life is left.

use std::{sync::Arc, time::Duration};

use ebbgate_proto::v1::{RenewCertificateRequest, agent_service_client::AgentServiceClient};
use tokio::{sync::Notify, time::timeout};

use crate::{
    clock::Clocks,
    identity::{AgentDir, IdentityError, NewKey, Validity},
    settings::BrokerUrl,
    telemetry::chain,
    tls,
};

/// How often the certificate's age is looked at; a renewal that failed is tried again as often.
const EVERY: Duration = Duration::from_secs(60);
/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What renewal needs.
pub(crate) struct Renewal {
    pub broker: BrokerUrl,
    pub dir: AgentDir,
    pub clocks: Arc<dyn Clocks>,
    /// Told when there is a new certificate to be shown.
    pub redial: Arc<Notify>,
}

#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error("cannot use or replace the agent's identity")]
    Identity(#[from] IdentityError),
    #[error("cannot connect to the broker")]
    Connect(#[from] tonic::transport::Error),
    #[error("the broker made no certificate")]
    Refused(#[source] Box<tonic::Status>),
    #[error("the broker did not answer within {} s", PATIENCE.as_secs())]
    Silent,
}

impl Renewal {
    /// Renews for ever.
    pub(crate) async fn run(self) {
        loop {
            match self.renew_if_waning().await {
                Ok(None) => {}
                Ok(Some(validity)) => {
                    tracing::info!(until = %validity.until, "the agent's certificate is renewed");
                    self.redial.notify_one();
                }
                Err(error) => tracing::warn!(
                    error = chain(&error),
                    "the agent's certificate cannot be renewed yet"
                ),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn renew_if_waning(&self) -> Result<Option<Validity>, RenewalError> {
        let present = self.dir.credentials()?;
        let (validity, now) = (Validity::of(&present.certificate)?, self.clocks.now());
        if !validity.is_waning(now) {
            return Ok(None);
        }
        if validity.until <= now {
            return Err(IdentityError::Certificate { what: "has expired" }.into());
        }
        let new = NewKey::generate()?;
        let renew = async {
            let channel = tls::connect(self.broker.as_str(), &present).await?;
            let request = RenewCertificateRequest { signing_request: new.signing_request.clone() };
            let answer = AgentServiceClient::new(channel).renew_certificate(request).await;
            answer.map_err(|status| RenewalError::Refused(Box::new(status)))
        };
        let answer =
            timeout(PATIENCE, renew).await.map_err(|_| RenewalError::Silent)??.into_inner();
        let credentials = new.certified(answer.certificate, answer.authority)?;
        let validity = Validity::of(&credentials.certificate)?;
        self.dir.install(&credentials)?;
        Ok(Some(validity))
    }
}
