//! What a person logs in with. Nothing here is kept or logged (I8).

use ebbgate_domain::{Timestamp, verifier::Verifier};
use secrecy::SecretString;

/// What a person brings, or asks for.
#[derive(Debug, Clone)]
pub enum CredentialWish {
    /// A verifier of a password that was made on the person's own machine.
    Verifier(Verifier),
    /// Credentials that only the target can make.
    Issue,
}

/// What a connector answers.
#[derive(Debug)]
pub enum Credential {
    /// The verifier is in force; the person logs in under this name.
    Login {
        /// The account's name on the target.
        user: String,
    },
    /// Credentials, to be handed to the person once and forgotten.
    Aws(AwsCredentials),
}

/// Temporary AWS credentials. Debug shows no secret.
#[derive(Debug)]
pub struct AwsCredentials {
    /// The access key's id; no secret by itself.
    pub access_key_id: String,
    /// The secret key.
    pub secret_access_key: SecretString,
    /// The session's token.
    pub session_token: SecretString,
    /// When they end for their holder: STS's expiry or the grant's end, whichever is earlier.
    pub expires_at: Timestamp,
    /// When STS itself lets them expire.
    pub sts_expires_at: Timestamp,
}
