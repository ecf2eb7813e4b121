//! Randomness from the operating system: keys for repeats, names of temporary files, passwords.

use anyhow::{Context as _, Result};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// Fills `buffer` with random bytes.
///
/// # Errors
/// The operating system has none to give.
pub(crate) fn fill(buffer: &mut [u8]) -> Result<()> {
    SystemRandom::new().fill(buffer).context("cannot get random bytes from the system")
}

/// 32 hexadecimal digits: 128 bits that nobody can guess.
///
/// # Errors
/// As for [`fill`].
pub(crate) fn token() -> Result<String> {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// A password of so many random bytes in base64url, whose characters SASLprep leaves as they are and
/// which need no escaping in a URL or a file of options.
///
/// # Errors
/// As for [`fill`].
pub(crate) fn password<const BYTES: usize>() -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    fill(bytes.as_mut_slice())?;
    // Enough from the start, so that growing leaves no copy behind.
    let mut text = Zeroizing::new(String::with_capacity(BYTES.div_ceil(3) * 4));
    URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_of_harmless_characters_and_never_the_same() {
        let (one, other) = (password::<32>().unwrap(), password::<32>().unwrap());
        assert_eq!((one.len(), password::<24>().unwrap().len()), (43, 32));
        assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_ne!(*one, *other);
    }
}
