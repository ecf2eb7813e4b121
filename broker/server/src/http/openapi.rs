//! The API's description, OpenAPI 3.1. Each operation says who may call it and what it leaves in
//! the audit log, out of the same table that the door reads.

use axum::Json;
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::{
    admin, agents, applied, approval, channels, delegations, endpoints, explain, flows, grants,
    life, reports, requests, reviews, sessions, system,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ebbgate",
        description = "Just-in-time access: ask, approve, use, end on time.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        system::healthz,
        system::readyz,
        system::metrics,
        system::authority,
        system::whoami,
        show,
        requests::resources,
        explain::explain,
        explain::reach,
        flows::flows,
        applied::apply,
        applied::versions,
        applied::version,
        flows::inventory,
        reports::overview,
        reports::show,
        requests::submit,
        requests::list,
        requests::show,
        requests::approve,
        requests::deny,
        requests::cancel,
        approval::claim,
        delegations::list,
        delegations::create,
        delegations::end,
        life::activate,
        life::extend,
        reviews::list,
        reviews::show,
        reviews::write,
        grants::list,
        grants::show,
        grants::release,
        grants::revoke,
        grants::credentials,
        agents::new_token,
        agents::list,
        agents::revoke,
        agents::drift,
        channels::list,
        channels::replay,
        sessions::list,
        sessions::end,
        admin::audit,
        admin::verify,
    )
)]
struct Description;

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", responses((status = 200, content_type = "application/json")))]
pub(crate) async fn show() -> Json<Value> {
    Json(document())
}

/// The whole description.
pub(crate) fn document() -> Value {
    let mut document = serde_json::to_value(Description::openapi()).unwrap_or_default();
    for endpoint in endpoints::ENDPOINTS {
        let method = endpoint.method.as_str().to_lowercase();
        let Some(operation) =
            document["paths"].get_mut(endpoint.path).and_then(|path| path.get_mut(&method))
        else {
            continue;
        };
        let records: Vec<_> = endpoint.records.iter().map(ToString::to_string).collect();
        operation["x-ebbgate-role"] = json!(endpoint.rule.as_str());
        operation["x-ebbgate-audit"] = json!(records);
        if endpoint.rule != endpoints::Rule::Public {
            operation["security"] = json!([{"token": []}]);
        }
    }
    document["components"]["securitySchemes"]["token"] =
        json!({"type": "http", "scheme": "bearer", "bearerFormat": "ebu_…"});
    document
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_has_a_rule_and_every_rule_an_operation() {
        let document = document();
        let described: BTreeSet<_> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                item.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
            })
            .collect();
        let ruled: BTreeSet<_> = endpoints::ENDPOINTS
            .iter()
            .map(|e| format!("{} {}", e.method.as_str().to_lowercase(), e.path))
            .collect();
        assert_eq!(described, ruled);
    }

    #[test]
    fn every_change_leaves_a_record() {
        for endpoint in endpoints::ENDPOINTS {
            let changes = endpoint.method != axum::http::Method::GET;
            assert_eq!(changes, !endpoint.records.is_empty(), "{}", endpoint.path);
        }
    }
}
