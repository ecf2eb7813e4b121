//! What MySQL and MariaDB store instead of a password, in the forms of their three plugins. All are
//! made on the person's own machine; the connector takes the one that its server offers.
//!
//! The forms end up in SQL, so they are checked to the byte, at the API and again at the agent.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

/// Why a text is no verifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMysqlVerifier {
    /// Not `*` and 40 upper-case hexadecimal digits.
    #[error("native is not '*' and 40 upper-case hexadecimal digits: SHA1(SHA1(password))")]
    Native,
    /// Not what `caching_sha2_password` stores.
    #[error(
        "caching_sha2 is not $A$005$, 20 characters of salt and 43 of hash, all of ./0-9A-Za-z"
    )]
    CachingSha2,
    /// Not a public key in base64.
    #[error("ed25519 is not 32 bytes as base64 without padding")]
    Ed25519,
}

/// One password's verifiers for each plugin. Debug shows none.
#[derive(Clone, PartialEq, Eq)]
pub struct MysqlVerifiers {
    native: String,
    caching_sha2: String,
    ed25519: String,
}

impl MysqlVerifiers {
    /// Takes the three forms: `mysql_native_password`'s, `caching_sha2_password`'s, `ed25519`'s.
    ///
    /// # Errors
    /// Names the first that is not in its form.
    pub fn new(
        native: &str,
        caching_sha2: &str,
        ed25519: &str,
    ) -> Result<Self, InvalidMysqlVerifier> {
        let digits = native.strip_prefix('*').ok_or(InvalidMysqlVerifier::Native)?;
        if digits.len() != 40 || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F')) {
            return Err(InvalidMysqlVerifier::Native);
        }
        let crypt = |b: u8| b == b'.' || b == b'/' || b.is_ascii_alphanumeric();
        let rest = caching_sha2.strip_prefix("$A$005$").ok_or(InvalidMysqlVerifier::CachingSha2)?;
        if rest.len() != 63 || !rest.bytes().all(crypt) {
            return Err(InvalidMysqlVerifier::CachingSha2);
        }
        let key = STANDARD_NO_PAD.decode(ed25519).map_err(|_| InvalidMysqlVerifier::Ed25519)?;
        if key.len() != 32 {
            return Err(InvalidMysqlVerifier::Ed25519);
        }
        Ok(Self {
            native: native.to_owned(),
            caching_sha2: caching_sha2.to_owned(),
            ed25519: ed25519.to_owned(),
        })
    }

    /// For `mysql_native_password`; safe inside an SQL string literal, like the others.
    pub fn native(&self) -> &str {
        &self.native
    }

    /// For `caching_sha2_password`.
    pub fn caching_sha2(&self) -> &str {
        &self.caching_sha2
    }

    /// For MariaDB's `ed25519`.
    pub fn ed25519(&self) -> &str {
        &self.ed25519
    }
}

impl fmt::Debug for MysqlVerifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MysqlVerifiers(…)")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NATIVE: &str = "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19";
    const SHA2: &str = "$A$005$abcdefghijklmnopqrstABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./abcde";
    const KEY: &str = "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY";

    #[test]
    fn takes_the_three_forms_and_shows_none() {
        let all = MysqlVerifiers::new(NATIVE, SHA2, KEY).unwrap();
        assert_eq!((all.native(), all.caching_sha2(), all.ed25519()), (NATIVE, SHA2, KEY));
        assert!(!format!("{all:?}").contains("2470"));
    }

    #[rstest]
    #[case("2470", SHA2, KEY, InvalidMysqlVerifier::Native)]
    #[case("*2470c0c06dee42fd1618bb99005adca2ec9d1e19", SHA2, KEY, InvalidMysqlVerifier::Native)]
    #[case(NATIVE, "$A$005$'; DROP USER root", KEY, InvalidMysqlVerifier::CachingSha2)]
    #[case(NATIVE, "$A$004$abc", KEY, InvalidMysqlVerifier::CachingSha2)]
    #[case(NATIVE, SHA2, "AAEC", InvalidMysqlVerifier::Ed25519)]
    fn refuses(
        #[case] native: &str,
        #[case] sha2: &str,
        #[case] key: &str,
        #[case] error: InvalidMysqlVerifier,
    ) {
        assert_eq!(MysqlVerifiers::new(native, sha2, key).unwrap_err(), error);
    }
}
