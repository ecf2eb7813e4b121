//! The broker's side of the protocol, as small as can be: it enrols, signs, and hands each stream
//! to the test.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use ebbgate_domain::{Timestamp, ids::AgentId};
use ebbgate_proto::v1::{
    self,
    agent_message::Message as Said,
    agent_service_server::{AgentService, AgentServiceServer},
    broker_message::Message as Told,
};
use prost::Message as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair,
};
use rustls_pki_types::CertificateSigningRequestDer;
use tokio::{net::TcpListener, runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Certificate, Identity, Server, ServerTlsConfig},
};

use crate::support::{Grant, eventually, now};

const PATIENCE: Duration = Duration::from_secs(60);

/// A broker that can go away and come back at its address.
pub(crate) struct Broker {
    address: SocketAddr,
    office: Arc<Office>,
    streams: mpsc::UnboundedReceiver<Stream>,
    runtime: Option<Runtime>,
}

/// What the service needs.
struct Office {
    myself: Weak<Self>,
    authority: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
    /// How long agents' certificates live.
    life: Mutex<Duration>,
    /// The one token that can be spent.
    token: Mutex<Option<String>>,
    enrolled: AtomicUsize,
    renewed: AtomicUsize,
    streams: mpsc::UnboundedSender<Stream>,
    /// What it signs orders with.
    order_key: Mutex<Ed25519KeyPair>,
    /// Whether the next Welcome's orders are forged.
    forges: AtomicBool,
    /// Whether it answers heartbeats.
    answers: AtomicBool,
    /// How far its clock is ahead, in milliseconds.
    ahead_ms: AtomicI64,
}

/// The agent's id: every agent of these brokers has it.
pub(crate) fn agent_id() -> AgentId {
    AgentId::new(Timestamp::UNIX_EPOCH, [1; 10])
}

/// One stream of the agent, after its Hello.
pub(crate) struct Stream {
    pub(crate) hello: v1::Hello,
    /// The agent's certificate in DER.
    pub(crate) certificate: Vec<u8>,
    office: Arc<Office>,
    said: mpsc::UnboundedReceiver<v1::AgentMessage>,
    tell: mpsc::UnboundedSender<Result<v1::BrokerMessage, Status>>,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority = params.self_signed(&key).unwrap();
        let (streams, receiver) = mpsc::unbounded_channel();
        let office = Arc::new_cyclic(|myself| Office {
            myself: myself.clone(),
            authority,
            issuer: Issuer::new(params, key),
            life: Mutex::new(Duration::from_secs(24 * 3_600)),
            token: Mutex::new(None),
            enrolled: AtomicUsize::new(0),
            renewed: AtomicUsize::new(0),
            streams,
            order_key: Mutex::new(Ed25519KeyPair::generate().unwrap()),
            forges: AtomicBool::new(false),
            answers: AtomicBool::new(true),
            ahead_ms: AtomicI64::new(0),
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut broker = Self { address, office, streams: receiver, runtime: None };
        broker.come_back().await;
        broker
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A token that can be spent once.
    pub(crate) fn token(&self) -> String {
        let pin =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.office.authority.der());
        let token = format!("ebt_sesame.{}", hex::encode(pin));
        *self.office.token.lock().unwrap() = Some(token.clone());
        token
    }

    pub(crate) fn certificates_live(&self, life: Duration) {
        *self.office.life.lock().unwrap() = life;
    }

    pub(crate) fn enrolled(&self) -> usize {
        self.office.enrolled.load(Ordering::SeqCst)
    }

    pub(crate) fn renewed(&self) -> usize {
        self.office.renewed.load(Ordering::SeqCst)
    }

    /// From now on it signs with another key.
    pub(crate) fn change_order_key(&self) {
        *self.office.order_key.lock().unwrap() = Ed25519KeyPair::generate().unwrap();
    }

    /// The next Welcome's orders are not as they were signed.
    pub(crate) fn forge_next_welcome(&self) {
        self.office.forges.store(true, Ordering::SeqCst);
    }

    /// Whether it answers heartbeats. One that does not is heard of no more.
    pub(crate) fn answer(&self, answers: bool) {
        self.office.answers.store(answers, Ordering::SeqCst);
    }

    pub(crate) fn clock_is_ahead(&self, seconds: i64) {
        self.office.ahead_ms.store(seconds * 1_000, Ordering::SeqCst);
    }

    /// Is gone at once, with all its connections.
    pub(crate) fn go_away(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub(crate) async fn come_back(&mut self) {
        self.go_away();
        while self.streams.try_recv().is_ok() {}
        // The former listener's port may take a moment to be free again.
        let bind = async || std::net::TcpListener::bind(self.address);
        let listener = eventually("the broker's port", bind).await;
        listener.set_nonblocking(true).unwrap();
        self.address = listener.local_addr().unwrap();
        let runtime = Runtime::new().unwrap();
        let office = Arc::clone(&self.office);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let service = AgentServiceServer::from_arc(Arc::clone(&office));
            Server::builder()
                .tls_config(office.tls())
                .unwrap()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        self.runtime = Some(runtime);
    }

    /// The agent's next stream.
    pub(crate) async fn stream(&mut self) -> Stream {
        tokio::time::timeout(PATIENCE, self.streams.recv())
            .await
            .expect("the agent never called")
            .unwrap()
    }

    /// The agent's next stream, welcomed with these orders.
    pub(crate) async fn welcome(&mut self, orders: Vec<v1::Order>) -> Stream {
        self.welcome_with(orders, vec![]).await
    }

    /// The same, with grants that another agent holds.
    pub(crate) async fn welcome_with(
        &mut self,
        orders: Vec<v1::Order>,
        elsewhere: Vec<String>,
    ) -> Stream {
        let stream = self.stream().await;
        let mut orders: Vec<_> = orders.iter().map(|order| self.office.signed(order)).collect();
        if self.office.forges.swap(false, Ordering::SeqCst) {
            orders.iter_mut().for_each(|order| order.payload.push(0));
        }
        stream.tell(Told::Welcome(v1::Welcome {
            now_ms: self.office.now_ms(),
            orders,
            integrations: vec!["orders".to_owned()],
            elsewhere,
        }));
        stream
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.go_away();
    }
}

impl Stream {
    pub(crate) fn tell(&self, message: Told) {
        self.tell.send(Ok(v1::BrokerMessage { message: Some(message) })).unwrap();
    }

    pub(crate) fn order(&self, order: v1::Order) {
        self.tell(Told::Order(self.signed(&order)));
    }

    /// An order as the broker sends it.
    pub(crate) fn signed(&self, order: &v1::Order) -> v1::Signed {
        self.office.signed(order)
    }

    pub(crate) fn credential_order(&self, order: &v1::CredentialOrder) {
        let signed = self.office.sign("CredentialOrder", order.encode_to_vec());
        self.tell(Told::CredentialOrder(signed));
    }

    pub(crate) fn recorded(&self, grant: &Grant, seq: u64) {
        self.tell(Told::OutcomeRecorded(v1::OutcomeRecorded {
            seq,
            grant_id: grant.id.to_string(),
            torn_down: true,
        }));
    }

    /// What the agent says next; none where it has hung up.
    pub(crate) async fn hear_all(&mut self) -> Option<Said> {
        let said =
            tokio::time::timeout(PATIENCE, self.said.recv()).await.expect("the agent says nothing");
        said.map(|message| message.message.unwrap())
    }

    /// What it says next, but for heartbeats and looks at its targets.
    pub(crate) async fn hear(&mut self) -> Option<Said> {
        loop {
            match self.hear_all().await {
                Some(Said::Heartbeat(_) | Said::SweepReport(_)) => {}
                other => return other,
            }
        }
    }

    /// Its next look at a target.
    pub(crate) async fn swept(&mut self) -> v1::SweepReport {
        loop {
            match self.hear_all().await.expect("the agent has hung up") {
                Said::SweepReport(report) => return report,
                Said::Outcome(_) | Said::OrphanRemoved(_) | Said::Heartbeat(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next outcome: of which grant, under which number, and what.
    pub(crate) async fn outcome(&mut self) -> (String, u64, v1::outcome::Result) {
        loop {
            match self.hear().await.expect("the agent has hung up") {
                Said::Outcome(outcome) => {
                    return (outcome.grant_id, outcome.seq, outcome.result.unwrap());
                }
                Said::OrphanRemoved(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn provisioned(&mut self, grant: &Grant, seq: u64) {
        let (id, told, result) = self.outcome().await;
        assert_eq!((id, told), (grant.id.to_string(), seq), "{result:?}");
        assert!(matches!(result, v1::outcome::Result::Provisioned(_)), "{result:?}");
    }

    pub(crate) async fn torn_down(&mut self, grant: &Grant, seq: u64) -> v1::Finding {
        let (id, told, result) = self.outcome().await;
        assert_eq!((id, told), (grant.id.to_string(), seq), "{result:?}");
        let v1::outcome::Result::TornDown(finding) = result else { panic!("{result:?}") };
        finding
    }

    /// Why a grant was torn down, which is told next.
    pub(crate) async fn ended(&mut self, grant: &Grant) -> v1::EndCause {
        match self.hear().await.expect("the agent has hung up") {
            Said::Outcome(outcome) => {
                assert_eq!(outcome.grant_id, grant.id.to_string());
                let torn_down = matches!(outcome.result, Some(v1::outcome::Result::TornDown(_)));
                assert!(torn_down, "{outcome:?}");
                outcome.cause()
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Office {
    fn now_ms(&self) -> i64 {
        now().as_millisecond() + self.ahead_ms.load(Ordering::SeqCst)
    }

    fn order_keys(&self) -> Vec<Vec<u8>> {
        vec![self.order_key.lock().unwrap().public_key().as_ref().to_vec()]
    }

    fn sign(&self, kind: &str, payload: Vec<u8>) -> v1::Signed {
        let message = [format!("ebbgate.agent.v1.{kind}\0").as_bytes(), &payload].concat();
        let signature = self.order_key.lock().unwrap().sign(&message).as_ref().to_vec();
        v1::Signed { payload, signature }
    }

    fn signed(&self, order: &v1::Order) -> v1::Signed {
        self.sign("Order", order.encode_to_vec())
    }

    fn tls(&self) -> ServerTlsConfig {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(vec!["broker.ebbgate.internal".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let chain = certificate.pem() + &self.authority.pem();
        ServerTlsConfig::new()
            .identity(Identity::from_pem(chain, key.serialize_pem()))
            .client_ca_root(Certificate::from_pem(self.authority.pem()))
            .client_auth_optional(true)
    }

    fn certify(&self, request: &[u8]) -> String {
        let request = CertificateSigningRequestDer::from(request.to_vec());
        let mut request = CertificateSigningRequestParams::from_der(&request).unwrap();
        let now = time::OffsetDateTime::from_unix_timestamp(now().as_second()).unwrap();
        let mut params = CertificateParams::default();
        params.not_before = now - Duration::from_secs(60);
        params.not_after = now + *self.life.lock().unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        request.params = params;
        request.signed_by(&self.issuer).unwrap().pem()
    }
}

fn certificate<T>(request: &Request<T>) -> Result<Vec<u8>, Status> {
    let chain = request.peer_certs().ok_or_else(|| Status::unauthenticated("no certificate"))?;
    Ok(chain[0].to_vec())
}

#[tonic::async_trait]
impl AgentService for Office {
    async fn enroll(
        &self,
        request: Request<v1::EnrollRequest>,
    ) -> Result<Response<v1::EnrollResponse>, Status> {
        let request = request.into_inner();
        let spent = self.token.lock().unwrap().take_if(|token| *token == request.token);
        if spent.is_none() {
            return Err(Status::permission_denied("the token is spent"));
        }
        self.enrolled.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(v1::EnrollResponse {
            agent_id: agent_id().to_string(),
            agent_name: "db-eu".to_owned(),
            certificate: self.certify(&request.signing_request),
            authority: self.authority.pem(),
            order_keys: self.order_keys(),
        }))
    }

    async fn renew_certificate(
        &self,
        request: Request<v1::RenewCertificateRequest>,
    ) -> Result<Response<v1::RenewCertificateResponse>, Status> {
        certificate(&request)?;
        self.renewed.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(v1::RenewCertificateResponse {
            certificate: self.certify(&request.into_inner().signing_request),
            authority: self.authority.pem(),
            order_keys: self.order_keys(),
        }))
    }

    type AttendStream = UnboundedReceiverStream<Result<v1::BrokerMessage, Status>>;

    async fn attend(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        let certificate = certificate(&request)?;
        let mut inbound = request.into_inner();
        let Some(Said::Hello(hello)) = inbound.message().await?.and_then(|first| first.message)
        else {
            return Err(Status::invalid_argument("Hello comes first"));
        };
        let (tell, told) = mpsc::unbounded_channel();
        let (sender, said) = mpsc::unbounded_channel();
        let office = self.myself.upgrade().unwrap();
        let (clock, answers) = (Arc::clone(&office), tell.clone());
        tokio::spawn(async move {
            while let Ok(Some(message)) = inbound.message().await {
                if matches!(message.message, Some(Said::Heartbeat(_)))
                    && clock.answers.load(Ordering::SeqCst)
                {
                    let answer = v1::HeartbeatAnswer { now_ms: clock.now_ms() };
                    let message = Some(Told::HeartbeatAnswer(answer));
                    drop(answers.send(Ok(v1::BrokerMessage { message })));
                }
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        drop(self.streams.send(Stream { hello, certificate, office, said, tell }));
        Ok(Response::new(UnboundedReceiverStream::new(told)))
    }
}
