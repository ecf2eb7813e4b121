//! Who is calling: API tokens, of which only hashes are kept.
//!
//! A token has 256 random bits, so SHA-256 is enough: there is nothing to guess that a slow hash
//! would protect. Look-up is by hash, which tells a caller nothing about other tokens.

use std::{collections::HashMap, fmt, str::FromStr};

use aws_lc_rs::digest;
use ebbgate_domain::names::PrincipalId;

/// What stands before a person's token, so that scanners for leaked secrets know it.
pub const TOKEN_PREFIX: &str = "ebu_";

/// SHA-256 of a token's text, written `sha256:<64 hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// A text is no token hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a token's hash as sha256:<64 hex digits>; `ebbgate-broker token` prints one")]
pub struct InvalidTokenHash;

impl FromStr for TokenHash {
    type Err = InvalidTokenHash;

    fn from_str(text: &str) -> Result<Self, InvalidTokenHash> {
        let hex = text.strip_prefix("sha256:").ok_or(InvalidTokenHash)?;
        let mut hash = [0; 32];
        hex::decode_to_slice(hex, &mut hash).map_err(|_| InvalidTokenHash)?;
        Ok(Self(hash))
    }
}

/// The tokens of everybody.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    owners: HashMap<TokenHash, PrincipalId>,
}

impl Tokens {
    /// These tokens.
    pub fn new(tokens: impl IntoIterator<Item = (TokenHash, PrincipalId)>) -> Self {
        Self { owners: tokens.into_iter().collect() }
    }

    /// Whose token this is.
    pub fn owner(&self, token: &str) -> Option<&PrincipalId> {
        self.owners.get(&TokenHash::of(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        let ana: PrincipalId = "ana@example.com".parse().unwrap();
        let hash: TokenHash = TokenHash::of("ebu_1").to_string().parse().unwrap();
        let tokens = Tokens::new([(hash, ana.clone())]);
        assert_eq!(tokens.owner("ebu_1"), Some(&ana));
        assert_eq!(tokens.owner("ebu_2"), None);
        assert_eq!(tokens.owner(&hash.to_string()), None);
    }

    #[test]
    fn a_bare_token_in_the_file_is_refused() {
        assert!("ebu_0123".parse::<TokenHash>().unwrap_err().to_string().contains("sha256:"));
        assert!("sha256:0123".parse::<TokenHash>().is_err());
    }
}
