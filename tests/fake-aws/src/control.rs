//! The control plane for tests, under `/_fake/`: unsigned JSON, no part of AWS.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::{any, get, post};
use axum::{Json, Router};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::fake::Fake;
use crate::faults::Change;

type Refusal = (StatusCode, Json<Value>);

/// The routes.
pub(crate) fn routes() -> Router<Arc<Fake>> {
    Router::new()
        .route("/_fake/health", get(health))
        .route("/_fake/clock", post(clock))
        .route("/_fake/faults", post(faults).get(show_faults))
        .route("/_fake/calls", get(calls))
        .route("/_fake/reset", post(reset))
        .route("/_fake/{*other}", any(unknown))
}

fn refuse(message: &dyn std::fmt::Display) -> Refusal {
    let body = json!({ "error": message.to_string() });
    (StatusCode::BAD_REQUEST, Json(body))
}

/// Reads a JSON body, whatever content type was said.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| refuse(&error))
}

async fn unknown() -> Refusal {
    let message = "there are /_fake/health, clock, faults, calls and reset";
    (StatusCode::NOT_FOUND, Json(json!({ "error": message })))
}

async fn health(State(fake): State<Arc<Fake>>) -> Json<Value> {
    Json(json!({
        "status": "ok",
        "account": fake.account,
        "access_key_id": fake.admin_key_id,
        "now": fake.clock.now(),
        "real_now": fake.clock.real(),
    }))
}

/// What `POST /_fake/clock` takes: exactly one of them.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Move {
    AdvanceSeconds(i64),
    Set(Timestamp),
    Reset(bool),
}

async fn clock(State(fake): State<Arc<Fake>>, body: Bytes) -> Result<Json<Value>, Refusal> {
    match read(&body)? {
        Move::AdvanceSeconds(seconds) => {
            fake.clock.advance(seconds).map_err(|error| refuse(&error))?
        }
        Move::Set(to) => fake.clock.set(to),
        Move::Reset(true) => fake.clock.reset(),
        Move::Reset(false) => return Err(refuse(&"reset takes true")),
    }
    Ok(Json(json!({ "now": fake.clock.now() })))
}

async fn faults(State(fake): State<Arc<Fake>>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let change: Change = read(&body)?;
    Ok(Json(json!(fake.change_faults(&change))))
}

async fn show_faults(State(fake): State<Arc<Fake>>) -> Json<Value> {
    Json(json!(*fake.faults.lock()))
}

async fn calls(State(fake): State<Arc<Fake>>) -> Json<Value> {
    let calls = fake.calls.lock();
    Json(json!(calls.records().collect::<Vec<_>>()))
}

async fn reset(State(fake): State<Arc<Fake>>) -> Json<Value> {
    fake.reset();
    Json(json!({ "status": "ok" }))
}
