//! SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677) in PostgreSQL's form. The password is made on the
//! requester's machine; only this travels. Since it ends up in SQL, it is taken apart strictly and
//! written anew from its parts.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, all three in base64.
///
/// Debug shows no key material: whoever holds a ServerKey can pose as the server.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

/// The fewest iterations: RFC 7677 says at least 4,096.
pub const MIN_ITERATIONS: u32 = 4_096;
/// The most: the server spends them on each log-in, so a huge number would be an attack on it.
pub const MAX_ITERATIONS: u32 = 65_536;

/// Why a text is no verifier. It never repeats what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVerifier {
    /// Not of the form at all.
    #[error("not of the form SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>")]
    Form,
    /// Too few or too many iterations.
    #[error("iterations must lie between {MIN_ITERATIONS} and {MAX_ITERATIONS}")]
    Iterations,
    /// A salt that is too short or too long.
    #[error("the salt must be 16 to 32 bytes in base64")]
    Salt,
    /// A key that is not 32 bytes.
    #[error("StoredKey and ServerKey must be 32 bytes each in base64")]
    Key,
}

impl FromStr for ScramVerifier {
    type Err = InvalidVerifier;

    fn from_str(text: &str) -> Result<Self, InvalidVerifier> {
        let rest = text
            .strip_prefix("SCRAM-SHA-256$")
            .filter(|rest| rest.len() <= 256)
            .ok_or(InvalidVerifier::Form)?;
        let (head, keys) = rest.split_once('$').ok_or(InvalidVerifier::Form)?;
        let (iterations, salt) = head.split_once(':').ok_or(InvalidVerifier::Form)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(InvalidVerifier::Form)?;
        if iterations.is_empty() || !iterations.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidVerifier::Form);
        }
        let iterations = iterations
            .parse()
            .ok()
            .filter(|count| (MIN_ITERATIONS..=MAX_ITERATIONS).contains(count))
            .ok_or(InvalidVerifier::Iterations)?;
        let salt = STANDARD
            .decode(salt)
            .ok()
            .filter(|salt| (16..=32).contains(&salt.len()))
            .ok_or(InvalidVerifier::Salt)?;
        Ok(Self { iterations, salt, stored_key: key(stored_key)?, server_key: key(server_key)? })
    }
}

fn key(text: &str) -> Result<[u8; 32], InvalidVerifier> {
    let bytes = STANDARD.decode(text).map_err(|_| InvalidVerifier::Key)?;
    bytes.try_into().map_err(|_| InvalidVerifier::Key)
}

impl ScramVerifier {
    /// The verifier as PostgreSQL stores it. Only digits, base64 and `$:` occur in it, so it is
    /// safe inside an SQL string literal.
    pub fn to_sql_text(&self) -> String {
        format!(
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key),
        )
    }
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramVerifier({} iterations, …)", self.iterations)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const SALT: &str = "AAECAwQFBgcICQoLDA0ODw==";
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn reads_and_writes_postgresqls_form() {
        let text = format!("SCRAM-SHA-256$4096:{SALT}${KEY}:{KEY}");
        let verifier: ScramVerifier = text.parse().unwrap();
        assert_eq!(verifier.to_sql_text(), text);
        assert!(!format!("{verifier:?}").contains(KEY));
    }

    #[rstest]
    #[case(String::new(), InvalidVerifier::Form)]
    #[case("md5abcdef".to_owned(), InvalidVerifier::Form)]
    #[case(format!("SCRAM-SHA-256$+4096:{SALT}${KEY}:{KEY}"), InvalidVerifier::Form)]
    #[case(format!("SCRAM-SHA-256$1:{SALT}${KEY}:{KEY}"), InvalidVerifier::Iterations)]
    #[case(format!("SCRAM-SHA-256$99999999:{SALT}${KEY}:{KEY}"), InvalidVerifier::Iterations)]
    #[case(format!("SCRAM-SHA-256$4096:AAEC${KEY}:{KEY}"), InvalidVerifier::Salt)]
    #[case(format!("SCRAM-SHA-256$4096:{SALT}${KEY}:AAEC"), InvalidVerifier::Key)]
    #[case(format!("SCRAM-SHA-256$4096:{SALT}${KEY}:{KEY}'; DROP ROLE x"), InvalidVerifier::Key)]
    #[case(format!("SCRAM-SHA-256$4096:{SALT}\n${KEY}:{KEY}"), InvalidVerifier::Salt)]
    fn refuses(#[case] text: String, #[case] error: InvalidVerifier) {
        assert_eq!(text.parse::<ScramVerifier>().unwrap_err(), error);
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_safe_in_a_string_literal(text in "SCRAM-SHA-256\\$4096:.{0,80}") {
            if let Ok(verifier) = text.parse::<ScramVerifier>() {
                prop_assert!(!verifier.to_sql_text().contains(['\'', '\\', '\n', '\0']));
            }
        }
    }
}
