//! Every operation of the API has a rule for who may, and every change leaves an audit record. The
//! list here and the broker's own OpenAPI document must name the same operations, so that a new one
//! can't come without its rule.

use std::collections::BTreeSet;

use ebbgate_tests::{
    Context as _,
    Person::{self, Adam, Ana, Audrey, Ben, Eve},
    Result, Value, World, ensure, json,
    settings::LIFE_FLOWS,
    world::{grant_id, text},
};
use reqwest::Method;

const SHOP: &str = "orders/postgres/shop";

/// Who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    /// Whoever reaches the port.
    Anybody,
    /// Everybody with a token; they see what is theirs.
    Known,
    /// One of the two; the other is refused.
    Only { may: Person, not: Person },
}

/// One operation.
struct Operation {
    method: Method,
    /// As in the OpenAPI document, without `/api/v1`.
    path: &'static str,
    may: May,
    /// What stands in place of `{…}`, or follows a path without.
    id: String,
    /// What is sent.
    body: Option<Value>,
    /// The ETag that it is sent with.
    tag: Option<String>,
    /// Which action the audit log then has; none for those that change nothing.
    leaves: Option<&'static str>,
}

fn read(path: &'static str, may: May) -> Operation {
    Operation {
        method: Method::GET,
        path,
        may,
        id: String::new(),
        body: None,
        tag: None,
        leaves: None,
    }
}

fn read_one(path: &'static str, may: May, id: &str) -> Operation {
    Operation { id: id.to_owned(), ..read(path, may) }
}

fn change(path: &'static str, may: May, id: &str, body: Value, leaves: &'static str) -> Operation {
    let (id, body, leaves) = (id.to_owned(), Some(body), Some(leaves));
    Operation { method: Method::POST, path, may, id, body, tag: None, leaves }
}

async fn world() -> Result<World> {
    World::builder().flow("life.yaml", LIFE_FLOWS).applied_flows().start().await
}

/// An approved request that its requester can activate, one that can have more time, and an
/// emergency that is over and has no review.
async fn in_all_stages(world: &World) -> Result<[String; 3]> {
    let ana = world.api(Ana)?;
    let wish = json!({"flow": "shop-later", "resources": [{"id": SHOP}]});
    let waiting = text(&ana.post("requests", wish).await?.status(201)?, "id")?.to_owned();
    let approve = format!("requests/{waiting}/approve");
    world.api(Ben)?.post(&approve, json!({})).await?.status(200)?;
    let live = world.active(Ana, "shop-longer", SHOP, "4m").await?;
    let wish =
        json!({"flow": "breakglass-shop", "resources": [{"id": SHOP}], "reason": "it is down"});
    let used = ana.post("requests", wish).await?.status(201)?;
    world.grant_in_state(grant_id(&used)?, "revoked").await?;
    Ok([waiting, text(&live, "request_id")?.to_owned(), text(&used, "id")?.to_owned()])
}

/// One flow more beside those in force.
async fn apply_more(world: &World, may: May) -> Result<Operation> {
    let answer = world.api(Adam)?.get("flows").await?;
    let tag = answer.headers.get("etag").context("an ETag")?.to_str()?.to_owned();
    let mut files = answer.body["files"].as_array().context("files")?.clone();
    let more = "kind: Scope\nname: more\nmatch: {integration: orders}\n";
    files.push(json!({"name": "more.yaml", "text": more}));
    let put = change("/flows", may, "", json!({ "files": files }), "flows.applied");
    Ok(Operation { method: Method::PUT, tag: Some(tag), ..put })
}

/// All operations, each with what it needs to succeed in a world made for it.
async fn operations(world: &World) -> Result<Vec<Operation>> {
    use May::{Anybody, Known, Only};

    let wish = json!({"resources": [{"id": SHOP}], "flow": "shop-select", "reason": "why"});
    let ask = async || -> Result<String> {
        let request = world.api(Ana)?.post("requests", wish.clone()).await?.status(201)?;
        grant_id(&request)?;
        Ok(text(&request, "id")?.to_owned())
    };
    let have = async || -> Result<String> {
        let grant = world.active(Ana, "shop-auto", SHOP, "10m").await?;
        Ok(text(&grant, "id")?.to_owned())
    };
    let verifier = json!({"scram_verifier": ebbgate_tests::secrets::scram_verifier("unused")});
    let (mine, by_role) = (Only { may: Ana, not: Eve }, Only { may: Adam, not: Ana });
    let (approver, auditor) = (Only { may: Ben, not: Eve }, Only { may: Audrey, not: Ana });
    let until = (ebbgate_tests::clock::now() + jiff::SignedDuration::from_hours(24)).to_string();
    let substitute = || json!({"to": "bea@example.com", "until": until});
    let delegation = world.api(Ana)?.post("delegations", substitute()).await?.status(201)?;
    let delegation = text(&delegation, "id")?;
    let (request, grant) = (&ask().await?, &have().await?);
    let comment = || json!({"comment": "because"});
    let other_agent = &retired_agent(world).await?;
    let [waiting, live, used] = &in_all_stages(world).await?;
    let session = json!({
        "grant_id": grant, "id": "1", "started_at": "2026-01-01T00:00:00Z", "comment": "because",
    });
    Ok(vec![
        read("/healthz", Anybody),
        read("/readyz", Anybody),
        read("/metrics", Anybody),
        read("/ca.pem", Anybody),
        read("/openapi.json", Anybody),
        read("/whoami", Known),
        read("/resources", Known),
        read_one("/explain", Known, &format!("?resource={SHOP}")),
        read_one("/explain/reach", auditor, &format!("?resource={SHOP}")),
        read("/flows", auditor),
        read("/flows/versions", auditor),
        read_one("/flows/versions/{id}", auditor, "1"),
        apply_more(world, by_role).await?,
        read("/inventory", auditor),
        read("/reports", auditor),
        read_one("/reports/{id}", auditor, "denied"),
        read("/requests", Known),
        read("/grants", Known),
        read("/delegations", Known),
        read_one("/requests/{id}", mine, request),
        read_one("/grants/{id}", mine, grant),
        read("/agents", by_role),
        read("/channels", auditor),
        change("/channels/{id}/replay", by_role, "log", json!({}), "channel.replayed"),
        read("/drift", auditor),
        read("/sessions", Known),
        read("/audit", auditor),
        read("/audit/verify", auditor),
        change("/requests", mine, "", wish.clone(), "request.created"),
        change("/requests/{id}/approve", approver, &ask().await?, json!({}), "request.approved"),
        change("/requests/{id}/deny", approver, &ask().await?, comment(), "request.denied"),
        change("/requests/{id}/claim", approver, &ask().await?, json!({}), "request.claimed"),
        change("/delegations", Known, "", substitute(), "delegation.created"),
        change("/delegations/{id}/end", mine, delegation, json!({}), "delegation.ended"),
        change("/requests/{id}/cancel", mine, &ask().await?, json!({}), "request.cancelled"),
        change("/requests/{id}/activate", mine, waiting, json!({}), "request.activated"),
        change(
            "/requests/{id}/extend",
            mine,
            live,
            json!({"duration": "10s"}),
            "request.extension_asked",
        ),
        read("/reviews", Known),
        read_one("/reviews/{id}", mine, used),
        change("/reviews/{id}", mine, used, json!({"text": "a full disk"}), "review.written"),
        change("/grants/{id}/credentials", mine, grant, verifier, "credential.issued"),
        change("/grants/{id}/release", mine, &have().await?, json!({}), "grant.revoking"),
        change("/grants/{id}/revoke", by_role, &have().await?, comment(), "grant.revoking"),
        change("/agents/{id}/revoke", by_role, other_agent, comment(), "agent.revoked"),
        change("/sessions/end", by_role, "", session, "session.ended"),
        change("/agents/tokens", by_role, "", json!({"agent": "db-us"}), "agent.token_created"),
    ])
}

/// An agent that is enrolled and not missed when it is revoked.
async fn retired_agent(world: &World) -> Result<String> {
    let adam = world.api(Adam)?;
    let agent = ebbgate_tests::agent::Agent::new("db-us", world.dir().join("db-us"));
    agent.enroll(&world.broker.url(), &adam, &world.handed_out).await?;
    let agents = adam.list("agents").await?;
    let found = agents.iter().find(|agent| agent["name"] == "db-us").context("the other agent")?;
    Ok(text(found, "id")?.to_owned())
}

impl Operation {
    /// The path to call.
    fn address(&self) -> String {
        let path = match self.path.split_once('{') {
            Some((before, rest)) => {
                let after = rest.split_once('}').map_or("", |(_, after)| after);
                format!("{before}{}{after}", self.id)
            }
            None => format!("{}{}", self.path, self.id),
        };
        match self.path {
            "/healthz" | "/readyz" | "/metrics" => path,
            _ => format!("/api/v1{path}"),
        }
    }

    async fn call(&self, api: &ebbgate_tests::api::Api) -> Result<ebbgate_tests::api::Answer> {
        let tagged = self.tag.as_ref().map(|tag| api.with_header("if-match", tag));
        let api = tagged.as_ref().unwrap_or(api);
        api.send(self.method.clone(), &self.address(), self.body.clone(), None).await
    }
}

#[tokio::test]
async fn the_list_names_every_operation_of_the_api() -> Result<()> {
    let world = world().await?;
    let document = world.broker.api()?.get("openapi.json").await?.status(200)?;
    ensure!(text(&document, "openapi")?.starts_with("3.1"), "OpenAPI 3.1: {}", document["openapi"]);
    let paths = document["paths"].as_object().context("paths of the OpenAPI document")?;
    let mut told = BTreeSet::new();
    for (path, item) in paths {
        let path = path.strip_prefix("/api/v1").unwrap_or(path);
        for verb in ["get", "put", "post", "delete", "patch"] {
            if !item[verb].is_null() {
                told.insert(format!("{} {path}", verb.to_uppercase()));
            }
        }
    }
    let listed = operations(&world).await?;
    let listed: BTreeSet<_> =
        listed.iter().map(|one| format!("{} {}", one.method, one.path)).collect();
    // The document may leave out the three for machines and itself, but nothing else.
    let for_machines = ["GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.json"];
    told.extend(for_machines.map(str::to_owned));
    assert_eq!(told, listed);
    let printed = world.broker_openapi().await?;
    assert_eq!(printed, document, "`ebbgate-broker openapi` prints what the broker serves");
    Ok(())
}

#[tokio::test]
async fn nobody_does_anything_without_a_token() -> Result<()> {
    let world = world().await?;
    let anonymous = world.broker.api()?;
    let listed = operations(&world).await?;
    for operation in &listed {
        let answer = operation.call(&anonymous).await?;
        if operation.may == May::Anybody {
            answer.status(200)?;
        } else {
            answer.refused(401, "unauthenticated")?;
        }
    }
    // Strangers are counted, but write nothing: they could fill the audit log.
    let metrics = anonymous.get("/metrics").await?.status(200)?;
    assert!(metrics.as_str().unwrap_or_default().contains("unauthenticated"), "{metrics}");
    world.audit_is_intact().await
}

#[tokio::test]
async fn nobody_does_what_is_anothers() -> Result<()> {
    let world = world().await?;
    let listed = operations(&world).await?;
    for operation in &listed {
        let May::Only { not, .. } = operation.may else {
            continue;
        };
        let answer = operation.call(&world.api(not)?).await?;
        // What somebody may not see may as well not be there.
        let hidden = operation.path.contains('{') && answer.status == 404;
        ensure!(answer.status == 403 || hidden, "{not:?} was let in: {answer}");
        ensure!(answer.body["code"].is_string(), "a refusal without a code: {answer}");
    }
    let records = world.audit().await?;
    let refused = |action: &str| records.iter().any(|record| record["action"] == action);
    ensure!(refused("access.refused"), "a wrong role leaves a record");
    ensure!(refused("request.refused"), "a refusal by the rules leaves a record");
    Ok(())
}

#[tokio::test]
async fn whoever_may_does_and_every_change_is_audited() -> Result<()> {
    let world = world().await?;
    let listed = operations(&world).await?;
    for operation in &listed {
        let person = match operation.may {
            May::Only { may, .. } => may,
            May::Known | May::Anybody => Eve,
        };
        let before = world.audit().await?;
        let last = before.last().and_then(|record| record["seq"].as_u64()).unwrap_or(0);
        operation.call(&world.api(person)?).await?.success()?;
        let Some(action) = operation.leaves else {
            continue;
        };
        let after = world.audit().await?;
        let fresh: Vec<_> =
            after.iter().filter(|record| record["seq"].as_u64() > Some(last)).collect();
        ensure!(
            fresh.iter().any(|record| record["action"] == action),
            "{} {} left no {action}: {fresh:?}",
            operation.method,
            operation.path
        );
        let by_them = format!("user:{}", person.id());
        ensure!(
            fresh.iter().any(|record| record["actor"] == by_them.as_str()),
            "nothing tells that it was {by_them}: {fresh:?}"
        );
    }
    world.audit_is_intact().await
}
