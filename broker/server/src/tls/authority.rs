//! The broker's own certificate authority: it vouches for the broker to its agents and for agents
//! to the broker, and for nobody else.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use aws_lc_rs::digest;
use ebbgate_domain::{Timestamp, ids::AgentId};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, pem::PemObject as _,
};
use time::OffsetDateTime;

/// The name under which agents know the broker, whatever its public one is. Connections that ask
/// for it get a certificate of the broker's own authority.
pub(crate) const BROKER_NAME: &str = "broker.ebbgate.internal";
/// How long an agent's certificate lives. It renews itself when a third of that is left.
pub(crate) const AGENT_LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// How long the broker's own certificate lives; a new one is made each day.
const SERVER_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3_600);
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);
/// Clocks differ: certificates are valid from a little earlier on.
const LEEWAY: Duration = Duration::from_secs(3_600);

/// The authority and its key.
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, for the broker itself.
pub(crate) struct ServerCertificate {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// The authority could not be read or made, or could not sign.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    #[error("cannot {doing} {path}")]
    File { doing: &'static str, path: String, source: io::Error },
    #[error("cannot make or read a certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("{path} is not a certificate in PEM")]
    NotPem { path: String },
    #[error("{path} is not an Ed25519 key in PEM (PKCS #8)")]
    NotAnOrderKey { path: String },
    #[error("the signing request is malformed or its signature does not fit its key")]
    BadRequest(#[source] rcgen::Error),
    #[error("randomness is not to be had")]
    Random,
}

impl Authority {
    /// The authority in `dir`; made there at the first start.
    pub(crate) fn open(dir: &Path, now: Timestamp) -> Result<Self, AuthorityError> {
        let (certificate_file, key_file) = (dir.join("ca.pem"), dir.join("ca.key"));
        if !key_file.exists() {
            fs::create_dir_all(dir).map_err(|source| file("make", dir, source))?;
            let key = KeyPair::generate()?;
            let certificate = authority_params(now)?.self_signed(&key)?;
            // The certificate first: a key without one would be taken for complete.
            write(&certificate_file, certificate.pem().as_bytes(), 0o644)?;
            write(&key_file, key.serialize_pem().as_bytes(), 0o600)?;
        }
        let key =
            fs::read_to_string(&key_file).map_err(|source| file("read", &key_file, source))?;
        let pem = fs::read_to_string(&certificate_file)
            .map_err(|source| file("read", &certificate_file, source))?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| AuthorityError::NotPem { path: certificate_file.display().to_string() })?;
        let issuer = Issuer::from_ca_cert_der(&certificate, KeyPair::from_pem(&key)?)?;
        Ok(Self { certificate, pem, issuer })
    }

    /// The authority's certificate.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The authority's certificate in PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of the authority's certificate, in hex: enrolment tokens carry it, so that an agent
    /// knows the broker before it trusts anything.
    pub(crate) fn pin(&self) -> String {
        hex::encode(digest::digest(&digest::SHA256, &self.certificate))
    }

    /// A certificate for the broker itself under these names and addresses.
    pub(crate) fn server_certificate(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<ServerCertificate, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        lifetime(&mut params, now, SERVER_LIFETIME);
        params.distinguished_name = name(BROKER_NAME);
        params.serial_number = Some(serial()?);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|_| AuthorityError::Certificate(rcgen::Error::CouldNotParseKeyPair))?;
        Ok(ServerCertificate {
            chain: vec![certificate.der().clone(), self.certificate.clone()],
            key,
        })
    }

    /// Signs an agent's request. Only its public key is taken from it: the name, the use and the
    /// time are ours to say. Gives the certificate in PEM and when it ends.
    pub(crate) fn agent_certificate(
        &self,
        request: &[u8],
        agent: AgentId,
        now: Timestamp,
    ) -> Result<(String, Timestamp), AuthorityError> {
        let request = CertificateSigningRequestDer::from(request.to_vec());
        let mut request = CertificateSigningRequestParams::from_der(&request)
            .map_err(AuthorityError::BadRequest)?;
        let mut params = CertificateParams::default();
        lifetime(&mut params, now, AGENT_LIFETIME);
        params.distinguished_name = name(&agent.to_string());
        params.subject_alt_names = Vec::<SanType>::new();
        params.serial_number = Some(serial()?);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        request.params = params;
        let certificate = request.signed_by(&self.issuer)?;
        let ends = now.saturating_add(AGENT_LIFETIME).unwrap_or(now);
        Ok((certificate.pem(), ends))
    }
}

fn authority_params(now: Timestamp) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    lifetime(&mut params, now, AUTHORITY_LIFETIME);
    params.distinguished_name = name("Ebbgate broker authority");
    params.serial_number = Some(serial()?);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn lifetime(params: &mut CertificateParams, now: Timestamp, lifetime: Duration) {
    let now =
        OffsetDateTime::from_unix_timestamp(now.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    params.not_before = now - LEEWAY;
    params.not_after = now + lifetime;
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| AuthorityError::Random)?;
    // Positive and never zero (RFC 5280, 4.1.2.2).
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AuthorityError> {
    let temporary = path.with_extension("new");
    let save = || {
        let mut open = fs::OpenOptions::new();
        let mut file = open.write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    save().map_err(|source| file("write", path, source))
}

pub(super) fn file(doing: &'static str, path: &Path, source: io::Error) -> AuthorityError {
    AuthorityError::File { doing, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::open(dir.path(), now()).unwrap();
        let again = Authority::open(dir.path(), now()).unwrap();
        assert_eq!(first.pin(), again.pin());
        let mode = fs::metadata(dir.path().join("ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_agent_cannot_choose_its_name_or_use() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), now()).unwrap();
        let agent = AgentId::new(now(), [1; 10]);
        let key = KeyPair::generate().unwrap();
        let mut wish = CertificateParams::new(vec!["broker.ebbgate.internal".to_owned()]).unwrap();
        wish.distinguished_name = name("agt_someone_else");
        let request = wish.serialize_request(&key).unwrap();
        let (pem, ends) = authority.agent_certificate(request.der(), agent, now()).unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert_eq!(parsed.subject().to_string(), format!("CN={agent}"));
        assert!(parsed.subject_alternative_name().unwrap().is_none());
        assert!(!parsed.is_ca());
        assert_eq!(ends.as_second(), parsed.validity().not_after.timestamp());
        assert!(authority.agent_certificate(b"nonsense", agent, now()).is_err());
    }
}
