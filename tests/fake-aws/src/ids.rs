//! Ids, keys and tokens of the shapes that AWS gives them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use secrecy::SecretString;

/// A unique id: a prefix such as `AROA` and `length` letters and digits. Access key ids have 16 of
/// them, roles and users 17.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>
pub(crate) fn unique_id(prefix: &str, length: usize) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let tail = (0..length).map(|_| char::from(LETTERS[usize::from(rand::random::<u8>() % 32)]));
    prefix.chars().chain(tail).collect()
}

/// A secret access key of 40 characters.
pub(crate) fn secret_access_key() -> SecretString {
    SecretString::from(STANDARD.encode(rand::random::<[u8; 30]>()))
}

/// A session token. Its length has no promise; this is about what AWS gives for a small session.
pub(crate) fn session_token() -> SecretString {
    let bytes: Vec<u8> = rand::random_iter().take(264).collect();
    SecretString::from(format!("FwoGZXIvYXdzE{}", STANDARD_NO_PAD.encode(bytes)))
}

/// A request id in the form of a UUID.
pub(crate) fn request_id() -> String {
    let hex = hex::encode(rand::random::<[u8; 16]>());
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn shapes() {
        let id = unique_id("AROA", 17);
        assert_eq!(id.len(), 21);
        assert_ne!(id, unique_id("AROA", 17));
        assert_eq!(secret_access_key().expose_secret().len(), 40);
        assert!(session_token().expose_secret().len() > 300);
        assert_eq!(request_id().len(), 36);
    }
}
