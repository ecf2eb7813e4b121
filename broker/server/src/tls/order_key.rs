//! The broker's own key for orders. Every order is signed for the one agent that it goes to, so that
//! somebody who writes into a network or a database cannot have access made.

use std::{fs, path::Path};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use ebbgate_proto::v1;
use prost::Message as _;
use rcgen::{KeyPair, PKCS_ED25519};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};

use super::authority::{AuthorityError, file, write};

/// What stands before an order when it is signed, and before a credential order: one kind of
/// message never passes for another.
const ORDER: &[u8] = b"ebbgate.agent.v1.Order\0";
const CREDENTIAL_ORDER: &[u8] = b"ebbgate.agent.v1.CredentialOrder\0";

/// An Ed25519 key (RFC 8032) in `order.key`, PKCS #8 in PEM.
pub(crate) struct OrderKey {
    pair: Ed25519KeyPair,
}

impl OrderKey {
    /// The key in `dir`; made there at the first start.
    pub(crate) fn open(dir: &Path) -> Result<Self, AuthorityError> {
        let path = dir.join("order.key");
        if !path.exists() {
            fs::create_dir_all(dir).map_err(|source| file("make", dir, source))?;
            let key = KeyPair::generate_for(&PKCS_ED25519)?;
            write(&path, key.serialize_pem().as_bytes(), 0o600)?;
        }
        let pem = fs::read(&path).map_err(|source| file("read", &path, source))?;
        let not_a_key = || AuthorityError::NotAnOrderKey { path: path.display().to_string() };
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| not_a_key())?;
        let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| not_a_key())?;
        Ok(Self { pair })
    }

    /// The public keys by which agents know what is signed here: 32 bytes each.
    pub(crate) fn public(&self) -> Vec<Vec<u8>> {
        vec![self.pair.public_key().as_ref().to_vec()]
    }

    /// An order as it is sent.
    pub(crate) fn order(&self, order: &v1::Order) -> v1::Signed {
        self.signed(ORDER, order.encode_to_vec())
    }

    /// A credential order as it is sent.
    pub(crate) fn credential_order(&self, order: &v1::CredentialOrder) -> v1::Signed {
        self.signed(CREDENTIAL_ORDER, order.encode_to_vec())
    }

    fn signed(&self, prefix: &[u8], payload: Vec<u8>) -> v1::Signed {
        let signature = self.pair.sign(&[prefix, &payload].concat()).as_ref().to_vec();
        v1::Signed { payload, signature }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    fn verifies(key: &OrderKey, prefix: &[u8], signed: &v1::Signed) -> bool {
        let public = UnparsedPublicKey::new(&ED25519, key.public().remove(0));
        public.verify(&[prefix, &signed.payload[..]].concat(), &signed.signature).is_ok()
    }

    #[test]
    fn is_made_once_and_found_again_and_nobody_else_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = OrderKey::open(dir.path()).unwrap();
        let again = OrderKey::open(dir.path()).unwrap();
        assert_eq!(first.public(), again.public());
        assert_eq!(first.public()[0].len(), 32);
        let mode = fs::metadata(dir.path().join("order.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("order.key"), "nonsense").unwrap();
        let error = OrderKey::open(dir.path()).err().unwrap();
        assert!(error.to_string().contains("order.key"), "{error}");
    }

    #[test]
    fn a_signature_holds_for_its_bytes_and_its_kind_of_message_alone() {
        let dir = tempfile::tempdir().unwrap();
        let key = OrderKey::open(dir.path()).unwrap();
        let order = v1::Order { seq: 7, agent_id: "agt_1".to_owned(), ..v1::Order::default() };
        let signed = key.order(&order);
        assert!(verifies(&key, ORDER, &signed));
        assert_eq!(v1::Order::decode(&signed.payload[..]).unwrap(), order);
        assert!(!verifies(&key, CREDENTIAL_ORDER, &signed));
        let changed = v1::Signed {
            payload: v1::Order { seq: 8, ..order }.encode_to_vec(),
            signature: signed.signature,
        };
        assert!(!verifies(&key, ORDER, &changed));
        let other = OrderKey::open(tempfile::tempdir().unwrap().path()).unwrap();
        let credential = key.credential_order(&v1::CredentialOrder::default());
        assert!(verifies(&key, CREDENTIAL_ORDER, &credential));
        assert!(!verifies(&other, CREDENTIAL_ORDER, &credential));
    }
}
