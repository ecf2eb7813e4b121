//! One TLS port: REST and gRPC by content type, over HTTP/1.1 and HTTP/2, with the peer's verified
//! certificate beside each request.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, header},
};
use ebbgate_proto::v1::agent_service_server::AgentServiceServer;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    agents::{Agents, PeerAgent},
    tls,
};

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A peer that is silent for so long is asked whether it lives; half-open streams end by it.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_PATIENCE: Duration = Duration::from_secs(5);
/// How long open connections may take to end when the broker stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Both kinds of service on one port.
pub(crate) struct Server {
    pub listener: TcpListener,
    pub acceptor: TlsAcceptor,
    pub rest: Router,
    pub agents: Agents,
}

impl Server {
    /// Serves until `stop`; then lets open calls finish.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let grpc = tonic::service::Routes::new(AgentServiceServer::new(self.agents.clone()))
            .into_axum_router();
        let router = Arc::new(Dispatch { rest: self.rest, grpc });
        let graceful = Arc::new(GracefulShutdown::new());
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let connection =
                        connection(stream, self.acceptor.clone(), router.clone(), graceful.clone());
                    tokio::spawn(connection);
                }
                Err(error) => {
                    // Mostly too many open files: it passes, and must not spin meanwhile.
                    tracing::warn!(
                        error = ebbgate_broker_ports::chain(&error),
                        "cannot accept a connection"
                    );
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(self.listener);
        self.agents.hub.close();
        if let Some(graceful) = Arc::into_inner(graceful)
            && tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err()
        {
            tracing::warn!("some connections did not end in time");
        }
    }
}

struct Dispatch {
    rest: Router,
    grpc: Router,
}

impl Dispatch {
    /// gRPC by its content type; a router's fallback would answer unknown REST paths with gRPC's
    /// own 200.
    fn choose(&self, request: &Request<Body>) -> Router {
        let kind = request.headers().get(header::CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
            self.grpc.clone()
        } else {
            self.rest.clone()
        }
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    dispatch: Arc<Dispatch>,
    graceful: Arc<GracefulShutdown>,
) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(error = ebbgate_broker_ports::chain(&error), "a TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!("a TLS handshake took too long");
            return;
        }
    };
    let peer = PeerAgent(tls::agent_of(stream.get_ref().1.peer_certificates()));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        dispatch.choose(&request).oneshot(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_PATIENCE);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    // Not kept while the connection lasts: whoever stops the server waits for the last holder.
    drop(graceful);
    if let Err(error) = connection.await {
        tracing::debug!(error, "a connection ended with an error");
    }
}
