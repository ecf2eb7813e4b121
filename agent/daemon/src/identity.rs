//! Who the agent is: what enrolment put into its directory, and the certificate that it renews.
//!
//! The key and its certificate are two files that must change together. New versions of both are
//! on disk before either is renamed, and the key is renamed first; a crash in between leaves a key
//! whose certificate waits beside the old one, and is found by that.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use ebbgate_domain::{Timestamp, ids::AgentId, names::AgentName};
use nix::fcntl::{Flock, FlockArg};
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    files::{self, FileError},
    token::Pin,
};

const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";
const AUTHORITY: &str = "ca.pem";
const ENROLMENT: &str = "agent.json";
const LOCK: &str = "lock";
const DRAINING: &str = "draining";

/// The agent's directory.
#[derive(Debug, Clone)]
pub(crate) struct AgentDir(PathBuf);

/// What enrolment settled, in `agent.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Enrolment {
    /// The agent's id, which its certificate bears.
    pub id: AgentId,
    /// The agent's name, as in `at: agent/NAME`.
    pub name: AgentName,
    /// The broker that enrolled it.
    pub broker: String,
}

/// What the agent shows, and whom it trusts.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    /// In PEM.
    pub certificate: String,
    /// In PEM. It never leaves this machine.
    pub key: SecretString,
    /// In PEM.
    pub authority: String,
}

/// A key that has no certificate yet, and the request for one.
pub(crate) struct NewKey {
    pub key: SecretString,
    /// DER, PKCS #10.
    pub signing_request: Vec<u8>,
}

/// Something is wrong with what enrolment left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "{} is not the directory of an enrolled agent: enrol it with `ebbgate-agent enroll`", dir.display()
    )]
    NotEnrolled { dir: PathBuf },
    #[error("{} is not what enrolment wrote: enrol the agent again with --force", path.display())]
    Unreadable { path: PathBuf, source: serde_json::Error },
    #[error("the certificate {what}: enrol the agent again with --force")]
    Certificate { what: &'static str },
    #[error("cannot make a key and a signing request")]
    Key(#[from] rcgen::Error),
    #[error("another ebbgate-agent uses {}: stop it first", dir.display())]
    InUse { dir: PathBuf },
}

/// Holds the directory for as long as it lives.
#[derive(Debug)]
pub(crate) struct DirLock {
    _unlocks_when_dropped: Flock<File>,
}

impl AgentDir {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Keeps every other agent out.
    ///
    /// # Errors
    /// One is in already.
    pub(crate) fn lock(&self) -> Result<DirLock, IdentityError> {
        let path = self.0.join(LOCK);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| FileError::new("open", &path, error))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(DirLock { _unlocks_when_dropped: lock }),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                Err(IdentityError::InUse { dir: self.0.clone() })
            }
            Err((_, errno)) => Err(FileError::new("lock", &path, errno.into()).into()),
        }
    }

    /// Whether an enrolment was completed here.
    pub(crate) fn is_enrolled(&self) -> bool {
        self.0.join(ENROLMENT).exists()
    }

    /// What enrolment settled.
    ///
    /// # Errors
    /// It did not take place here, or the file is damaged.
    pub(crate) fn enrolment(&self) -> Result<Enrolment, IdentityError> {
        let path = self.0.join(ENROLMENT);
        let text = files::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => IdentityError::NotEnrolled { dir: self.0.clone() },
            _ => error.into(),
        })?;
        serde_json::from_str(&text).map_err(|source| IdentityError::Unreadable { path, source })
    }

    /// Completes an enrolment: `agent.json` comes last.
    ///
    /// # Errors
    /// A file can't be written.
    pub(crate) fn enrol(
        &self,
        enrolment: &Enrolment,
        credentials: &Credentials,
    ) -> Result<(), IdentityError> {
        self.install(credentials)?;
        let path = self.0.join(ENROLMENT);
        let json = serde_json::to_string_pretty(enrolment)
            .map_err(|source| IdentityError::Unreadable { path: path.clone(), source })?;
        Ok(files::replace(&path, format!("{json}\n").as_bytes(), 0o644)?)
    }

    /// Puts a new key, its certificate and the authority in place of the present ones.
    ///
    /// # Errors
    /// A file can't be written. The present ones are good, or the new ones, whichever it broke off.
    pub(crate) fn install(&self, credentials: &Credentials) -> Result<(), IdentityError> {
        let Credentials { certificate, key, authority } = credentials;
        files::replace(&self.0.join(AUTHORITY), authority.as_bytes(), 0o644)?;
        files::stage(&self.0.join(CERTIFICATE), certificate.as_bytes(), 0o644)?;
        files::stage(&self.0.join(KEY), key.expose_secret().as_bytes(), 0o600)?;
        files::commit(&self.0.join(KEY))?;
        files::commit(&self.0.join(CERTIFICATE))?;
        Ok(())
    }

    /// What the agent shows and trusts. A renewal that a crash cut short is completed.
    ///
    /// # Errors
    /// There is none, or key and certificate don't belong together.
    pub(crate) fn credentials(&self) -> Result<Credentials, IdentityError> {
        let certificate_path = self.0.join(CERTIFICATE);
        let key = files::read(&self.0.join(KEY))?;
        let mut certificate = files::read(&certificate_path)?;
        if !belong_together(&key, &certificate)? {
            let waiting = fs::read_to_string(files::next_version(&certificate_path));
            certificate = match waiting {
                Ok(next) if belong_together(&key, &next)? => next,
                _ => return Err(IdentityError::Certificate { what: "is not that of key.pem" }),
            };
            files::commit(&certificate_path)?;
        }
        let authority = files::read(&self.0.join(AUTHORITY))?;
        Ok(Credentials { certificate, key: key.into(), authority })
    }

    /// The installation that this agent belongs to: the beginning of the SHA-256 of its broker's
    /// authority, in hex. None where it is not enrolled.
    pub(crate) fn installation(&self) -> Option<String> {
        let authority = fs::read(self.0.join(AUTHORITY)).ok()?;
        let authority = CertificateDer::from_pem_slice(&authority).ok()?;
        let mut fingerprint = format!("{:?}", Pin::of(&authority));
        fingerprint.truncate(16);
        Some(fingerprint)
    }

    /// The file that keeps new grants out while it is there.
    pub(crate) fn draining(&self) -> PathBuf {
        self.0.join(DRAINING)
    }
}

impl NewKey {
    /// An ECDSA key on P-256. What the request says besides its public key is for the broker to
    /// decide.
    ///
    /// # Errors
    /// There is no randomness to be had.
    pub(crate) fn generate() -> Result<Self, IdentityError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let request = CertificateParams::default().serialize_request(&key)?;
        Ok(Self { key: key.serialize_pem().into(), signing_request: request.der().to_vec() })
    }

    /// The key with the certificate that the broker has made for it.
    ///
    /// # Errors
    /// The certificate is for another key.
    pub(crate) fn certified(
        self,
        certificate: String,
        authority: String,
    ) -> Result<Credentials, IdentityError> {
        if !belong_together(self.key.expose_secret(), &certificate)? {
            return Err(IdentityError::Certificate {
                what: "that the broker made is for another key",
            });
        }
        Ok(Credentials { certificate, key: self.key, authority })
    }
}

/// From when to when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Validity {
    /// Of a certificate in PEM.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn of(certificate: &str) -> Result<Self, IdentityError> {
        with_certificate(certificate, |certificate| {
            let moment = |seconds| Timestamp::from_second(seconds).ok();
            let validity = certificate.validity();
            let from = moment(validity.not_before.timestamp())?;
            let until = moment(validity.not_after.timestamp())?;
            Some(Self { from, until })
        })?
        .ok_or(IdentityError::Certificate { what: "has no usable time" })
    }

    /// Whether a third of its life, or less, is left.
    pub(crate) fn is_waning(self, now: Timestamp) -> bool {
        self.until.duration_since(now) * 3 <= self.until.duration_since(self.from)
    }
}

fn belong_together(key: &str, certificate: &str) -> Result<bool, IdentityError> {
    let key = KeyPair::from_pem(key)?.subject_public_key_info();
    with_certificate(certificate, |certificate| certificate.public_key().raw == key)
}

fn with_certificate<T>(
    pem: &str,
    look: impl FnOnce(&x509_parser::certificate::X509Certificate<'_>) -> T,
) -> Result<T, IdentityError> {
    const NONE: IdentityError = IdentityError::Certificate { what: "is unreadable" };
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| NONE)?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(|_| NONE)?;
    Ok(look(&certificate))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A key with a certificate that it signed itself, valid from 2026-01-01 to 2026-01-31.
    fn credentials() -> Credentials {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 31);
        let certificate = params.self_signed(&key).unwrap().pem();
        Credentials { authority: certificate.clone(), certificate, key: key.serialize_pem().into() }
    }

    fn enrolled() -> (tempfile::TempDir, AgentDir, Credentials) {
        let temporary = tempfile::tempdir().unwrap();
        let dir = AgentDir::new(temporary.path());
        let credentials = credentials();
        let enrolment = Enrolment {
            id: AgentId::new(Timestamp::UNIX_EPOCH, [1; 10]),
            name: "db-eu".parse().unwrap(),
            broker: "https://broker:7400".to_owned(),
        };
        dir.enrol(&enrolment, &credentials).unwrap();
        assert_eq!(dir.enrolment().unwrap(), enrolment);
        (temporary, dir, credentials)
    }

    #[test]
    fn the_key_is_private() {
        let (_temporary, dir, _) = enrolled();
        let mode = fs::metadata(dir.path().join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_renewal_cut_short_at_any_point_leaves_a_pair_that_fits() {
        let (_temporary, dir, old) = enrolled();
        let new = credentials();
        files::stage(&dir.path().join(CERTIFICATE), new.certificate.as_bytes(), 0o644).unwrap();
        files::stage(&dir.path().join(KEY), new.key.expose_secret().as_bytes(), 0o600).unwrap();
        assert_eq!(dir.credentials().unwrap().certificate, old.certificate, "both wait");

        files::commit(&dir.path().join(KEY)).unwrap();
        let recovered = dir.credentials().unwrap();
        assert_eq!(recovered.certificate, new.certificate, "the certificate waits");
        assert_eq!(dir.credentials().unwrap().certificate, new.certificate, "and is in place now");
    }

    #[test]
    fn a_certificate_for_another_key_is_refused() {
        let (_temporary, dir, _) = enrolled();
        fs::write(dir.path().join(CERTIFICATE), credentials().certificate).unwrap();
        assert!(dir.credentials().unwrap_err().to_string().contains("enrol the agent again"));
        let new = NewKey::generate().unwrap();
        assert!(new.certified(credentials().certificate, String::new()).is_err());
    }

    #[test]
    fn one_agent_a_directory() {
        let (_temporary, dir, _) = enrolled();
        let lock = dir.lock().unwrap();
        assert!(matches!(dir.lock(), Err(IdentityError::InUse { .. })));
        drop(lock);
        dir.lock().unwrap();
    }

    #[test]
    fn a_certificate_wanes_with_a_third_of_its_life_left() {
        let validity = Validity::of(&credentials().certificate).unwrap();
        assert!(!validity.is_waning("2026-01-20T23:00:00Z".parse().unwrap()));
        assert!(validity.is_waning("2026-01-21T00:00:00Z".parse().unwrap()));
        assert!(validity.is_waning("2027-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_directory_without_an_enrolment_says_what_to_do() {
        let error = AgentDir::new("/nowhere").enrolment().unwrap_err();
        assert!(error.to_string().contains("ebbgate-agent enroll"), "{error}");
    }
}
