//! Secrets that the harness makes, and a list of all that were handed out, so that a test can
//! search for them where none may rest.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use aws_lc_rs::{
    digest, rand,
    signature::{self, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

/// 64 hexadecimal digits of fresh randomness.
///
/// # Errors
/// When the system has none.
pub fn random_hex() -> Result<String> {
    Ok(hex::encode(random_bytes()?))
}

/// 32 random bytes.
///
/// # Errors
/// When the system has no randomness.
pub fn random_bytes() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).context("ask the system for randomness")?;
    Ok(bytes)
}

/// `sha256:<hex>` of a text, as `users.yaml` lists a token.
pub fn token_hash(token: &str) -> String {
    format!("sha256:{}", hex::encode(digest::digest(&digest::SHA256, token.as_bytes())))
}

/// The SCRAM verifier of a password (RFC 5803, 4,096 iterations), by code that the product does not
/// use for it.
pub fn scram_verifier(password: &str) -> String {
    postgres_protocol::password::scram_sha_256(password.as_bytes())
}

/// What `mysql_native_password` stores of a password: `*` and SHA1(SHA1(password)).
pub fn native_password_hash(password: &str) -> String {
    let sha1 = |data: &[u8]| digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, data);
    format!("*{}", hex::encode_upper(sha1(sha1(password.as_bytes()).as_ref())))
}

/// What MariaDB's `ed25519` stores of a password of 32 bytes: the public key of which it is the seed
/// (RFC 8032, section 5.1.5), in base64 without padding.
///
/// # Errors
/// The password has not 32 bytes.
pub fn ed25519_password_key(password: &str) -> Result<String> {
    let pair = signature::Ed25519KeyPair::from_seed_unchecked(password.as_bytes());
    let pair = pair.ok().context("a password of 32 bytes")?;
    Ok(STANDARD_NO_PAD.encode(pair.public_key().as_ref()))
}

/// The secrets handed out so far, each with what it is.
#[derive(Debug, Clone, Default)]
pub struct HandedOut(Arc<Mutex<BTreeMap<String, String>>>);

impl HandedOut {
    /// Notes a secret and gives it back.
    pub fn note(&self, what: impl Into<String>, secret: impl Into<String>) -> String {
        let secret = secret.into();
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.insert(secret.clone(), what.into());
        secret
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Every place under `roots` in which a secret rests: what it is and in which file.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn found_in(&self, roots: &[&Path]) -> Result<Vec<(String, PathBuf)>> {
        let mut files = Vec::new();
        for root in roots {
            collect(root, &mut files)?;
        }
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found = Vec::new();
        for file in files {
            let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
            let hits = list.iter().filter(|(secret, _)| contains(&bytes, secret.as_bytes()));
            found.extend(hits.map(|(_, what)| (what.clone(), file.clone())));
        }
        Ok(found)
    }
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        let entries = fs::read_dir(path).with_context(|| format!("list {}", path.display()))?;
        for entry in entries {
            collect(&entry.context("list a folder")?.path(), files)?;
        }
    } else if path.is_file() {
        files.push(path.to_owned());
    }
    Ok(())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_at_rest_is_found_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("deep")).unwrap();
        let file = dir.path().join("deep/journal");
        fs::write(&file, b"\0\xffpassword=hunter22\n").unwrap();
        let handed_out = HandedOut::default();
        handed_out.note("Ana's password", "hunter22");
        handed_out.note("Ben's token", "not there");
        let found = handed_out.found_in(&[dir.path()]).unwrap();
        assert_eq!(found, [("Ana's password".to_owned(), file)]);
    }

    #[test]
    fn hashes_a_token_as_the_users_file_wants_it() {
        assert_eq!(
            token_hash("abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
