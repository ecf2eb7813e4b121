//! Enrolment tokens: `ebt_SECRET.PIN`. The pin tells which authority the broker must present, so
//! that the agent knows the broker before it trusts anything.

use std::{fmt, str::FromStr};

use secrecy::SecretString;

/// SHA-256 of an authority's certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pin([u8; 32]);

/// A one-time token. Debug shows no secret.
#[derive(Debug, Clone)]
pub(crate) struct EnrolmentToken {
    /// The whole text: the broker knows its hash.
    pub text: SecretString,
    /// Whom the broker must present.
    pub pin: Pin,
}

/// Why a text is no enrolment token. It never repeats what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an enrolment token: it has the form ebt_SECRET.PIN, PIN being 64 hex digits, and `ebb admin agents token NAME` makes one"
)]
pub(crate) struct InvalidToken;

impl Pin {
    /// The pin of a certificate in DER.
    pub(crate) fn of(certificate: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        let mut pin = [0; 32];
        pin.copy_from_slice(digest.as_ref());
        Self(pin)
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for EnrolmentToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        let (secret, pin) =
            text.strip_prefix("ebt_").and_then(|rest| rest.split_once('.')).ok_or(InvalidToken)?;
        let printable = !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic());
        let mut bytes = [0; 32];
        hex::decode_to_slice(pin, &mut bytes).map_err(|_| InvalidToken)?;
        if !printable {
            return Err(InvalidToken);
        }
        Ok(Self { text: SecretString::from(text), pin: Pin(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn reads_a_token_with_its_pin() {
        let pin = Pin::of(b"certificate");
        let text = format!("ebt_sesame.{pin:?}");
        let token: EnrolmentToken = format!("{text}\n").parse().unwrap();
        assert_eq!((token.text.expose_secret(), token.pin), (text.as_str(), pin));
        assert!(!format!("{token:?}").contains("sesame"));
    }

    #[test]
    fn refuses_other_texts_without_repeating_them() {
        for text in ["", "ebt_sesame", "ebt_sesame.abc", "ebu_sesame.00", "ebt_.00"] {
            let padded = text.replace(".00", &format!(".{}", "0".repeat(64)));
            let error = padded.parse::<EnrolmentToken>().unwrap_err();
            assert!(!error.to_string().contains("sesame"), "{text}");
        }
    }
}
