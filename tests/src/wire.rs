//! An agent played by hand: it has the real agent's key and certificate and speaks its protocol, so
//! that a test can say what no real agent would.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use ebbgate_proto::v1::{
    self, agent_message::Message as Say, agent_service_client::AgentServiceClient,
    broker_message::Message as Heard,
};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::clock::now;

/// The broker's name towards agents.
const BROKER_NAME: &str = "broker.ebbgate.internal";
/// The longest wait for the broker's next word.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stream that stands.
#[derive(Debug)]
pub struct WireAgent {
    say: mpsc::UnboundedSender<v1::AgentMessage>,
    heard: Streaming<v1::BrokerMessage>,
    /// What the broker said first.
    pub welcome: v1::Welcome,
}

/// Connects with the key and the certificate in an agent's directory.
///
/// # Errors
/// When the files can't be read or the broker refuses the connection.
pub async fn client(dir: &Path, broker: &str) -> Result<AgentServiceClient<Channel>> {
    let read =
        |name: &str| fs::read(dir.join(name)).with_context(|| format!("read the agent's {name}"));
    let tls = ClientTlsConfig::new()
        .domain_name(BROKER_NAME)
        .ca_certificate(Certificate::from_pem(read("ca.pem")?))
        .identity(Identity::from_pem(read("cert.pem")?, read("key.pem")?));
    let channel = Endpoint::from_shared(broker.to_owned())?.tls_config(tls)?.connect().await?;
    Ok(AgentServiceClient::new(channel))
}

impl WireAgent {
    /// Says Hello as the agent in `dir`, offering these integrations and holding nothing.
    ///
    /// # Errors
    /// When the broker does not welcome it.
    pub async fn attend(dir: &Path, broker: &str, integrations: &[&str]) -> Result<Self> {
        let mut client = client(dir, broker).await?;
        let (say, said) = mpsc::unbounded_channel();
        let hello = v1::Hello {
            version: "by hand".to_owned(),
            now_ms: now().as_millisecond(),
            integrations: integrations.iter().map(ToString::to_string).collect(),
            ..v1::Hello::default()
        };
        say.send(v1::AgentMessage { message: Some(Say::Hello(hello)) })?;
        let stream = UnboundedReceiverStream::new(said);
        let mut heard = client.attend(stream).await.context("attend")?.into_inner();
        match next(&mut heard).await? {
            Heard::Welcome(welcome) => Ok(Self { say, heard, welcome }),
            other => bail!("instead of a welcome: {other:?}"),
        }
    }

    /// The broker's next order, whatever else it says before that.
    ///
    /// # Errors
    /// When none comes.
    pub async fn order(&mut self) -> Result<v1::Order> {
        loop {
            if let Heard::Order(signed) = next(&mut self.heard).await? {
                return read_order(&signed);
            }
        }
    }

    /// Tells an outcome and waits until the broker has taken it up.
    ///
    /// # Errors
    /// When it does not.
    pub async fn outcome(&mut self, outcome: v1::Outcome) -> Result<v1::OutcomeRecorded> {
        self.say.send(v1::AgentMessage { message: Some(Say::Outcome(outcome)) })?;
        loop {
            if let Heard::OutcomeRecorded(recorded) = next(&mut self.heard).await? {
                return Ok(recorded);
            }
        }
    }

    /// Says something.
    ///
    /// # Errors
    /// When the stream has ended.
    pub fn say(&self, message: Say) -> Result<()> {
        Ok(self.say.send(v1::AgentMessage { message: Some(message) })?)
    }

    /// The broker's next word.
    ///
    /// # Errors
    /// When the stream ends or the broker is silent.
    pub async fn next(&mut self) -> Result<Heard> {
        next(&mut self.heard).await
    }
}

/// What an order says; whoever only looks at it need not verify it.
///
/// # Errors
/// When it is none.
pub fn read_order(signed: &v1::Signed) -> Result<v1::Order> {
    v1::Order::decode(signed.payload.as_slice()).context("read an order")
}

async fn next(heard: &mut Streaming<v1::BrokerMessage>) -> Result<Heard> {
    let message = tokio::time::timeout(PATIENCE, heard.message()).await.context("silence")??;
    message.context("the stream ended")?.message.context("an empty message")
}
