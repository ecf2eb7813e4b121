//! TLS: one port for people, tools and agents. Agents ask for the broker's internal name and show a
//! certificate; people may get a certificate that their browsers know.

mod authority;
mod order_key;

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use ebbgate_domain::ids::AgentId;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::config::TlsFiles;

pub(crate) use authority::{Authority, BROKER_NAME, ServerCertificate};
pub(crate) use order_key::OrderKey;

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot read the certificate or key of the setting 'tls' ({path})")]
    Files { path: String, source: rustls_pki_types::pem::Error },
    #[error("cannot use a certificate")]
    Rustls(#[from] rustls::Error),
    #[error("cannot set up the check of agents' certificates")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The certificates in force: replaced while connections go on.
pub(crate) struct Certificates {
    internal: ArcSwap<CertifiedKey>,
    public: ArcSwap<CertifiedKey>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates(…)")
    }
}

impl Certificates {
    /// The broker's own for agents, and for people that of `files` or else the same one.
    pub(crate) fn new(own: ServerCertificate, files: Option<&TlsFiles>) -> Result<Self, TlsError> {
        let (internal, public) = keys(own, files)?;
        Ok(Self { internal: ArcSwap::new(internal), public: ArcSwap::new(public) })
    }

    /// Puts new ones in force.
    pub(crate) fn replace(
        &self,
        own: ServerCertificate,
        files: Option<&TlsFiles>,
    ) -> Result<(), TlsError> {
        let (internal, public) = keys(own, files)?;
        self.internal.store(internal);
        self.public.store(public);
        Ok(())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key =
            if hello.server_name() == Some(BROKER_NAME) { &self.internal } else { &self.public };
        Some(key.load_full())
    }
}

type Keys = (Arc<CertifiedKey>, Arc<CertifiedKey>);

fn keys(own: ServerCertificate, files: Option<&TlsFiles>) -> Result<Keys, TlsError> {
    let internal = Arc::new(certified(own.chain, own.key)?);
    let Some(files) = files else {
        return Ok((internal.clone(), internal));
    };
    let bad = |path: &std::path::Path| {
        let path = path.display().to_string();
        move |source| TlsError::Files { path, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(bad(&files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(bad(&files.key))?;
    Ok((internal, Arc::new(certified(chain, key)?)))
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &provider())
}

fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// The server's side of TLS. A client may come without a certificate; one that shows one must show
/// one of ours.
pub(crate) fn server_config(
    authority: &Authority,
    certificates: Arc<Certificates>,
) -> Result<ServerConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let provider = Arc::new(provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The agent that a verified client certificate names.
pub(crate) fn agent_of(chain: Option<&[CertificateDer<'_>]>) -> Option<AgentId> {
    let (_, certificate) = x509_parser::parse_x509_certificate(chain?.first()?).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    name.parse().ok()
}
