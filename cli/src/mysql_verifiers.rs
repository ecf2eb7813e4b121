//! What MySQL and MariaDB keep instead of a password, for each plugin that a server may offer.
//!
//! The password is made here and never leaves this machine but for the log-in itself; only what
//! this computes goes through the broker to the server, which takes the one form that it knows.

use anyhow::{Context as _, Result};
use aws_lc_rs::{
    digest::{Context, Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde::Serialize;
use zeroize::Zeroizing;

/// Random bytes of a password: 24 make 32 characters, and so many are an Ed25519 seed. The plugin
/// takes a password of any length for that, which this crypto library doesn't; 192 random bits are
/// more than the oldest of the three forms can hold.
pub(crate) const PASSWORD_BYTES: usize = 24;
/// `$A$`, and a thousandth of the number of rounds (MySQL's `sha2_password` sources).
const SHA2_PREFIX: &str = "$A$005$";
const ROUNDS: usize = 5_000;
/// crypt(3)'s digits.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Random bytes for the salt of `caching_sha2_password`.
pub(crate) type Salt = [u8; 20];

/// One password in three forms.
#[derive(Serialize)]
pub(crate) struct Verifiers {
    native: String,
    caching_sha2: String,
    ed25519: String,
}

impl Verifiers {
    /// Computes them of a password of 32 characters.
    ///
    /// # Errors
    /// It has not 32.
    pub(crate) fn of(password: &str, salt: &Salt) -> Result<Self> {
        let salt: Vec<u8> = salt.iter().map(|byte| DIGITS[usize::from(byte % 64)]).collect();
        let hash = sha256_crypt(password.as_bytes(), &salt);
        Ok(Self {
            native: native(password.as_bytes()),
            caching_sha2: format!("{SHA2_PREFIX}{}{hash}", String::from_utf8_lossy(&salt)),
            ed25519: ed25519(password.as_bytes())?,
        })
    }
}

/// `mysql_native_password`: a star and `SHA1(SHA1(password))`.
fn native(password: &[u8]) -> String {
    let once = digest(&SHA1_FOR_LEGACY_USE_ONLY, password);
    format!("*{}", hex::encode_upper(digest(&SHA1_FOR_LEGACY_USE_ONLY, once.as_ref())))
}

/// MariaDB's `ed25519`: the public key of the pair whose seed is the password (RFC 8032, section
/// 5.1.5).
fn ed25519(password: &[u8]) -> Result<String> {
    let pair = Ed25519KeyPair::from_seed_unchecked(password)
        .ok()
        .context("cannot compute a verifier: the password has not 32 characters")?;
    Ok(STANDARD_NO_PAD.encode(pair.public_key().as_ref()))
}

/// `caching_sha2_password`: Drepper's "Unix crypt using SHA-256 and SHA-512", with the numbers of its
/// steps, but for the salt's length, which MySQL lets be 20.
fn sha256_crypt(password: &[u8], salt: &[u8]) -> String {
    // 4-8
    let other = hash(&[password, salt, password]);
    // 1-3, 9-12
    let mut first = Context::new(&SHA256);
    first.update(password);
    first.update(salt);
    first.update(&repeated(&other, password.len()));
    let mut length = password.len();
    while length > 0 {
        first.update(if length & 1 == 1 { other.as_ref() } else { password });
        length >>= 1;
    }
    let first = first.finish();
    // 13-16
    let p = repeated(&hash(&vec![password; password.len()]), password.len());
    // 17-20
    let s = repeated(&hash(&vec![salt; 16 + usize::from(first.as_ref()[0])]), salt.len());
    // 21
    let mut last = first;
    for round in 0..ROUNDS {
        let odd = round & 1 == 1;
        let mut next = Context::new(&SHA256);
        next.update(if odd { &p } else { last.as_ref() });
        if round % 3 != 0 {
            next.update(&s);
        }
        if round % 7 != 0 {
            next.update(&p);
        }
        next.update(if odd { last.as_ref() } else { &p });
        last = next.finish();
    }
    encoded(last.as_ref())
}

fn hash(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish()
}

/// The digest over and over, up to that length.
fn repeated(digest: &Digest, length: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(digest.as_ref().iter().copied().cycle().take(length).collect())
}

/// 22: three bytes are four digits, the lowest bits first, in an order of its own.
fn encoded(hash: &[u8]) -> String {
    let mut text = String::with_capacity(43);
    let mut push = |bytes: [usize; 3], digits: u32| {
        // A place past the end is nothing.
        let byte = |at: usize| hash.get(at).map_or(0, |byte| usize::from(*byte));
        let value = byte(bytes[0]) << 16 | byte(bytes[1]) << 8 | byte(bytes[2]);
        for digit in 0..digits {
            text.push(char::from(DIGITS[value >> (6 * digit) & 63]));
        }
    };
    let mut bytes = [0, 10, 20];
    for _ in 0..10 {
        push(bytes, 4);
        bytes = [bytes[2] + 1, bytes[0] + 1, bytes[1] + 1];
    }
    push([usize::MAX, 31, 30], 3);
    text
}

#[cfg(test)]
mod tests {
    use ebbgate_domain::mysql_verifier::MysqlVerifiers;

    use super::*;

    const PASSWORD: &str = "correct-horse-battery-staple-pw1";

    #[test]
    fn native_is_what_the_server_computes() {
        // MySQL 5.7's manual, "Password Hashing in MySQL".
        assert_eq!(native(b"mypass"), "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4");
        // MariaDB 10.11's PASSWORD().
        assert_eq!(native(PASSWORD.as_bytes()), "*EEEDA6A5BC9D975FB67C2C28BDEF8E169E0495EA");
    }

    #[test]
    fn sha256_crypt_yields_the_published_vectors() {
        // Drepper's "Unix crypt using SHA-256 and SHA-512"; crypt(3) and openssl agree.
        assert_eq!(
            sha256_crypt(b"Hello world!", b"saltstring"),
            "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"
        );
        // Hashcat's example for mode 7401, "MySQL $A$ (sha256crypt)", whose salt has 20 bytes.
        let salt = hex::decode("F9CC98CE08892924F50A213B6BC571A2C11778C5").unwrap();
        let hash = hex::decode(
            "625479393559393965414D45316477456B484F41316E64484742577A2E3162785353526B7554584647562F",
        )
        .unwrap();
        assert_eq!(sha256_crypt(b"hashcat", &salt).as_bytes(), hash);
    }

    #[test]
    fn ed25519_is_the_key_of_the_seed() {
        // RFC 8032, section 7.1, test 1.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let expected = STANDARD_NO_PAD.encode(hex::decode(key).unwrap());
        assert_eq!(ed25519(&hex::decode(seed).unwrap()).unwrap(), expected);
        assert!(ed25519(b"short").is_err());
        // MariaDB 10.11's ed25519_password().
        assert_eq!(
            ed25519(PASSWORD.as_bytes()).unwrap(),
            "QlYD1GhoIaE0NKnpQk1XvfOk/3NdxC3YO6pfARqx1QE"
        );
    }

    #[test]
    fn the_broker_takes_them() {
        let all = Verifiers::of(PASSWORD, &[255; 20]).unwrap();
        MysqlVerifiers::new(&all.native, &all.caching_sha2, &all.ed25519).unwrap();
    }
}
