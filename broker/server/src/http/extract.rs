//! What handlers take: JSON bodies and queries with clear errors, ids, pages and idempotency keys.

use std::str::FromStr;

use aws_lc_rs::digest;
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{Method, request::Parts},
};
use ebbgate_broker_app::{AppError, Caller, ClientKey, Mistake};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The most items in a page.
const MOST: u32 = 200;
const DEFAULT: u32 = 50;

/// Who calls; put there by the door.
#[derive(Clone)]
pub(crate) struct Person(pub(crate) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::unauthenticated)
    }
}

/// A JSON body, with the idempotency key that came along. An empty body counts as `{}`.
pub(crate) struct Body<T> {
    pub value: T,
    pub key: Option<ClientKey>,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let operation = (request.method().clone(), request.uri().path().to_owned());
        let key = match request.headers().get("idempotency-key") {
            Some(value) => Some(checked_key(value.to_str().unwrap_or_default())?),
            None => None,
        };
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|error| one_mistake("body", error.body_text()))?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = T::deserialize(&mut reader)
            .and_then(|value| reader.end().map(|()| value))
            .map_err(|error| one_mistake("body", error))?;
        let key = key.map(|key| ClientKey { key, fingerprint: fingerprint(&operation, text) });
        Ok(Self { value, key })
    }
}

fn one_mistake(field: &str, message: impl ToString) -> Problem {
    Problem::invalid(vec![Mistake::new(field, message)])
}

fn checked_key(key: &str) -> Result<String, Problem> {
    let good = (1..=128).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if good {
        return Ok(key.to_owned());
    }
    Err(one_mistake("Idempotency-Key", "use 1 to 128 visible ASCII characters"))
}

/// SHA-256 of operation and body: the body may hold a verifier, so it is not kept itself.
fn fingerprint((method, path): &(Method, String), body: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [method.as_str().as_bytes(), path.as_bytes(), body] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    hex::encode(context.finish())
}

/// The id in the path. One that is malformed names nothing.
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr + Send> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = <Path<String> as FromRequestParts<S>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::from(AppError::not_found("object", "")))?;
        text.parse().map(Self).map_err(|_| AppError::not_found("object", text).into())
    }
}

/// A query string.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(value)| Self(value))
            .map_err(|error| one_mistake("query", error.body_text()))
    }
}

/// How many items a page may have, as asked for.
pub(crate) fn page_size(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(DEFAULT) {
        limit @ 1..=MOST => Ok(limit),
        _ => Err(one_mistake("limit", format!("use 1 to {MOST}"))),
    }
}

/// A cursor: the id of the last item that the client has.
pub(crate) fn cursor<T: FromStr>(text: Option<&str>) -> Result<Option<T>, Problem> {
    text.map(|text| {
        text.parse().map_err(|_| one_mistake("cursor", "use next_cursor as it was given"))
    })
    .transpose()
}
