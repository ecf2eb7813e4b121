//! Whose orders are carried out: those that bear a signature of the broker's own key and name this
//! agent. The way to the broker is guarded by TLS; this guards against somebody who can write to
//! the broker's database, but does not have its key.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ebbgate_domain::ids::AgentId;
use ebbgate_proto::v1;
use prost::Message;
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};

use crate::{
    files::{self, FileError},
    identity::AgentDir,
};

/// Where the broker's public keys are, in the agent's directory.
const ORDER_KEYS: &str = "order_keys.pem";
/// What precedes the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410, section 4).
const KEY_INFO: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// More keys than any broker has.
const MOST_KEYS: usize = 16;

/// Ed25519 public keys of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderKeys(Vec<[u8; 32]>);

/// The broker's keys can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderKeysError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{ORDER_KEYS} holds something else than Ed25519 public keys in PEM")]
    Unreadable,
    #[error("the broker told keys that are no Ed25519 public keys")]
    NotKeys,
}

impl OrderKeys {
    /// What the broker told, at enrolment or renewal; none where it told none.
    ///
    /// # Errors
    /// Something that it told is no key.
    pub(crate) fn told(keys: &[Vec<u8>]) -> Result<Option<Self>, OrderKeysError> {
        if keys.len() > MOST_KEYS {
            return Err(OrderKeysError::NotKeys);
        }
        let keys = keys.iter().map(|key| key.as_slice().try_into());
        let keys: Vec<_> = keys.collect::<Result<_, _>>().map_err(|_| OrderKeysError::NotKeys)?;
        Ok((!keys.is_empty()).then_some(Self(keys)))
    }

    /// Those that are known in `dir`; none where the agent was enrolled before there were any.
    ///
    /// # Errors
    /// The file can't be read, or is damaged.
    pub(crate) fn known(dir: &AgentDir) -> Result<Option<Self>, OrderKeysError> {
        let path = dir.path().join(ORDER_KEYS);
        let text = match files::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let keys = SubjectPublicKeyInfoDer::pem_slice_iter(text.as_bytes()).map(|info| {
            let info = info.map_err(|_| OrderKeysError::Unreadable)?;
            let key = info.strip_prefix(&KEY_INFO).ok_or(OrderKeysError::Unreadable)?;
            key.try_into().map_err(|_| OrderKeysError::Unreadable)
        });
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(OrderKeysError::Unreadable);
        }
        Ok(Some(Self(keys)))
    }

    /// Keeps them in `dir`, in place of those that were known.
    ///
    /// # Errors
    /// The file can't be written.
    pub(crate) fn keep(&self, dir: &AgentDir) -> Result<(), FileError> {
        let mut text = String::new();
        for key in &self.0 {
            let info = STANDARD.encode([KEY_INFO.as_slice(), key].concat());
            text += &format!("-----BEGIN PUBLIC KEY-----\n{info}\n-----END PUBLIC KEY-----\n");
        }
        files::replace(&dir.path().join(ORDER_KEYS), text.as_bytes(), 0o600)
    }

    fn have_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0
            .iter()
            .any(|key| UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok())
    }
}

/// What a signed message is. The signature covers it, so that one never passes for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Order,
    CredentialOrder,
}

impl Kind {
    pub(crate) fn prefix(self) -> &'static [u8] {
        match self {
            Self::Order => b"ebbgate.agent.v1.Order\0",
            Self::CredentialOrder => b"ebbgate.agent.v1.CredentialOrder\0",
        }
    }
}

/// A message that says for which agent it is.
pub(crate) trait Addressed: Message + Default {
    fn agent_id(&self) -> &str;
}

impl Addressed for v1::Order {
    fn agent_id(&self) -> &str {
        &self.agent_id
    }
}

impl Addressed for v1::CredentialOrder {
    fn agent_id(&self) -> &str {
        &self.agent_id
    }
}

/// Whose orders this agent carries out.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    agent: String,
    keys: OrderKeys,
}

/// A message is not to be acted on. It tells nothing of what the message says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Untrusted {
    #[error(
        "it does not bear the signature of a key of the broker that this agent knows; if the broker has a new one, remove {ORDER_KEYS} from the agent's directory and restart it: it asks the broker for its keys"
    )]
    Signature,
    #[error("the broker has signed it, but it cannot be decoded")]
    Undecodable,
    #[error("the broker has signed it for another agent")]
    OtherAgent,
}

impl Trust {
    pub(crate) fn new(agent: AgentId, keys: OrderKeys) -> Self {
        Self { agent: agent.to_string(), keys }
    }

    /// What was signed, once that is certain.
    ///
    /// # Errors
    /// It was not signed by the broker, or not for this agent.
    pub(crate) fn open<M: Addressed>(
        &self,
        kind: Kind,
        signed: &v1::Signed,
    ) -> Result<M, Untrusted> {
        let message = [kind.prefix(), &signed.payload].concat();
        if !self.keys.have_signed(&message, &signed.signature) {
            return Err(Untrusted::Signature);
        }
        let opened = M::decode(signed.payload.as_slice()).map_err(|_| Untrusted::Undecodable)?;
        if opened.agent_id() != self.agent {
            return Err(Untrusted::OtherAgent);
        }
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::testing::{agent_id, order, order_keys, sign, signed, trust};

    fn opened(signed: &v1::Signed) -> Result<v1::Order, Untrusted> {
        trust().open(Kind::Order, signed)
    }

    #[test]
    fn opens_what_the_broker_signed_for_this_agent() {
        let order = order(1, 1, v1::Action::Provision, 600);
        assert_eq!(opened(&signed(&order)), Ok(order));
    }

    #[test]
    fn refuses_a_single_bit_that_is_another() {
        let good = signed(&order(1, 1, v1::Action::Provision, 600));
        for byte in 0..good.payload.len() {
            let mut changed = good.clone();
            changed.payload[byte] ^= 1;
            assert_eq!(opened(&changed), Err(Untrusted::Signature), "byte {byte}");
        }
        for signature in [vec![], vec![0; 64], vec![0; 65], good.signature[..63].to_vec()] {
            let changed = v1::Signed { signature, ..good.clone() };
            assert_eq!(opened(&changed), Err(Untrusted::Signature));
        }
    }

    #[test]
    fn refuses_one_kind_in_place_of_another() {
        let order = order(1, 1, v1::Action::Provision, 600);
        let payload = order.encode_to_vec();
        let passed_off = sign(Kind::CredentialOrder, payload);
        assert_eq!(opened(&passed_off), Err(Untrusted::Signature));
    }

    #[test]
    fn refuses_what_is_for_another_agent_or_for_none() {
        for agent_id in ["agt_01a3185c500071018101010101010102", ""] {
            let other = v1::Order {
                agent_id: agent_id.to_owned(),
                ..order(1, 1, v1::Action::Provision, 600)
            };
            assert_eq!(opened(&signed(&other)), Err(Untrusted::OtherAgent));
        }
        let noise = sign(Kind::Order, vec![0xff; 9]);
        assert_eq!(opened(&noise), Err(Untrusted::Undecodable));
    }

    #[test]
    fn keys_are_kept_privately_and_replaced() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = AgentDir::new(temporary.path());
        assert_eq!(OrderKeys::known(&dir).unwrap(), None);
        let old = OrderKeys::told(&[vec![7; 32], vec![8; 32]]).unwrap().unwrap();
        old.keep(&dir).unwrap();
        assert_eq!(OrderKeys::known(&dir).unwrap(), Some(old));
        order_keys().keep(&dir).unwrap();
        assert_eq!(OrderKeys::known(&dir).unwrap(), Some(order_keys()));
        let path = dir.path().join(ORDER_KEYS);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").unwrap();
        assert!(matches!(OrderKeys::known(&dir), Err(OrderKeysError::Unreadable)));
    }

    #[test]
    fn the_broker_must_tell_keys() {
        assert_eq!(OrderKeys::told(&[]).unwrap(), None);
        assert!(matches!(OrderKeys::told(&[vec![1; 31]]), Err(OrderKeysError::NotKeys)));
        assert!(OrderKeys::told(&vec![vec![1; 32]; 17]).is_err());
        assert_eq!(agent_id().to_string(), trust().agent);
    }
}
