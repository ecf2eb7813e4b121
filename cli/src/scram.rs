//! The SCRAM-SHA-256 verifier of a password (RFC 5802 section 3, RFC 7677), in PostgreSQL's form.
//!
//! The password is made here and never leaves this machine but for the log-in itself; only what
//! this computes goes through the broker to the server.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// RFC 7677's least number, and PostgreSQL's own. A password of 256 random bits gains nothing by more.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4_096).unwrap();

/// A salt as PostgreSQL makes it.
pub(crate) type Salt = [u8; 16];

/// `SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>` for a password in ASCII (others would need
/// SASLprep, RFC 4013, first).
pub(crate) fn verifier(password: &str, salt: &Salt) -> String {
    let mut salted = Zeroizing::new([0; 32]);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        ITERATIONS,
        salt,
        password.as_bytes(),
        salted.as_mut_slice(),
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, salted.as_slice());
    let client_key = hmac::sign(&key, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let server_key = hmac::sign(&key, b"Server Key");
    format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(server_key),
    )
}

#[cfg(test)]
mod tests {
    use ebbgate_domain::scram::ScramVerifier;

    use super::*;

    /// Computed with Python's `hashlib.pbkdf2_hmac` and `hmac`, by a script that also yields
    /// RFC 7677's example signature.
    const EXPECTED: &str = "SCRAM-SHA-256$4096:EBESExQVFhcYGRobHB0eHw==$\
        F+sAIvmP/EQu/l+YbkVY44jXd6McfG/HzyBEGOy7XcY=:KOSvQ5XRewhZzRB0oSXyHmvWiPgfqKQrGxG9fCAt4c8=";

    #[test]
    fn equals_what_another_implementation_computes() {
        let salt = std::array::from_fn(|i| u8::try_from(i).unwrap() + 16);
        assert_eq!(verifier("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", &salt), EXPECTED);
    }

    #[test]
    fn equals_the_keys_of_rfc_7677s_example() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        assert_eq!(
            verifier("pencil", &salt),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
             WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn the_broker_takes_it() {
        verifier("x", &[7; 16]).parse::<ScramVerifier>().unwrap();
    }
}
