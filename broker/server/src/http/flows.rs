//! Flows, scopes and resources as they are in force, for those who may read everything.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
};
use ebbgate_domain::{
    flow::AccessFlow, flow_set::FlowFile, inventory::Resource, names::ResourceId,
    offer::approval_in_words,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    applied::FlowSetBody,
    dto::Page,
    extract::{Params, cursor, page_size},
    problem::Problem,
};

/// The flows in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FlowsBody {
    /// Changes with the files; the same as the ETag.
    version: String,
    /// `files` where they are in files, `applied` where administrators apply them.
    source: &'static str,
    /// False where what was applied last is not believed, or does not fit the settings: then no flows
    /// are in force.
    known: bool,
    /// Who applied them.
    applied: Option<FlowSetBody>,
    /// The files, as they were written.
    files: Vec<FlowFileBody>,
    flows: Vec<FlowBody>,
}

/// A file with scopes, permissions and flows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FlowFileBody {
    name: String,
    text: String,
}

/// A flow in a few words.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FlowBody {
    name: String,
    version: String,
    requesters: Vec<String>,
    except: Vec<String>,
    access: Vec<AccessBody>,
    /// Who must approve, in words.
    approval: String,
    default_duration: String,
    max_duration: String,
    /// When somebody last looked whether it is still right, and who.
    reviewed_on: Option<String>,
    reviewed_by: Option<String>,
}

/// Permissions on the resources of one scope.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccessBody {
    /// The scope, or `everything in NAME`.
    scope: String,
    permissions: Vec<String>,
}

/// Which resources.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct InventoryFilter {
    cursor: Option<String>,
    limit: Option<u32>,
}

/// A resource that the broker knows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KnownResourceBody {
    id: String,
    integration: String,
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    tags: BTreeMap<String, String>,
    /// Who owns it, as its tag `owner` says.
    owner: Option<String>,
    /// When it came into the inventory.
    first_seen: Option<String>,
    /// When it was last seen there.
    last_seen: Option<String>,
}

/// The scopes, permissions and flows in force, with the files that they are from.
#[utoipa::path(get, path = "/api/v1/flows", responses((status = 200, body = FlowsBody, headers(("ETag" = String)))))]
pub(crate) async fn flows(State(api): State<Api>) -> (HeaderMap, Json<FlowsBody>) {
    let flows = api.config.flows();
    let snapshot = api.broker.snapshot();
    let body = FlowsBody {
        version: flows.version.clone(),
        source: if api.config.is_applied() { "applied" } else { "files" },
        known: !snapshot.policies.unknown,
        applied: flows.set.as_ref().map(|set| FlowSetBody::new(set, flows.version.clone())),
        files: flows.files.iter().cloned().map(FlowFileBody::from).collect(),
        flows: snapshot.policies.flows.values().map(FlowBody::new).collect(),
    };
    (etag(&flows.version), Json(body))
}

/// A version as an ETag.
pub(super) fn etag(version: &str) -> HeaderMap {
    let etag = HeaderValue::from_str(&format!("\"{version}\""));
    etag.map(|etag| HeaderMap::from_iter([(header::ETAG, etag)])).unwrap_or_default()
}

impl From<FlowFile> for FlowFileBody {
    fn from(FlowFile { name, text }: FlowFile) -> Self {
        Self { name, text }
    }
}

impl FlowBody {
    fn new(flow: &AccessFlow) -> Self {
        let words = |subjects: &[ebbgate_domain::principal::Subject]| {
            subjects.iter().map(ToString::to_string).collect()
        };
        Self {
            name: flow.name.to_string(),
            version: flow.version(),
            requesters: words(&flow.requesters),
            except: words(&flow.except),
            access: flow
                .access
                .iter()
                .map(|access| AccessBody {
                    scope: access.scope.to_string(),
                    permissions: access.permissions.iter().map(ToString::to_string).collect(),
                })
                .collect(),
            approval: approval_in_words(flow),
            default_duration: flow.duration.default.to_string(),
            max_duration: flow.duration.max.to_string(),
            reviewed_on: flow.reviewed.as_ref().map(|reviewed| reviewed.on.to_string()),
            reviewed_by: flow.reviewed.as_ref().map(|reviewed| reviewed.by.to_string()),
        }
    }
}

/// Every resource that the broker knows, in the order of their ids.
#[utoipa::path(get, path = "/api/v1/inventory", params(InventoryFilter), responses((status = 200, body = Page<KnownResourceBody>)))]
pub(crate) async fn inventory(
    State(api): State<Api>,
    Params(filter): Params<InventoryFilter>,
) -> Result<Json<Page<KnownResourceBody>>, Problem> {
    let limit = page_size(filter.limit)?;
    let after: Option<ResourceId> = cursor(filter.cursor.as_deref())?;
    let snapshot = api.broker.snapshot();
    let page: Vec<_> = snapshot.inventory.after(after.as_ref()).take(limit as usize).collect();
    let ids: Vec<_> = page.iter().map(|resource| resource.id.clone()).collect();
    let seen = api.broker.sightings(&ids).await?;
    let seen: BTreeMap<_, _> = seen.iter().map(|seen| (&seen.resource, seen)).collect();
    let body = |resource: &Resource| {
        let seen = seen.get(&resource.id);
        KnownResourceBody {
            id: resource.id.to_string(),
            integration: resource.integration.to_string(),
            kind: resource.kind.as_str(),
            name: resource.native.clone(),
            tags: resource.tags.clone(),
            owner: resource.owner().map(|owner| owner.to_string()),
            first_seen: seen.map(|seen| seen.first.to_string()),
            last_seen: seen.map(|seen| seen.last.to_string()),
        }
    };
    let items = page.into_iter().map(body).collect();
    Ok(Json(Page::new(items, limit, |body: &KnownResourceBody| body.id.clone())))
}
