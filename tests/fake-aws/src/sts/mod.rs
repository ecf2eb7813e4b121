//! STS: who am I, and sessions of roles.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_Operations.html>

mod assume_role;
pub(crate) mod session;

use axum::body::Body;
use http::Response;

use crate::auth::AuthFault;
use crate::error::AwsError;
use crate::query::{self, Params};
use crate::request::Request;
use crate::service::{Call, Service};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The service.
pub(crate) struct Sts;

impl Service for Sts {
    fn operation(&self, request: &Request) -> Result<String, AwsError> {
        Params::read(request).action()
    }

    fn answer(&self, call: &Call<'_>) -> Result<Response<Body>, AwsError> {
        match call.operation {
            "AssumeRole" => assume_role::answer(call, &Params::read(call.request)),
            "GetCallerIdentity" => Ok(caller_identity(call)),
            other => Err(AwsError::bad_request(
                "InvalidAction",
                format!("Could not find operation {other} for version 2011-06-15"),
            )),
        }
    }

    fn refuse(&self, error: &AwsError, _: &Request, request_id: &str) -> Response<Body> {
        query::refuse(error, NAMESPACE, request_id)
    }

    fn unauthenticated(&self, fault: &AuthFault) -> AwsError {
        fault.in_query_words()
    }
}

/// Needs no permission, and no policy can deny it.
fn caller_identity(call: &Call<'_>) -> Response<Body> {
    query::answer(call, NAMESPACE, |xml| {
        xml.text("Arn", &call.caller.arn);
        xml.text("UserId", &call.caller.user_id);
        xml.text("Account", &call.fake.account);
    })
}

#[cfg(test)]
mod tests;
