//! How the agent knows the broker: by its own authority, under its internal name, whatever address
//! or public certificate it has.

use std::{sync::Arc, time::Duration};

use rustls::{
    DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use secrecy::ExposeSecret as _;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::{identity::Credentials, token::Pin};

/// The broker's name towards agents; it presents a certificate of its own authority for it.
const BROKER_NAME: &str = "broker.ebbgate.internal";
/// How long a connection, its TLS handshake included, may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// A broker that answers no ping within [`PONG`] of one, sent so often, is gone.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);

/// A connection in which the agent shows who it is.
///
/// # Errors
/// The broker can't be reached, or is not ours.
pub(crate) async fn connect(
    broker: &str,
    credentials: &Credentials,
) -> Result<Channel, tonic::transport::Error> {
    let identity = Identity::from_pem(&credentials.certificate, credentials.key.expose_secret());
    let tls = tls_config()
        .ca_certificate(Certificate::from_pem(&credentials.authority))
        .identity(identity);
    endpoint(broker)?.tls_config(tls)?.connect().await
}

/// A connection for enrolment: the agent has no certificate yet, and knows of the broker nothing
/// but its authority's hash.
///
/// # Errors
/// The broker can't be reached, or presents another authority.
pub(crate) async fn connect_pinned(
    broker: &str,
    pin: Pin,
) -> Result<Channel, tonic::transport::Error> {
    let verifier = Arc::new(PinnedAuthority { pin, provider: Arc::new(provider()) });
    endpoint(broker)?.tls_config_with_verifier(tls_config(), verifier)?.connect().await
}

fn endpoint(broker: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(broker.to_owned())?
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

fn tls_config() -> ClientTlsConfig {
    ClientTlsConfig::new().domain_name(BROKER_NAME).timeout(CONNECT)
}

/// The one library for cryptography.
pub(crate) fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// Trusts the one authority that has the pinned hash, which the broker must send along, and then
/// checks the chain, its time and the name as always.
#[derive(Debug)]
struct PinnedAuthority {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authority) =
            intermediates.iter().find(|certificate| Pin::of(certificate) == self.pin)
        else {
            return Err(rustls::Error::General(
                "the broker does not present the authority that the token was made for".to_owned(),
            ));
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    struct Authority {
        certificate: CertificateDer<'static>,
        issuer: Issuer<'static, KeyPair>,
    }

    fn authority() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    fn server(authority: &Authority, name: &str) -> CertificateDer<'static> {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.signed_by(&KeyPair::generate().unwrap(), &authority.issuer).unwrap().der().clone()
    }

    fn verify(
        pin: Pin,
        end_entity: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
    ) -> Result<(), rustls::Error> {
        let verifier = PinnedAuthority { pin, provider: Arc::new(provider()) };
        let name = ServerName::try_from(BROKER_NAME).unwrap();
        verifier.verify_server_cert(end_entity, chain, &name, &[], UnixTime::now()).map(|_| ())
    }

    #[test]
    fn trusts_a_chain_to_the_pinned_authority() {
        let ours = authority();
        let pin = Pin::of(&ours.certificate);
        let broker = server(&ours, BROKER_NAME);
        verify(pin, &broker, std::slice::from_ref(&ours.certificate)).unwrap();
    }

    #[test]
    fn refuses_another_authority() {
        let (ours, other) = (authority(), authority());
        let pin = Pin::of(&ours.certificate);
        let impostor = server(&other, BROKER_NAME);
        let error = verify(pin, &impostor, std::slice::from_ref(&other.certificate)).unwrap_err();
        assert!(error.to_string().contains("does not present the authority"), "{error}");
    }

    #[test]
    fn presenting_the_pinned_authority_is_not_enough() {
        let (ours, other) = (authority(), authority());
        let pin = Pin::of(&ours.certificate);
        let impostor = server(&other, BROKER_NAME);
        verify(pin, &impostor, std::slice::from_ref(&ours.certificate)).unwrap_err();
        let misnamed = server(&ours, "elsewhere.example.com");
        verify(pin, &misnamed, std::slice::from_ref(&ours.certificate)).unwrap_err();
        verify(pin, &ours.certificate, &[]).unwrap_err();
    }
}
