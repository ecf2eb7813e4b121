//! Certificates are short-lived: the agent has the next one made, with a new key, when a third of
//! the present one's life is left. The broker tells its own keys along.

use std::{sync::Arc, time::Duration};

use ebbgate_proto::v1::{RenewCertificateRequest, agent_service_client::AgentServiceClient};
use tokio::{
    sync::{Mutex, Notify},
    time::timeout,
};

use crate::{
    clock::Clocks,
    files::FileError,
    identity::{AgentDir, Credentials, IdentityError, NewKey, Validity},
    settings::BrokerUrl,
    telemetry::chain,
    tls,
    trust::{OrderKeys, OrderKeysError},
};

/// How often the certificate's age is looked at; a renewal that failed is tried again as often.
const EVERY: Duration = Duration::from_secs(60);
/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What renewal needs.
pub(crate) struct Renewal {
    broker: BrokerUrl,
    dir: AgentDir,
    clocks: Arc<dyn Clocks>,
    /// Told when there is a new certificate to be shown.
    redial: Arc<Notify>,
    /// One at a time.
    turn: Mutex<()>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewalError {
    #[error("cannot use or replace the agent's identity")]
    Identity(#[from] IdentityError),
    #[error("cannot connect to the broker")]
    Connect(#[from] tonic::transport::Error),
    #[error("the broker made no certificate")]
    Refused(#[source] Box<tonic::Status>),
    #[error("the broker did not answer within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("cannot take the keys that the broker signs orders with")]
    OrderKeys(#[from] OrderKeysError),
    #[error("cannot keep the keys that the broker signs orders with")]
    File(#[from] FileError),
    #[error("the broker told no key that it signs orders with: upgrade the broker first")]
    NoOrderKeys,
}

impl Renewal {
    pub(crate) fn new(
        broker: BrokerUrl,
        dir: AgentDir,
        clocks: Arc<dyn Clocks>,
        redial: Arc<Notify>,
    ) -> Self {
        Self { broker, dir, clocks, redial, turn: Mutex::new(()) }
    }

    /// Renews for ever.
    pub(crate) async fn run(self: Arc<Self>) {
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
        let _turn = self.turn.lock().await;
        let present = self.dir.credentials()?;
        if !Validity::of(&present.certificate)?.is_waning(self.clocks.now()) {
            return Ok(None);
        }
        self.renew(&present).await.map(Some)
    }

    /// The keys that the broker signs orders with. An agent that does not know them, because it was
    /// enrolled before there were any, learns them by a renewal.
    ///
    /// # Errors
    /// They are not known, and the broker does not tell them.
    pub(crate) async fn order_keys(&self) -> Result<OrderKeys, RenewalError> {
        let _turn = self.turn.lock().await;
        match OrderKeys::known(&self.dir) {
            Ok(Some(keys)) => return Ok(keys),
            Ok(None) => tracing::info!("asking the broker for the keys that it signs orders with"),
            Err(error) => tracing::warn!(
                error = chain(&error),
                "asking the broker anew for the keys that it signs orders with"
            ),
        }
        self.renew(&self.dir.credentials()?).await?;
        OrderKeys::known(&self.dir)?.ok_or(RenewalError::NoOrderKeys)
    }

    async fn renew(&self, present: &Credentials) -> Result<Validity, RenewalError> {
        if Validity::of(&present.certificate)?.until <= self.clocks.now() {
            return Err(IdentityError::Certificate { what: "has expired" }.into());
        }
        let new = NewKey::generate()?;
        let renew = async {
            let channel = tls::connect(self.broker.as_str(), present).await?;
            let request = RenewCertificateRequest { signing_request: new.signing_request.clone() };
            let answer = AgentServiceClient::new(channel).renew_certificate(request).await;
            answer.map_err(|status| RenewalError::Refused(Box::new(status)))
        };
        let answer =
            timeout(PATIENCE, renew).await.map_err(|_| RenewalError::Silent)??.into_inner();
        let keys = OrderKeys::told(&answer.order_keys)?.ok_or(RenewalError::NoOrderKeys)?;
        let credentials = new.certified(answer.certificate, answer.authority)?;
        let validity = Validity::of(&credentials.certificate)?;
        keys.keep(&self.dir)?;
        self.dir.install(&credentials)?;
        Ok(validity)
    }
}
