//! The agents' side of the broker: enrolment, renewal, and the standing stream.

use std::{pin::Pin, sync::Arc};

use ebbgate_broker_app::{AppError, Broker};
use ebbgate_broker_ports::{Outcome, store::AgentRecord};
use ebbgate_domain::{
    audit::{Action, Actor},
    ids::{AgentId, GrantId},
    names::{AgentName, IntegrationName},
};
use ebbgate_proto::v1::{
    self, agent_message::Message, agent_service_server::AgentService, broker_message,
};
use futures_util::{Stream, StreamExt as _};
use secrecy::SecretString;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    convert::{self, BadMessage},
    hub::Hub,
};
use crate::{
    config::{Integration, Target},
    tls::Authority,
};

/// How many outcomes of one agent are put on record at once.
const AT_ONCE: usize = 16;

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

/// An agent that is connected.
#[derive(Clone)]
struct Attending {
    agents: Agents,
    record: AgentRecord,
    integrations: Arc<Vec<IntegrationName>>,
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
        let authority = self.authority.pem().to_owned();
        Ok(Response::new(v1::RenewCertificateResponse { certificate, authority }))
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
        let integrations = self.served_by(&record.name, &hello);
        let record = AgentRecord {
            version: Some(hello.version.chars().take(64).collect()),
            integrations: integrations.clone(),
            ..record
        };
        let now = self.broker.now();
        let orders = self.broker.standing_orders(&integrations).await.map_err(status)?;
        let welcome = broker_message::Message::Welcome(v1::Welcome {
            now_ms: now.as_millisecond(),
            orders: orders.iter().map(|order| convert::order(order, now)).collect(),
            integrations: integrations.iter().map(ToString::to_string).collect(),
        });
        // On record before it gets an order: what is not in the audit log did not connect.
        self.broker.note_agent(record.clone(), Action::AgentConnected).await.map_err(status)?;
        let welcome = v1::BrokerMessage { message: Some(welcome) };
        let (number, outbound) = self.hub.join(&record.name, integrations.clone(), welcome);
        tracing::info!(agent.name = %record.name, orders = orders.len(), "agent connected");
        self.broker.wake();

        let attending =
            Attending { agents: self.clone(), record, integrations: Arc::new(integrations) };
        tokio::spawn(attending.listen(inbound, number));
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(outbound).map(Ok))))
    }
}

impl Agents {
    fn sign(
        &self,
        request: &[u8],
        id: AgentId,
    ) -> Result<(String, ebbgate_domain::Timestamp), Status> {
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
        self.broker.known_agent(id).await.map_err(|error| match error {
            AppError::NotFound { .. } => Status::permission_denied(
                "this agent is not known any more, or another has taken its name: enrol it again",
            ),
            other => status(other),
        })
    }

    /// The integrations that the agent offers and the settings give it.
    fn served_by(&self, agent: &AgentName, hello: &v1::Hello) -> Vec<IntegrationName> {
        hello
            .integrations
            .iter()
            .filter(|offered| {
                let given = self.integrations.iter().any(|integration| {
                    integration.name.as_str() == offered.as_str()
                        && matches!(&integration.target, Target::Postgres { at, .. } if at == agent)
                });
                if !given {
                    tracing::warn!(agent.name = %agent, integration = %offered, "the settings do not give this integration to this agent");
                }
                given
            })
            .filter_map(|name| name.parse().ok())
            .collect()
    }
}

impl Attending {
    /// Hears the agent until its stream ends.
    async fn listen(self, inbound: Streaming<v1::AgentMessage>, number: u64) {
        let name = self.record.name.clone();
        // An outcome that cannot be put on record ends the stream: the agent keeps it and tells it
        // again when it comes back.
        let hear = |message: Result<v1::AgentMessage, Status>| {
            let this = self.clone();
            async move { this.hear(message?).await }
        };
        let mut heard = inbound.map(hear).buffer_unordered(AT_ONCE);
        while let Some(result) = heard.next().await {
            if let Err(error) = result {
                tracing::info!(agent.name = %name, reason = error.message(), "an agent's stream ends");
                break;
            }
        }
        drop(heard);
        let Self { agents, record, .. } = self;
        agents.hub.leave(&name, number);
        if let Err(error) = agents.broker.note_agent(record, Action::AgentDisconnected).await {
            tracing::error!(agent.name = %name, error = ebbgate_broker_ports::chain(&error), "cannot note that an agent left");
        }
    }

    async fn hear(&self, message: v1::AgentMessage) -> Result<(), Status> {
        match message.message {
            Some(Message::Outcome(outcome)) => self.outcome(outcome).await,
            Some(Message::CredentialOutcome(outcome)) => {
                let grant = convert::grant(&outcome.grant_id).map_err(bad)?;
                self.agents.hub.answered(grant, outcome);
                Ok(())
            }
            Some(Message::OrphanRemoved(orphan)) => self.orphan(orphan).await,
            Some(Message::Hello(_)) => Err(Status::invalid_argument("Hello comes once")),
            // A newer agent may say what this broker does not know yet.
            None => Ok(()),
        }
    }

    async fn outcome(&self, message: v1::Outcome) -> Result<(), Status> {
        let (grant, seq, outcome) = convert::outcome(message).map_err(bad)?;
        let torn_down = matches!(outcome, Outcome::TornDown(_));
        let broker = &self.agents.broker;
        if !broker.is_on(grant, &self.integrations).await.map_err(status)? {
            tracing::warn!(agent.name = %self.record.name, grant.id = %grant, "an outcome for a grant that is not this agent's");
            return self.recorded(grant, seq, torn_down);
        }
        let actor = Actor::Agent(self.record.name.clone());
        broker.record_outcome(grant, seq, outcome, actor, broker.now()).await.map_err(status)?;
        self.recorded(grant, seq, torn_down)
    }

    fn recorded(&self, grant: GrantId, seq: u64, torn_down: bool) -> Result<(), Status> {
        let recorded = v1::OutcomeRecorded { seq, grant_id: grant.to_string(), torn_down };
        let message = broker_message::Message::OutcomeRecorded(recorded);
        // Where it left meanwhile, it tells the outcome again, which changes nothing.
        self.agents.hub.tell(&self.record.name, message);
        Ok(())
    }

    async fn orphan(&self, orphan: v1::OrphanRemoved) -> Result<(), Status> {
        let integration: IntegrationName =
            orphan.integration.parse().map_err(|_| bad(BadMessage("integration")))?;
        if !self.integrations.contains(&integration) {
            return Err(bad(BadMessage("integration of its own")));
        }
        let grant = convert::grant(&orphan.grant_id).map_err(bad)?;
        let finding =
            orphan.finding.ok_or(BadMessage("finding")).and_then(convert::finding).map_err(bad)?;
        let actor = Actor::Agent(self.record.name.clone());
        let broker = &self.agents.broker;
        broker.record_orphan(&integration, grant, &finding, actor).await.map_err(status)
    }
}

fn bad(error: BadMessage) -> Status {
    Status::invalid_argument(error.to_string())
}

/// What an agent is told of an error: its sentence; causes stay in the log.
fn status(error: AppError) -> Status {
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
