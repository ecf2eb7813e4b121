//! The way to the broker: one stream that the agent opens, and opens again whenever it breaks. The
//! agent needs it for new grants only; what it holds it ends alone.

use std::{sync::Arc, time::Duration};

use ebbgate_proto::v1::{self, agent_service_client::AgentServiceClient};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use crate::{
    convert,
    identity::{AgentDir, IdentityError},
    keeper::Event,
    renewal::{Renewal, RenewalError},
    settings::BrokerUrl,
    telemetry::chain,
    tls,
    trust::Trust,
};

/// The shortest and the longest pause between two attempts, in milliseconds.
const SHORTEST_PAUSE_MS: u64 = 200;
const LONGEST_PAUSE_MS: u64 = 30_000;
/// A broker that says nothing for so long, though it is to answer a heartbeat every ten seconds, is
/// called anew.
const SILENCE: Duration = Duration::from_secs(45);
/// How long the broker may take to say what stands.
const WELCOME: Duration = Duration::from_secs(15);
/// How many reports may wait to be sent.
const OUTBOX: usize = 4_096;
/// A Welcome lists every standing order: about 500 bytes each.
const LARGEST_MESSAGE: usize = 64 << 20;

/// What the way to the broker needs.
pub(crate) struct Uplink {
    pub broker: BrokerUrl,
    pub dir: AgentDir,
    pub events: mpsc::UnboundedSender<Event>,
    pub renewal: Arc<Renewal>,
    /// Told when the present stream is to be given up for a new one.
    pub redial: Arc<Notify>,
}

/// The stream could not be had, or broke.
#[derive(Debug, thiserror::Error)]
enum UplinkError {
    #[error("cannot use the agent's identity")]
    Identity(#[from] IdentityError),
    #[error("cannot tell the broker's orders from others")]
    OrderKeys(#[from] RenewalError),
    #[error("cannot connect to the broker at {broker}")]
    Connect { broker: BrokerUrl, source: tonic::transport::Error },
    #[error(
        "the broker does not know this agent any more: enrol it again with `ebbgate-agent enroll --force`"
    )]
    Unknown(#[source] Box<tonic::Status>),
    #[error("the broker ended the stream")]
    Stream(#[source] Box<tonic::Status>),
    #[error("the broker ended the stream before it said what stands")]
    NoWelcome,
    #[error("the broker did not say within {} s what stands", WELCOME.as_secs())]
    NoWelcomeInTime,
    #[error("the broker said nothing for {} s", SILENCE.as_secs())]
    Silent,
}

impl From<tonic::Status> for UplinkError {
    fn from(status: tonic::Status) -> Self {
        match status.code() {
            tonic::Code::PermissionDenied | tonic::Code::Unauthenticated => {
                Self::Unknown(Box::new(status))
            }
            _ => Self::Stream(Box::new(status)),
        }
    }
}

impl Uplink {
    /// Keeps a stream open, until `stop` and the present stream's end.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut failures = 0;
        while let Some(stream) = stop.run_until_cancelled(self.open()).await {
            let result = match stream {
                Ok((stream, trust)) => {
                    failures = 0;
                    self.attend(stream, &trust).await
                }
                Err(error) => {
                    failures += 1;
                    Err(error)
                }
            };
            self.tell(Event::Detached);
            match result {
                Ok(()) => tracing::info!("the stream to the broker has ended"),
                Err(error) => tracing::warn!(
                    error = chain(&error),
                    "no stream to the broker: what is held is ended on time all the same"
                ),
            }
            stop.run_until_cancelled(tokio::time::sleep(pause(failures))).await;
        }
    }

    /// Connects, says Hello and waits for the Welcome.
    async fn open(&self) -> Result<(Streaming<v1::BrokerMessage>, Trust), UplinkError> {
        // Who asked for a new stream gets this one.
        drop(timeout(Duration::ZERO, self.redial.notified()).await);
        let keys = self.renewal.order_keys().await?;
        let trust = Trust::new(self.dir.enrolment()?.id, keys);
        let credentials = self.dir.credentials()?;
        let channel = tls::connect(self.broker.as_str(), &credentials)
            .await
            .map_err(|source| UplinkError::Connect { broker: self.broker.clone(), source })?;
        let mut client =
            AgentServiceClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
        let (outbox, outbound) = mpsc::channel(OUTBOX);
        self.tell(Event::Attached(outbox));
        let begin = async {
            let mut inbound = client.attend(ReceiverStream::new(outbound)).await?.into_inner();
            if !self.hear_next(&mut inbound, &trust).await? {
                return Err(UplinkError::NoWelcome);
            }
            Ok(inbound)
        };
        let inbound = timeout(WELCOME, begin).await.map_err(|_| UplinkError::NoWelcomeInTime)??;
        tracing::info!(broker = %self.broker, "connected to the broker");
        Ok((inbound, trust))
    }

    /// Hears the broker until the stream ends or is given up.
    async fn attend(
        &self,
        mut inbound: Streaming<v1::BrokerMessage>,
        trust: &Trust,
    ) -> Result<(), UplinkError> {
        loop {
            tokio::select! {
                next = timeout(SILENCE, self.hear_next(&mut inbound, trust)) => {
                    if !next.map_err(|_| UplinkError::Silent)?? {
                        return Ok(());
                    }
                }
                () = self.redial.notified() => return Ok(()),
            }
        }
    }

    /// Passes the broker's next message on; false where there is none any more.
    async fn hear_next(
        &self,
        inbound: &mut Streaming<v1::BrokerMessage>,
        trust: &Trust,
    ) -> Result<bool, UplinkError> {
        let Some(message) = inbound.message().await? else { return Ok(false) };
        match convert::heard(message, trust) {
            Ok(Some(heard)) => self.tell(Event::Heard(heard)),
            Ok(None) => {
                tracing::debug!("the broker said what this version does not know");
            }
            // Only this message is lost; the broker sends an order again that is not answered.
            Err(rejected) => rejected.log(),
        }
        Ok(true)
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more where the agent stops.
        drop(self.events.send(event));
    }
}

/// A pause of random length, so that agents that lost the same broker don't come back together.
fn pause(failures: u32) -> Duration {
    let ceiling = SHORTEST_PAUSE_MS.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE_MS);
    Duration::from_millis(rand::random_range(SHORTEST_PAUSE_MS..=ceiling))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_bounds() {
        for failures in 0..40 {
            for _ in 0..50 {
                let pause = pause(failures).as_millis();
                assert!((200..=30_000).contains(&pause), "{failures}: {pause}");
            }
        }
        assert_eq!(pause(0).as_millis(), 200);
        assert!((0..200).any(|_| pause(20).as_millis() > 10_000));
    }
}
