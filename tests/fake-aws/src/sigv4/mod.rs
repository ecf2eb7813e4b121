//! Signature Version 4, the server's side: what a client claims to have signed, recomputed.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
//!
//! Pure: knows neither keys nor clock. `auth` looks those up and compares.

pub(crate) mod chunked;

use aws_lc_rs::{constant_time, digest, hmac};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::request::{Request, percent_decode, percent_encode};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The parameter of a presigned URL that carries the signature, hence is not signed itself.
const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";

/// What a client claims about its signature, from the `Authorization` header or a presigned URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) access_key_id: String,
    pub(crate) scope: Scope,
    /// `x-amz-date` as sent: `20150830T123600Z`.
    pub(crate) date: String,
    pub(crate) signed_at: Timestamp,
    pub(crate) signed_headers: Vec<String>,
    pub(crate) signature: String,
    pub(crate) session_token: Option<String>,
    /// A presigned URL's life in seconds; nothing when the header was signed.
    pub(crate) presigned_for: Option<i64>,
}

/// The credential scope: it names the region and the service that the request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) day: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

impl Scope {
    fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.day, self.region, self.service)
    }
}

impl Claim {
    /// Reads the claim, or nothing if the request is not signed.
    ///
    /// # Errors
    /// Tells which part of the signature is missing or can't be read.
    pub(crate) fn read(request: &Request) -> Result<Option<Self>, String> {
        if let Some(header) = request.header("authorization") {
            return Self::from_header(request, header).map(Some);
        }
        if request.query_value(SIGNATURE_PARAMETER).is_some() {
            return Self::from_query(request).map(Some);
        }
        Ok(None)
    }

    fn from_header(request: &Request, header: &str) -> Result<Self, String> {
        let fields = header.strip_prefix(ALGORITHM).ok_or_else(|| {
            format!("Unsupported Authorization Type; only {ALGORITHM} is supported")
        })?;
        let field = |name: &str| {
            fields
                .split(',')
                .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
                .ok_or_else(|| format!("Authorization header requires '{name}' parameter."))
        };
        let date = request.header("x-amz-date").ok_or_else(|| {
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
                .to_owned()
        })?;
        Self::build(
            field("Credential")?,
            date,
            field("SignedHeaders")?,
            field("Signature")?,
            request.header("x-amz-security-token").map(str::to_owned),
            None,
        )
    }

    fn from_query(request: &Request) -> Result<Self, String> {
        let parameter = |name: &str| {
            request
                .query_value(name)
                .ok_or_else(|| format!("AWS query-string parameters must include '{name}'."))
        };
        if parameter("X-Amz-Algorithm")? != ALGORITHM {
            return Err(format!("X-Amz-Algorithm only supports \"{ALGORITHM}\""));
        }
        let expires = parameter("X-Amz-Expires")?
            .parse()
            .ok()
            .filter(|seconds| (0..=604_800).contains(seconds))
            .ok_or_else(|| "X-Amz-Expires must be between 0 and 604800 seconds".to_owned())?;
        Self::build(
            &parameter("X-Amz-Credential")?,
            &parameter("X-Amz-Date")?,
            &parameter("X-Amz-SignedHeaders")?,
            &parameter(SIGNATURE_PARAMETER)?,
            request.query_value("X-Amz-Security-Token"),
            Some(expires),
        )
    }

    fn build(
        credential: &str,
        date: &str,
        signed_headers: &str,
        signature: &str,
        session_token: Option<String>,
        presigned_for: Option<i64>,
    ) -> Result<Self, String> {
        let parts: Vec<&str> = credential.split('/').collect();
        let [access_key_id, day, region, service, "aws4_request"] = parts[..] else {
            return Err(
                "Credential should be of the form <access key id>/<date>/<region>/<service>/aws4_request"
                    .to_owned(),
            );
        };
        let signed_at = DateTime::strptime("%Y%m%dT%H%M%SZ", date)
            .and_then(|civil| civil.to_zoned(TimeZone::UTC))
            .map_err(|_| format!("Date must be in ISO-8601 'basic format'. Got '{date}'."))?
            .timestamp();
        if !date.starts_with(day) {
            return Err(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date \
                 from HTTP: '{day}' != '{date}'."
            ));
        }
        let signed_headers: Vec<String> = signed_headers.split(';').map(str::to_owned).collect();
        if !signed_headers.iter().any(|name| name == "host") {
            return Err(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
                    .to_owned(),
            );
        }
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            scope: Scope {
                day: day.to_owned(),
                region: region.to_owned(),
                service: service.to_owned(),
            },
            date: date.to_owned(),
            signed_at,
            signed_headers,
            signature: signature.to_owned(),
            session_token,
            presigned_for,
        })
    }

    /// Whether the signature is that of `secret` over the request.
    pub(crate) fn is_signed_with(
        &self,
        secret: &str,
        request: &Request,
        payload_hash: &str,
        paths: Paths,
    ) -> bool {
        let canonical = self.canonical_request(request, payload_hash, paths);
        let expected = self.sign(secret, &canonical);
        same(&expected, &self.signature)
    }

    fn sign(&self, secret: &str, canonical_request: &str) -> String {
        let to_sign = format!(
            "{ALGORITHM}\n{}\n{}\n{}",
            self.date,
            self.scope.text(),
            sha256_hex(canonical_request.as_bytes())
        );
        hex::encode(hmac::sign(&self.signing_key(secret), to_sign.as_bytes()))
    }

    fn signing_key(&self, secret: &str) -> hmac::Key {
        let key = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let Scope { day, region, service } = &self.scope;
        [day, region, service, "aws4_request"]
            .into_iter()
            .fold(key(format!("AWS4{secret}").as_bytes()), |signer, part| {
                key(hmac::sign(&signer, part.as_bytes()).as_ref())
            })
    }

    fn canonical_request(&self, request: &Request, payload_hash: &str, paths: Paths) -> String {
        let headers: String = self
            .signed_headers
            .iter()
            .map(|name| format!("{name}:{}\n", canonical_header(request, name)))
            .collect();
        format!(
            "{}\n{}\n{}\n{headers}\n{}\n{payload_hash}",
            request.method,
            paths.canonical(&request.path),
            canonical_query(request),
            self.signed_headers.join(";"),
        )
    }
}

/// How a service wants the path to be written in the canonical request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paths {
    /// S3: escaped once, dots and doubled slashes kept.
    AsIs,
    /// All others: dot segments removed, then escaped once more.
    Normalised,
}

impl Paths {
    fn canonical(self, raw: &str) -> String {
        match self {
            Self::AsIs => percent_encode(&percent_decode(raw), b"/"),
            Self::Normalised => {
                let mut segments: Vec<&str> = Vec::new();
                for segment in raw.split('/') {
                    match segment {
                        "" | "." => {}
                        ".." => {
                            segments.pop();
                        }
                        name => segments.push(name),
                    }
                }
                let directory = raw.ends_with('/') && !segments.is_empty();
                let path = format!("/{}{}", segments.join("/"), if directory { "/" } else { "" });
                percent_encode(&path, b"/")
            }
        }
    }
}

fn canonical_header(request: &Request, name: &str) -> String {
    request
        .headers
        .get_all(name)
        .iter()
        .map(|value| {
            String::from_utf8_lossy(value.as_bytes())
                .split_ascii_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect::<Vec<_>>()
        .join(",")
}

fn canonical_query(request: &Request) -> String {
    let mut pairs: Vec<(String, String)> = request
        .query_pairs()
        .filter(|(name, _)| name != SIGNATURE_PARAMETER)
        .map(|(name, value)| (percent_encode(&name, b""), percent_encode(&value, b"")))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// The lower-case hexadecimal SHA-256 of some bytes.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

/// Compares without telling by its duration where two secrets differ.
pub(crate) fn same(a: &str, b: &str) -> bool {
    constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

#[cfg(test)]
pub(crate) mod tests;
