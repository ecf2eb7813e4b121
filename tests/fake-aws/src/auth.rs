//! Authentication: whose signature is this, and does it hold?

use axum::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::Arc;

use crate::caller::Caller;
use crate::error::AwsError;
use crate::fake::Fake;
use crate::iam::directory::AccessKey;
use crate::request::Request;
use crate::service::{Service, Signing};
use crate::sigv4::chunked::{ChunkError, ChunkSigner, Decoded, decode};
use crate::sigv4::{Claim, same, sha256_hex};
use crate::sts::session::Session;

/// Why a caller is not believed. Each service has its own words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuthFault {
    /// Not signed at all.
    Missing,
    /// The signature's parts can't be read.
    Malformed(String),
    /// Signed too long ago, or in the future.
    Skewed { signed_at: Timestamp, now: Timestamp },
    /// A presigned URL past its time.
    UrlExpired,
    /// No such access key, or it is inactive, or its user or role is gone.
    UnknownKey,
    /// The session token does not belong to the key.
    WrongToken,
    /// The signature is not the one that the secret gives.
    WrongSignature,
    /// A header that must be signed is not.
    UnsignedHeader(String),
    /// The session is over.
    Expired,
    /// The body is not the one that was signed.
    WrongPayload { signed: String, computed: String },
    /// The `aws-chunked` body can't be read.
    BadChunks(&'static str),
}

impl AuthFault {
    /// The words of the Query services. S3 has its own.
    pub(crate) fn in_query_words(&self) -> AwsError {
        let invalid = "The security token included in the request is invalid.";
        match self {
            Self::Missing => AwsError::forbidden(
                "MissingAuthenticationToken",
                "Request is missing Authentication Token",
            ),
            Self::Malformed(why) => AwsError::bad_request("IncompleteSignature", why.as_str()),
            Self::Skewed { signed_at, now } => {
                let stamp = |moment: Timestamp| moment.strftime("%Y%m%dT%H%M%SZ").to_string();
                let signed = stamp(*signed_at);
                let limit = SignedDuration::from_mins(5);
                let message = if signed_at < now {
                    let edge = stamp(now.saturating_sub(limit).unwrap_or(*now));
                    format!(
                        "Signature expired: {signed} is now earlier than {edge} ({} - 5 min.)",
                        stamp(*now)
                    )
                } else {
                    let edge = stamp(now.saturating_add(limit).unwrap_or(*now));
                    format!(
                        "Signature not yet current: {signed} is still later than {edge} ({} + 5 min.)",
                        stamp(*now)
                    )
                };
                AwsError::forbidden("SignatureDoesNotMatch", message)
            }
            Self::UrlExpired => AwsError::forbidden("SignatureDoesNotMatch", "Signature expired."),
            Self::UnknownKey | Self::WrongToken => {
                AwsError::forbidden("InvalidClientTokenId", invalid)
            }
            Self::Expired => AwsError::forbidden(
                "ExpiredToken",
                "The security token included in the request is expired",
            ),
            Self::WrongSignature
            | Self::UnsignedHeader(_)
            | Self::WrongPayload { .. }
            | Self::BadChunks(_) => AwsError::forbidden(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. \
                 Check your AWS Secret Access Key and signing method. Consult the service \
                 documentation for details.",
            ),
        }
    }
}

/// A verified caller with the body it really sent.
#[derive(Debug)]
pub(crate) struct Authenticated {
    pub(crate) caller: Caller,
    pub(crate) region: String,
    pub(crate) body: Bytes,
    pub(crate) trailers: Vec<(String, String)>,
}

enum Key {
    LongTerm(Arc<AccessKey>),
    Session(Arc<Session>),
}

impl Key {
    fn secret(&self) -> &SecretString {
        match self {
            Self::LongTerm(key) => &key.secret,
            Self::Session(session) => &session.secret,
        }
    }
}

/// Verifies a request's signature and finds its caller.
///
/// # Errors
/// Why the caller is not believed.
pub(crate) fn authenticate(
    fake: &Fake,
    service: &dyn Service,
    request: &Request,
    claim: Result<Option<Claim>, String>,
) -> Result<Authenticated, AuthFault> {
    let claim = claim.map_err(AuthFault::Malformed)?.ok_or(AuthFault::Missing)?;
    let signing = service.signing();
    check_date(&claim, fake.clock.real(), signing.skew)?;
    let key = find_key(fake, &claim)?;
    check_token(&key, claim.session_token.as_deref())?;

    let secret = key.secret().expose_secret();
    let hash = payload_hash(request, &claim, signing)?;
    if !claim.is_signed_with(secret, request, &hash, signing.paths) {
        return Err(AuthFault::WrongSignature);
    }
    if let Key::Session(session) = &key
        && fake.clock.now() >= session.expires
    {
        return Err(AuthFault::Expired);
    }
    let payload = payload(request, &claim, secret, &hash)?;
    Ok(Authenticated {
        caller: caller(fake, key)?,
        region: claim.scope.region,
        body: payload.body,
        trailers: payload.trailers,
    })
}

/// The real clock judges, for it is the one that clients sign by.
fn check_date(claim: &Claim, now: Timestamp, skew: SignedDuration) -> Result<(), AuthFault> {
    let age = now.duration_since(claim.signed_at);
    match claim.presigned_for {
        Some(seconds) if age > SignedDuration::from_secs(seconds) => Err(AuthFault::UrlExpired),
        None if age > skew => Err(AuthFault::Skewed { signed_at: claim.signed_at, now }),
        _ if -age > skew => Err(AuthFault::Skewed { signed_at: claim.signed_at, now }),
        _ => Ok(()),
    }
}

fn find_key(fake: &Fake, claim: &Claim) -> Result<Key, AuthFault> {
    let mut world = fake.world.lock();
    if let Some(session) = world.sts.get(&claim.access_key_id) {
        return Ok(Key::Session(session));
    }
    match world.iam.effective().keys.get(&claim.access_key_id) {
        Some(key) if key.active => Ok(Key::LongTerm(Arc::clone(key))),
        _ => Err(AuthFault::UnknownKey),
    }
}

fn check_token(key: &Key, token: Option<&str>) -> Result<(), AuthFault> {
    match (key, token) {
        (Key::LongTerm(_), None) => Ok(()),
        (Key::Session(_), None) => Err(AuthFault::UnknownKey),
        (Key::Session(session), Some(token)) if same(session.token.expose_secret(), token) => {
            Ok(())
        }
        _ => Err(AuthFault::WrongToken),
    }
}

fn caller(fake: &Fake, key: Key) -> Result<Caller, AuthFault> {
    let directory = fake.world.lock().iam.effective();
    match key {
        Key::LongTerm(key) => {
            directory.users.get(&key.user).map(|user| Caller::user(&fake.account, &directory, user))
        }
        // A role of the same name that was made anew has another id: its sessions don't come back
        // to life.
        Key::Session(session) => directory
            .roles
            .get(&session.role_name)
            .filter(|role| role.entity.id == session.role_id)
            .map(|role| Caller::session(&fake.account, &directory, &role.entity, session)),
    }
    .ok_or(AuthFault::UnknownKey)
}

/// What stands in the canonical request for the body.
fn payload_hash(request: &Request, claim: &Claim, signing: Signing) -> Result<String, AuthFault> {
    if signing.hashes_payload_itself {
        return Ok(sha256_hex(&request.body));
    }
    if claim.presigned_for.is_some() {
        return Ok("UNSIGNED-PAYLOAD".to_owned());
    }
    let must_be_signed = |name: &str| name.starts_with("x-amz-");
    for name in request.headers.keys().map(http::HeaderName::as_str) {
        if must_be_signed(name) && !claim.signed_headers.iter().any(|signed| signed == name) {
            return Err(AuthFault::UnsignedHeader(name.to_owned()));
        }
    }
    request.header("x-amz-content-sha256").map(str::to_owned).ok_or_else(|| {
        AuthFault::Malformed(
            "Missing required header for this request: x-amz-content-sha256".to_owned(),
        )
    })
}

/// The body, decoded and checked against what was signed.
fn payload(
    request: &Request,
    claim: &Claim,
    secret: &str,
    hash: &str,
) -> Result<Decoded, AuthFault> {
    let signer = || ChunkSigner::new(claim, secret);
    let chunked = |signer| {
        decode(&request.body, signer).map_err(|error| match error {
            ChunkError::Malformed(why) => AuthFault::BadChunks(why),
            ChunkError::Signature => AuthFault::WrongSignature,
        })
    };
    let decoded = match hash {
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => chunked(None)?,
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" | "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => {
            chunked(Some(signer()))?
        }
        "UNSIGNED-PAYLOAD" => return Ok(plain(request)),
        signed => {
            let computed = sha256_hex(&request.body);
            if signed == computed {
                return Ok(plain(request));
            }
            return Err(AuthFault::WrongPayload { signed: signed.to_owned(), computed });
        }
    };
    match request.header("x-amz-decoded-content-length") {
        Some(length) if length == decoded.body.len().to_string() => Ok(decoded),
        _ => Err(AuthFault::BadChunks("x-amz-decoded-content-length is missing or wrong")),
    }
}

fn plain(request: &Request) -> Decoded {
    Decoded { body: request.body.clone(), trailers: Vec::new() }
}

#[cfg(test)]
mod tests;
