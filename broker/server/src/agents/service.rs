//! The agents' side of the broker: enrolment, renewal, and the standing stream.

use std::{pin::Pin, sync::Arc};

use ebbgate_broker_app::{AppError, Broker};
use ebbgate_broker_ports::store::AgentRecord;
use ebbgate_domain::{Timestamp, audit::Action, ids::AgentId, names::IntegrationName};
use ebbgate_proto::v1::{self, agent_message::Message, agent_service_server::AgentService};
use futures_util::{Stream, StreamExt as _};
use secrecy::SecretString;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{attending::Attending, convert::BadMessage, hub::Hub};
use crate::{config::Integration, tls::Authority};

/// Whom the client's certificate names; an extension of each request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerAgent(pub(crate) Option<AgentId>);

/// The agents' service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Agents {
    pub broker: Broker,
    pub hub: Arc<Hub>,
    pub authority: Arc<Authority>,
    /// Which agent serves which integration, by the settings.
    pub integrations: Arc<Vec<Integration>>,
}

#[tonic::async_trait]
impl AgentService for Agents {
    async fn enroll(
        &self,
        request: Request<v1::EnrollRequest>,
    ) -> Result<Response<v1::EnrollResponse>, Status> {
        let message = request.into_inner();
        let token = self
            .broker
            .enrolment_token(&SecretString::from(message.token))
            .await
            .map_err(status)?;
        let id = self.broker.new_agent_id();
        let (certificate, ends) = self.sign(&message.signing_request, id)?;
        self.broker.enrol(&token, id, ends).await.map_err(status)?;
        tracing::info!(agent.id = %id, agent.name = %token.agent, "agent enrolled");
        Ok(Response::new(v1::EnrollResponse {
            agent_id: id.to_string(),
            agent_name: token.agent.to_string(),
            certificate,
            authority: self.authority.pem().to_owned(),
            order_keys: self.hub.order_keys(),
        }))
    }

    async fn renew_certificate(
        &self,
        request: Request<v1::RenewCertificateRequest>,
    ) -> Result<Response<v1::RenewCertificateResponse>, Status> {
        let record = self.known(&request).await?;
        let (certificate, ends) = self.sign(&request.into_inner().signing_request, record.id)?;
        let record = AgentRecord { certificate_expires_at: ends, ..record };
        self.broker.note_agent(record, Action::AgentCertificateRenewed).await.map_err(status)?;
        Ok(Response::new(v1::RenewCertificateResponse {
            certificate,
            authority: self.authority.pem().to_owned(),
            order_keys: self.hub.order_keys(),
        }))
    }

    type AttendStream = Pin<Box<dyn Stream<Item = Result<v1::BrokerMessage, Status>> + Send>>;

    async fn attend(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        let record = self.known(&request).await?;
        let mut inbound = request.into_inner();
        let Some(Message::Hello(hello)) = inbound.message().await?.and_then(|first| first.message)
        else {
            return Err(Status::invalid_argument("the first message must be Hello"));
        };
        let (attending, joined) = Attending::take_up(self.clone(), record, &hello).await?;
        let outbound = UnboundedReceiverStream::new(joined.outbound);
        tokio::spawn(attending.listen(inbound, joined.number, joined.stop));
        Ok(Response::new(Box::pin(outbound.map(Ok))))
    }
}

impl Agents {
    fn sign(&self, request: &[u8], id: AgentId) -> Result<(String, Timestamp), Status> {
        self.authority.agent_certificate(request, id, self.broker.now()).map_err(|error| {
            tracing::warn!(
                error = ebbgate_broker_ports::chain(&error),
                "cannot sign an agent's certificate"
            );
            Status::invalid_argument(error.to_string())
        })
    }

    /// The agent that the connection's certificate names, if it still may speak.
    async fn known<T>(&self, request: &Request<T>) -> Result<AgentRecord, Status> {
        let peer = request.extensions().get::<PeerAgent>().and_then(|peer| peer.0);
        let id = peer.ok_or_else(|| Status::unauthenticated("an agent's certificate is needed"))?;
        self.admitted(id).await
    }

    /// The agent of that id, if it still may speak.
    pub(super) async fn admitted(&self, id: AgentId) -> Result<AgentRecord, Status> {
        self.broker.known_agent(id).await.map_err(|error| match error {
            AppError::NotFound { .. } => Status::permission_denied(
                "this agent is not known any more, was revoked, or another has taken its name: \
                 enrol it again",
            ),
            other => status(other),
        })
    }

    /// The integrations that the agent offers, the settings give it and its token allows.
    pub(super) fn served_by(&self, agent: &AgentRecord, hello: &v1::Hello) -> Vec<IntegrationName> {
        let given = |offered: &IntegrationName| {
            let by_settings = self.integrations.iter().any(|integration| {
                integration.name == *offered && integration.target.agents().contains(&agent.name)
            });
            let allowed = agent.allowed_integrations.as_ref();
            by_settings && allowed.is_none_or(|allowed| allowed.contains(offered))
        };
        let offered = hello.integrations.iter().filter_map(|name| name.parse().ok());
        let (served, refused): (Vec<_>, Vec<_>) = offered.partition(given);
        for integration in refused {
            tracing::warn!(agent.name = %agent.name, integration = %integration, "the settings or its token do not give this integration to this agent");
        }
        served
    }
}

pub(super) fn bad(error: BadMessage) -> Status {
    Status::invalid_argument(error.to_string())
}

/// What an agent is told of an error: its sentence; causes stay in the log.
pub(super) fn status(error: AppError) -> Status {
    match &error {
        AppError::TokenRefused | AppError::Store(ebbgate_broker_ports::StoreError::TokenSpent) => {
            Status::permission_denied(AppError::TokenRefused.to_string())
        }
        AppError::NotFound { .. } => Status::not_found(error.to_string()),
        AppError::Store(_) => {
            tracing::error!(error = ebbgate_broker_ports::chain(&error), "an agent's call failed");
            Status::unavailable(error.to_string())
        }
        _ => Status::failed_precondition(error.to_string()),
    }
}
