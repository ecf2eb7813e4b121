//! HTTP: takes requests in, finds the service, keeps the log of calls.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::IntoResponse as _;
use http::{HeaderValue, Response, StatusCode};

use crate::auth::authenticate;
use crate::calls::CallRecord;
use crate::clock::iso_millis;
use crate::control;
use crate::error::AwsError;
use crate::fake::Fake;
use crate::faults::Fault;
use crate::ids;
use crate::request::Request;
use crate::service::{self, Call, Service};
use crate::sigv4::Claim;

/// The largest request: objects are kept in memory.
const LARGEST: usize = 64 * 1024 * 1024;

/// The whole program's routes.
pub(crate) fn router(fake: Arc<Fake>) -> Router {
    control::routes().fallback(aws).layer(DefaultBodyLimit::disable()).with_state(fake)
}

async fn aws(State(fake): State<Arc<Fake>>, request: axum::extract::Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST).await else {
        let message = "the body is cut short, or larger than 64 MiB\n";
        return (StatusCode::PAYLOAD_TOO_LARGE, message).into_response();
    };
    let mut headers = parts.headers;
    // HTTP/2 has the host in the URI.
    if let Some(authority) = parts.uri.authority()
        && let Ok(value) = HeaderValue::from_str(authority.as_str())
    {
        headers.entry(http::header::HOST).or_insert(value);
    }
    let request = Request {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or("").to_owned(),
        headers,
        body,
    };
    serve(&fake, &request)
}

/// Serves one request, and logs it.
pub(crate) fn serve(fake: &Fake, request: &Request) -> Response<Body> {
    let request_id = ids::request_id();
    let claim = Claim::read(request);
    let name = match &claim {
        Ok(Some(claim)) => claim.scope.service.clone(),
        _ => service::guess(request).to_owned(),
    };
    let mut record = CallRecord {
        time: iso_millis(fake.clock.now()),
        service: name.clone(),
        ..CallRecord::default()
    };
    let Some(service) = service::find(&name) else {
        record.outcome = "UnknownService".to_owned();
        fake.calls.lock().push(record);
        let message = format!("fake-aws does not speak the service {name}\n");
        return (StatusCode::NOT_IMPLEMENTED, message).into_response();
    };
    let result = attempt(fake, service, request, claim, &request_id, &mut record);
    record.outcome = match &result {
        Ok(_) => "allowed".to_owned(),
        Err(error) if error.code == "AccessDenied" => "denied".to_owned(),
        Err(error) => error.code.clone().into_owned(),
    };
    tracing::debug!(
        service = record.service,
        action = record.action,
        outcome = record.outcome,
        "call"
    );
    fake.calls.lock().push(record);
    let mut response = result.unwrap_or_else(|error| service.refuse(&error, request, &request_id));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        let headers = response.headers_mut();
        headers.insert("x-amzn-requestid", value.clone());
        headers.insert("x-amz-request-id", value);
    }
    response
}

fn attempt(
    fake: &Fake,
    service: &dyn Service,
    request: &Request,
    claim: Result<Option<Claim>, String>,
    request_id: &str,
    record: &mut CallRecord,
) -> Result<Response<Body>, AwsError> {
    let operation = service.operation(request);
    if let Ok(operation) = &operation {
        record.action.clone_from(operation);
    }
    let fault = planned(fake, record)?;
    match fault {
        Some(Fault::Throttle) => return Err(service.throttled()),
        Some(Fault::Fail) => return Err(service.failed()),
        Some(Fault::LoseAnswer) | None => {}
    }
    let caller = authenticate(fake, service, request, claim)
        .map_err(|fault| service.unauthenticated(&fault))?;
    record.principal = Some(caller.caller.arn.clone());
    if let Some(session) = caller.caller.assumed() {
        record.session_name = Some(session.session_name.clone());
        record.source_identity.clone_from(&session.source_identity);
    }
    let call = Call {
        fake,
        request,
        body: caller.body,
        trailers: caller.trailers,
        operation: &operation?,
        request_id,
        region: caller.region,
        caller: caller.caller,
        now: fake.clock.now(),
        resource: RefCell::new(None),
        parameters: RefCell::new(BTreeMap::new()),
    };
    let result = service.answer(&call);
    record.resource = call.resource.into_inner();
    record.parameters = call.parameters.into_inner();
    match fault {
        Some(Fault::LoseAnswer) => result.and(Err(service.failed())),
        _ => result,
    }
}

/// The fault that this request meets.
fn planned(fake: &Fake, record: &CallRecord) -> Result<Option<Fault>, AwsError> {
    let mut faults = fake.faults.lock();
    if faults.down() {
        return Err(AwsError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            "Service is unable to handle request.",
        ));
    }
    Ok(faults.take(&record.service, &record.action))
}
